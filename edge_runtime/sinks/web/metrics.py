"""The text format that Prometheus reads: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge_runtime.sinks.web.board import BoardState
from edge_runtime.sinks.web.state import Totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def to_text(totals: Totals, board: BoardState, viewers: int, *, healthy: bool) -> str:
    """All metrics, one family after the other."""
    record = totals.record
    lines: list[str] = []

    def family(name: str, kind: str, about: str, *samples: str) -> None:
        lines.extend((f"# HELP edge_fer_{name} {about}", f"# TYPE edge_fer_{name} {kind}", *samples))

    def one(name: str, kind: str, about: str, value: float) -> None:
        family(name, kind, about, _sample(name, value))

    one("up", "gauge", "1 while frames are processed.", float(healthy))
    one("frames_total", "counter", "Processed frames.", totals.frames)
    one("frames_dropped_total", "counter", "Frames that gave way to newer ones.", totals.dropped)
    one("frame_rate_hertz", "gauge", "Processed frames per second.", round(totals.rate_hz, 3))
    stages = _stages(totals)
    family("stage_duration_seconds", "summary", "Wall time of a frame by stage.", *stages)
    counts = [
        _sample("faces_total", count, {"label": label}) for label, count in sorted(totals.labels.items())
    ]
    family("faces_total", "counter", "Faces in frames, by label.", *counts)
    one("faces", "gauge", "Faces in the newest frame.", len(record.faces) if record else 0)
    if record is not None and totals.age_s is not None:
        one("frame_age_seconds", "gauge", "From capture to result, newest frame.", record.age_ms / 1000)
        one("last_frame_seconds", "gauge", "Since the newest frame was done.", round(totals.age_s, 3))
        labels = {"model": record.model, "backend": record.backend}
        family("info", "gauge", "What computes.", _sample("info", 1, labels))
    one("viewers", "gauge", "Visitors who look at the live view.", viewers)
    if board.temperature_c is not None:
        one("temperature_celsius", "gauge", "Of the processor.", board.temperature_c)
    if board.throttled is not None:
        now = any(flag.endswith("now") for flag in board.throttled)
        one("throttled", "gauge", "1 while the firmware throttles or sees under-voltage.", float(now))
    one("load1", "gauge", "Processes that want to run, mean of a minute.", board.load)
    return "\n".join(lines) + "\n"


def _stages(totals: Totals) -> Iterator[str]:
    for stage, total_s in totals.stage_s.items():
        yield _sample("stage_duration_seconds_sum", round(total_s, 6), {"stage": stage})
        yield _sample("stage_duration_seconds_count", totals.frames, {"stage": stage})


def _sample(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in (labels or {}).items())
    return f"edge_fer_{name}{f'{{{inner}}}' if inner else ''} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

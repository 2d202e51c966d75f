"""`edge-fer tune`: find good settings for this board by measuring, and write them down."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_runtime.clip import Clip, record_clip
from edge_runtime.commands.settings import configuration, pipeline_settings, source_options
from edge_runtime.config import Config, to_toml
from edge_runtime.errors import DetectorUnavailableError, SinkError, UsageError
from edge_runtime.sources import open_source
from edge_runtime.tuning import (
    MIN_FOUND,
    RULE,
    Candidate,
    Measured,
    Tuner,
    choose,
    intervals_of,
)

CLIP_S = 5.0
CHECK_S = 4.0
RUNS = 10
"""About as many runs over the clip as there are; divides `--seconds`."""
CAMERAS = ("picamera2", "v4l2")
COLUMNS = "detector  search s  size      threads  CPU ms  p95 age ms  found %  rate/s  appears s  leaves s"


class Progress:
    """A bar on stderr where that is a terminal, else a line per step."""

    WIDTH = 20
    EVERY_S = 0.1

    def __init__(self) -> None:
        self._bar = sys.stderr.isatty()
        self._step = ""
        self._drawn_s = 0.0

    def __call__(self, step: str, done: float) -> None:
        new = step != self._step
        self._step = step
        if not self._bar:
            if new:
                print(f"edge-fer: {step}", file=sys.stderr, flush=True)
            return
        now_s = time.monotonic()
        if new or now_s - self._drawn_s >= self.EVERY_S:
            self._drawn_s = now_s
            filled = round(self.WIDTH * min(1.0, done))
            bar = "#" * filled + "." * (self.WIDTH - filled)
            print(f"\r\x1b[K[{bar}] {step}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._bar and self._step:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> int:
    """Record a clip, measure candidates on it, print the table and write the file.

    Raises:
        EdgeFerError: whatever a user can cause.
    """
    if args.out.exists() and not args.force:
        raise UsageError(f"{args.out} is there already; give another --out, or --force to replace it")
    if not args.out.parent.is_dir():
        raise SinkError(f"{args.out}: no such folder")
    config = configuration(args)
    progress = Progress()
    try:
        clip = _record(config, progress)
        tuner = Tuner(
            clip,
            config.model,
            pipeline_settings(config),
            args.seconds / RUNS / 2,
            progress,
        )
        _measure_all(args, config, tuner)
        chosen = choose(tuner.measured)
        best = chosen or max(tuner.measured, key=lambda run: (run.found, -run.cpu_ms))
        checked = tuner.verify(best, best.rate_hz, CHECK_S)
    finally:
        progress.end()
    if args.format == "json":
        print(json.dumps(_document(tuner.measured, best, checked, clip), indent=1))
    else:
        print(_table(tuner.measured, best, checked, clip), end="")
    if chosen is None:
        print("edge-fer: no settings hold all limits here; those that find most are taken", file=sys.stderr)
    _write(args.out, _file(config, best, checked, clip.size_wh))
    print(f"edge-fer: wrote {args.out}; use it: edge-fer run --config {args.out}", file=sys.stderr)
    return 0


def _record(config: Config, progress: Progress) -> Clip:
    from edge_runtime.classifier import Classifier

    classifier = Classifier.load(config.model.name, config.model.backend)
    color = classifier.contract.input.color == "rgb"
    classifier.close()
    source = open_source(config.source.name, source_options(config.source, color=color))
    try:
        return record_clip(source, CLIP_S, config.source.rate_hz, progress)
    finally:
        source.close()


def _measure_all(args: argparse.Namespace, config: Config, tuner: Tuner) -> None:
    """Detectors, then intervals and half the size for those that find enough, then threads for the best."""
    detectors = [args.detector] if args.detector else _usable(["edge", "haar", config.detector.name])
    tuner.find_reference(detectors)
    full = [run for run in tuner.measured if run.found >= MIN_FOUND]
    for run in full:
        for interval_s in intervals_of(run.candidate.detector):
            if interval_s and args.detect_interval is None:
                tuner.measure(_other(run, interval_s=interval_s))
    if args.detect_interval is not None:
        for run in full:
            tuner.measure(_other(run, interval_s=args.detect_interval))
        tuner.measured = [r for r in tuner.measured if r.candidate.interval_s == args.detect_interval]
    # A region is given in pixels of the frame as it is: it would lie elsewhere in a smaller one.
    resizable = config.source.name.partition(":")[0] in CAMERAS and not config.source.region
    if resizable and not args.size:
        for run in list(tuner.measured):
            # Below the model's own input the crop would be blown up.
            if run.qualifies and run.face_px / 2 >= tuner.model_width_px:
                width, height = run.candidate.size_wh
                tuner.measure(_other(run, size_wh=(width // 2, height // 2)))
    best = choose(tuner.measured)
    if best is None:
        return
    most = min(4, os.cpu_count() or 1)
    wanted = [args.threads] if args.threads else [n for n in (2, 4) if n <= most]
    for threads in wanted:
        if threads != 1:
            tuner.measure(_other(best, threads=threads))
    if args.threads:
        tuner.measured = [r for r in tuner.measured if r.candidate.threads == args.threads]


def _usable(names: Sequence[str]) -> list[str]:
    """Each name once, without detectors that cannot work here."""
    usable = []
    for name in dict.fromkeys(names):
        try:
            intervals_of(name)
        except DetectorUnavailableError as error:
            print(f"edge-fer: left out: {error}", file=sys.stderr)
            continue
        usable.append(name)
    return usable


def _other(run: Measured, **changes: Any) -> Candidate:
    return replace(run.candidate, **changes)


def _table(measured: Sequence[Measured], best: Measured, checked: dict[str, float], clip: Clip) -> str:
    lines = [COLUMNS]
    for run in measured:
        item = run.candidate
        size = "x".join(map(str, item.size_wh))
        lines.append(
            f"{item.detector.partition(':')[0]:<9} {item.interval_s:>8g}  {size:<9} {item.threads:>7} "
            f"{run.cpu_ms:>7.1f} {run.p95_age_ms:>11.1f} {100 * run.found:>8.1f} {run.rate_hz:>7.3g} "
            f"{run.appears_s:>10.2f} {run.leaves_s:>9.2f}{'  <- chosen' if run is best else ''}"
        )
    lines += [
        f"{len(clip.luma)} frames at {clip.rate_hz:.3g}/s; the source itself takes "
        f"{clip.capture_cpu_ms:.1f} ms CPU per frame",
        f"in real time at {checked['rate_hz']:.3g} frames/s: p95 age {checked['p95_age_ms']:.1f} ms, "
        f"{checked['dropped']:.0f} dropped, {checked['frames']:.0f} done",
        *textwrap.wrap(f"rule: {RULE}", 108),
    ]
    return "\n".join(lines) + "\n"


def _document(
    measured: Sequence[Measured], best: Measured, checked: dict[str, float], clip: Clip
) -> dict[str, Any]:
    return {
        "rule": RULE,
        "clip": {
            "frames": len(clip.luma),
            "rate_hz": clip.rate_hz,
            "capture_cpu_ms": clip.capture_cpu_ms,
        },
        "measured": [
            {key: _finite(value) for key, value in run.to_dict().items()} | {"chosen": run is best}
            for run in measured
        ],
        "real_time": checked,
    }


def _finite(value: object) -> object:
    """JSON has no infinity: a face that was never reported has no delay."""
    return None if value == float("inf") else value


def _file(config: Config, best: Measured, checked: dict[str, float], full_wh: tuple[int, int]) -> str:
    """The configuration with what was found.

    Args:
        full_wh: size of the frames that were recorded.
    """
    item = best.candidate
    config = config.override("detector", name=item.detector, interval_s=item.interval_s)
    config = config.override("model", threads=item.threads)
    if config.source.name.partition(":")[0] in CAMERAS:
        if item.size_wh != full_wh:
            # Frames were measured as they are turned; the camera is asked for them as it stands.
            upright = config.source.rotate not in (90, 270)
            width, height = item.size_wh if upright else reversed(item.size_wh)
            config = config.override("source", width=width, height=height)
        config = config.override("source", rate_hz=round(best.rate_hz, 2))
    story = (
        f"Written by edge-fer tune. Measured here: {best.cpu_ms:.1f} ms CPU per frame, faces found in "
        f"{best.found:.1%} of the reference's frames; in real time at {checked['rate_hz']:.3g} frames/s: "
        f"p95 age {checked['p95_age_ms']:.1f} ms, {checked['dropped']:.0f} of "
        f"{checked['dropped'] + checked['frames']:.0f} frames dropped. Rule: {RULE}."
    )
    lines = textwrap.wrap(story, 100, initial_indent="# ", subsequent_indent="# ")
    return "\n".join(lines) + "\n\n" + to_toml(config)


def _write(path: Path, text: str) -> None:
    """
    Raises:
        SinkError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SinkError(f"{path}: cannot write the settings ({error.strerror})") from None

"""Pictures of results, as PNG bytes; needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.host import HostInfo
from benchmarks.record import LatencyRecord
from benchmarks.summary import LatencyRow, ParetoPoint

DPI = 120
COLORS = (
    "#1b6ca8",
    "#d1495b",
    "#3a7d44",
    "#edae49",
    "#6f4e9c",
    "#5c6b73",
    "#c06014",
    "#2f9c95",
    "#000000",
    "#a4508b",
    "#7a9e1f",
    "#8c6d4f",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h")


def to_png(figure: Figure) -> bytes:
    """Render a figure; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def confusion_png(result: dict[str, Any]) -> bytes:
    """Confusion matrix of one accuracy result: shares of the true class as colour, counts as text."""
    labels, counts = result["labels"], np.array(result["confusion"])
    support = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    size = 2.6 + 0.72 * len(labels)
    figure = Figure(figsize=(size, size * 0.95), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row in range(len(labels)):
        for column in range(len(labels)):
            axes.text(
                column,
                row,
                f"{shares[row, column]:.0%}\n{counts[row, column]}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if shares[row, column] > 0.55 else "black",
            )
    axes.set_title(
        f"{result['model']} on {result['data']['split']}: top-1 {result['top1']:.2%}, n = {result['n']}",
        fontsize=10,
    )
    return to_png(figure)


def pareto_png(points: Sequence[ParetoPoint]) -> bytes:
    """Accuracy (95 % interval) against the p50 of one call: a form per model, a colour per runtime."""
    figure = Figure(figsize=(8.6, 6.8), layout="constrained")
    axes = figure.subplots()
    series = _series([point.row for point in points])
    groups = list(dict.fromkeys(series))
    models = list(dict.fromkeys(point.row.model for point in points))
    for point, name in zip(points, series, strict=True):
        row, accuracy = point.row, point.accuracy
        low, high = accuracy.top1_interval
        axes.errorbar(
            row.p50_ms,
            100 * accuracy.top1,
            yerr=[[100 * (accuracy.top1 - low)], [100 * (high - accuracy.top1)]],
            fmt=_cycle(MARKERS, models.index(row.model)),
            markersize=8,
            color=_cycle(COLORS, groups.index(name)),
            markerfacecolor=None if point.on_front else "white",
            elinewidth=0.8,
            capsize=3,
        )
    splits = sorted({point.accuracy.data.split for point in points})
    axes.set_xscale("log")
    _plain_log_ticks(axes)
    axes.set_xlabel("p50 of one call, ms (logarithmic)")
    axes.set_ylabel(f"top-1 on {', '.join(splits)}, % (95 % interval)")
    axes.set_title("Accuracy against latency; filled points are on the front", fontsize=10)
    axes.grid(alpha=0.3)
    axes.margins(x=0.05, y=0.1)
    forms = [
        Line2D([], [], linestyle="", marker=_cycle(MARKERS, index), color="#555555", label=model)
        for index, model in enumerate(models)
    ]
    colors = [
        Line2D([], [], linewidth=3, color=_cycle(COLORS, index), label=group)
        for index, group in enumerate(groups)
    ]
    figure.legend(handles=forms, fontsize=8, loc="outside lower left")
    figure.legend(handles=colors, fontsize=8, loc="outside lower right")
    return to_png(figure)


def distributions_png(records: Sequence[LatencyRecord]) -> bytes:
    """Share of calls that took at most a given time, a line per process."""
    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    axes = figure.subplots()
    series = _series_of(records)
    names = list(dict.fromkeys(series))
    for record, name in zip(records, series, strict=True):
        values = np.sort(np.asarray(record.stages["total"].values_ns)) / 1e6
        shares = np.arange(1, len(values) + 1) / len(values)
        first = not any(line.get_label() == name for line in axes.lines)
        axes.step(
            values,
            100 * shares,
            where="post",
            linewidth=1.2,
            color=COLORS[names.index(name) % len(COLORS)],
            label=name if first else None,
        )
    axes.set_xscale("log")
    _plain_log_ticks(axes)
    axes.set_xlabel("time of one call, ms (logarithmic)")
    axes.set_ylabel("calls that took at most this, %")
    axes.set_title("Every timed call, a line per process", fontsize=10)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=7, loc="outside lower center")
    return to_png(figure)


def stages_png(rows: Sequence[LatencyRow]) -> bytes:
    """p50 of the stages, a bar per combination."""
    figure = Figure(figsize=(7.6, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))
    left = np.zeros(len(rows))
    for index, stage in enumerate(("preprocess", "infer")):
        widths = np.array([row.stages_p50_ms[stage] for row in rows])
        axes.barh(places, widths, left=left, color=COLORS[index], label=stage)
        left += widths
    for place, total in enumerate(left.tolist()):
        axes.text(total, place, f" {total:.3f}", va="center", fontsize=8)
    names = [f"{row.model}\n{name}" for row, name in zip(rows, _series(rows), strict=True)]
    axes.set_yticks(places, names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, float(left.max()) * 1.15)
    axes.set_xlabel("p50, ms")
    axes.set_title("Stages of one call", fontsize=10)
    axes.legend(fontsize=8)
    return to_png(figure)


def _cycle(values: Sequence[str], index: int) -> str:
    return values[index % len(values)]


def _hosts(hosts: Sequence[HostInfo]) -> list[str]:
    """` on BOARD` for each, or nothing where all are the same one."""
    if len({host.fingerprint for host in hosts}) < 2:
        return ["" for _ in hosts]
    return [f" on {host.board or host.cpu or host.machine}" for host in hosts]


def _series(rows: Sequence[LatencyRow]) -> list[str]:
    """Names of the runtimes of rows."""
    places = _hosts([row.host for row in rows])
    return [f"{row.backend}{place}" for row, place in zip(rows, places, strict=True)]


def _series_of(records: Sequence[LatencyRecord]) -> list[str]:
    """Names of the models and runtimes of records."""
    places = _hosts([record.environment.host for record in records])
    named = zip(records, places, strict=True)
    return [f"{record.model}, {record.backend}{place}" for record, place in named]


def _plain_log_ticks(axes: Axes) -> None:
    """Numbers instead of powers of ten: a range of milliseconds rarely spans a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())

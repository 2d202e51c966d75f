"""The pictures of the reports, as PNG bytes at the size in which a page shows them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge_runtime.metrics import ReliabilityCurve

DPI = 100
INK, GRID = "#1f2933", "#d9dee4"
COLORS = ("#2563a8", "#d1662b", "#3a8f5c", "#8a4fb0", "#b8912a", "#c23b5a", "#4a5a6a")
RIGHT, WRONG = "#2f7d46", "#b3261e"


def class_bars(counts: Mapping[str, Mapping[str, int]]) -> bytes:
    """Bars per class, one colour per split.

    Args:
        counts: images by split, then by class.
    """
    classes = list(next(iter(counts.values())))
    figure, axes = _figure(7.6, 3.4)
    width = 0.8 / len(counts)
    for index, (split, row) in enumerate(counts.items()):
        places = np.arange(len(classes)) + (index - (len(counts) - 1) / 2) * width
        values = [row[name] for name in classes]
        bars = axes.bar(places, values, width, label=split or "no split", color=COLORS[index % 7])
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=7, padding=1, color=INK)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_ylabel("images")
    axes.grid(axis="y", color=GRID)
    axes.legend(frameon=False)
    return _png(figure)


def picture_grid(
    images: npt.NDArray[np.uint8],
    titles: Sequence[str],
    columns: int = 4,
    colors: Sequence[str] | None = None,
    cell_in: float = 1.5,
) -> bytes:
    """Pictures (N, H, W[, 3]) in rows, a title above each."""
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=1)
    figure = Figure(figsize=(columns * cell_in, rows * (cell_in + 0.16 * lines)), dpi=DPI)
    for index, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(titles[index], fontsize=8, color=colors[index] if colors else INK, pad=3)
        axes.set_axis_off()
    return _png(figure)


def confusion_heatmap(confusion: npt.NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """Confusion matrix, rows = true class: counts as text, share of the row as colour."""
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    size = 2.0 + 0.62 * len(labels)
    figure, axes = _figure(size + 0.6, size)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*confusion.shape):
        axes.text(
            column,
            row,
            f"{confusion[row, column]}\n{100 * share[row, column]:.0f} %",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if share[row, column] > 0.55 else INK,
        )
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return _png(figure)


def roc_curves(curves: Mapping[str, tuple[npt.NDArray, npt.NDArray, float]]) -> bytes:
    """One-against-rest ROC per class.

    Args:
        curves: (false positive rate, true positive rate, area) by class.
    """
    figure, axes = _figure(5.2, 4.6)
    for index, (name, (false_rate, true_rate, area)) in enumerate(curves.items()):
        axes.plot(false_rate, true_rate, color=COLORS[index % 7], lw=1.6, label=f"{name}  {area:.3f}")
    axes.plot([0, 1], [0, 1], color=GRID, lw=1)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_xlim(-0.01, 1)
    axes.set_ylim(0, 1.01)
    axes.grid(color=GRID)
    axes.legend(frameon=False, title="area under curve", loc="lower right", fontsize=8)
    return _png(figure)


def reliability_diagram(curve: ReliabilityCurve, ece: float) -> bytes:
    """Accuracy against confidence, with the number of pictures per bin below."""
    figure = Figure(figsize=(5.2, 4.6), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for axes in (upper, lower):
        _plain(axes)
        axes.grid(color=GRID)
    filled = curve.count > 0
    upper.plot([0, 1], [0, 1], color="#8a949e", lw=1, ls="--", label="perfect")
    upper.plot(curve.confidence[filled], curve.accuracy[filled], "o-", color=COLORS[0], label="model")
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1.02)
    upper.legend(frameon=False, title=f"ECE {100 * ece:.1f} %", loc="lower right")
    middles, width = (curve.edges[:-1] + curve.edges[1:]) / 2, curve.edges[1] - curve.edges[0]
    lower.bar(middles, curve.count, width * 0.9, color=COLORS[0])
    lower.set_ylabel("images")
    lower.set_xlabel("confidence")
    lower.set_xlim(0, 1)
    return _png(figure)


def training_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """Loss, accuracy and learning rate per epoch; dashed = training, solid = held out."""
    figure = Figure(figsize=(9.6, 3.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, key, title in zip(
        panels, ("loss", "accuracy", "learning_rate"), ("loss", "accuracy", "learning rate"), strict=True
    ):
        _plain(axes)
        for index, (name, rows) in enumerate(histories.items()):
            color, epochs = COLORS[index % 7], [row["epoch"] for row in rows]
            held_out = [row.get(f"val_{key}", np.nan) for row in rows]
            trained = [row.get(key, np.nan) for row in rows]
            marker = "o" if len(rows) == 1 else None
            if not np.all(np.isnan(held_out)):
                axes.plot(epochs, trained, color=color, lw=1, ls="--", marker=marker)
                axes.plot(epochs, held_out, color=color, lw=1.8, marker=marker, label=name)
            else:
                axes.plot(epochs, trained, color=color, lw=1.4, marker=marker, label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(color=GRID)
    panels[1].legend(frameon=False, fontsize=8)
    # Where a cosine ends at zero, the line ends before it.
    panels[2].set_yscale("log", nonpositive="mask")
    figure.text(0.005, -0.045, "solid: held out   dashed: training", fontsize=8, color=INK)
    return _png(figure)


def _figure(width_in: float, height_in: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    axes.set_axisbelow(True)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()

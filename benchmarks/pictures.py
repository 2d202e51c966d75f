"""Pictures of results, as PNG bytes; needs matplotlib."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

DPI = 120


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

"""Precision-recall curves of face detectors."""

from __future__ import annotations

import io
from collections.abc import Sequence

from benchmarks.detection_figures import IOU, Judged
from edge_runtime.metrics.detection import match_detections, precision_recall_curve


def draw_curves(curves: Sequence[tuple[str, Judged]]) -> bytes:
    """PNG with one curve per detector."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, judged in curves:
        precision, recall, _ = precision_recall_curve(match_detections(judged.answers, judged.truths, IOU))
        axes.plot(recall, precision, label=name)
    axes.set(xlabel=f"recall at IoU {IOU}", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()

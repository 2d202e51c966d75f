"""Confusion matrix and the figures that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def confusion_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike, classes: int) -> npt.NDArray[np.int64]:
    """Count pairs of true and predicted class.

    Args:
        truth: (N,) class indices 0..classes-1.
        predicted: (N,) class indices 0..classes-1.

    Returns:
        int64 (classes, classes); row = true class, column = predicted class.

    Raises:
        ValueError: lengths differ or an index is out of range.
    """
    rows, columns = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"expected two arrays (N,). Received: {rows.shape} and {columns.shape}")
    both = np.concatenate([rows, columns])
    if both.size and (both.min() < 0 or both.max() >= classes):
        raise ValueError(f"class indices must be 0..{classes - 1}. Received: {both.min()}..{both.max()}")
    counts = np.bincount(rows * classes + columns, minlength=classes * classes)
    return counts.reshape(classes, classes)


@dataclass(frozen=True)
class ClassificationScores:
    """Figures of one confusion matrix; all are fractions 0..1."""

    n: int
    correct: int
    top1: float
    """Share of correct predictions."""
    balanced_accuracy: float
    """Mean recall over the classes that occur among the true labels."""
    macro_f1: float
    """Mean F1 over the classes that occur among the true labels or the predictions."""
    precision: npt.NDArray[np.float64]
    """(classes,); NaN where a class was never predicted."""
    recall: npt.NDArray[np.float64]
    """(classes,); NaN where a class never occurs."""
    f1: npt.NDArray[np.float64]
    """(classes,); harmonic mean of both; NaN where a class neither occurs nor was predicted."""
    support: npt.NDArray[np.int64]
    """(classes,) images per true class."""


def scores_from_confusion(confusion: npt.ArrayLike) -> ClassificationScores:
    """Derive all figures from a confusion matrix (classes, classes), rows = truth.

    Raises:
        ValueError: not square, or empty.
    """
    matrix = np.asarray(confusion, np.int64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.sum():
        raise ValueError(f"expected a non-empty square matrix. Received: {matrix.shape}")
    hits = np.diag(matrix).astype(np.float64)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = hits / predicted, hits / support
        f1 = 2 * hits / (support + predicted)
    total = int(matrix.sum())
    return ClassificationScores(
        n=total,
        correct=int(hits.sum()),
        top1=float(hits.sum() / total),
        balanced_accuracy=float(np.nanmean(recall)),
        macro_f1=float(np.nanmean(f1)),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
    )

"""What a contract says about confidence, fitted on validation pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BOUNDS = (0.05, 20.0)
"""Lowest and highest temperature."""


def log_softmax(logits: npt.NDArray) -> npt.NDArray[np.float64]:
    """(N, classes) -> (N, classes)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def fit_temperature(logits: npt.NDArray, labels: npt.NDArray[np.int64]) -> float:
    """Temperature that minimizes the negative log likelihood (Guo et al. 2017, arXiv 1706.04599).

    The likelihood is unimodal in the temperature; a grid in its logarithm, refined twice, is exact to
    0.1 %.

    Args:
        logits: (N, classes).
        labels: (N,) true classes.
    """
    low, high = np.log(BOUNDS)
    rows = np.arange(len(labels))
    for _ in range(4):
        grid = np.linspace(low, high, 41)
        losses = [-log_softmax(logits / np.exp(value))[rows, labels].mean() for value in grid]
        best = int(np.argmin(losses))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 40)]
    return float(np.exp((low + high) / 2))


def match_confidence(logits: npt.NDArray, labels: npt.NDArray[np.int64]) -> float:
    """Temperature at which the mean confidence is the accuracy (Clarté et al. 2023, arXiv 2303.02644).

    `fit_temperature` weighs every picture by how surely it is missed; with wrong labels the two differ.

    Args:
        logits: (N, classes).
        labels: (N,) true classes.

    Returns:
        Temperature within `BOUNDS`; its end where no temperature does, as when all are right.
    """
    accuracy = (logits.argmax(axis=1) == labels).mean()
    low, high = np.log(BOUNDS)
    for _ in range(40):
        middle = (low + high) / 2
        confidence = np.exp(log_softmax(logits / np.exp(middle))).max(axis=1).mean()
        low, high = (middle, high) if confidence > accuracy else (low, middle)
    return float(np.exp((low + high) / 2))


def fit_threshold(
    confidence: npt.NDArray, correct: npt.NDArray[np.bool_], answered_accuracy: float
) -> float:
    """Lowest confidence from which on the answered pictures reach an accuracy.

    This is a point of the risk-coverage curve (El-Yaniv & Wiener 2010).

    Args:
        confidence: (N,) probability of the most probable class.
        correct: (N,) whether that class is the true one.
        answered_accuracy: accuracy wanted among pictures at or above the threshold.

    Returns:
        Threshold 0..1; 0 where all pictures together reach the accuracy, and the highest confidence
        where no threshold does.
    """
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(accuracy >= answered_accuracy)
    if not len(enough):
        return float(confidence.max(initial=0.0))
    last = int(enough[-1])
    return 0.0 if last == len(order) - 1 else float(confidence[order[last]])

"""Whether a confidence of 0.8 is right eight times out of ten, and what refusing to answer buys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DEFAULT_BINS = 15


@dataclass(frozen=True)
class ReliabilityCurve:
    """Confidence against accuracy in bins of equal width over 0..1."""

    edges: npt.NDArray[np.float64]
    """(bins + 1,) from 0 to 1; bin k holds edges[k] < confidence <= edges[k + 1], the first also 0."""
    count: npt.NDArray[np.int64]
    """(bins,) predictions per bin."""
    confidence: npt.NDArray[np.float64]
    """(bins,) mean confidence; NaN in an empty bin."""
    accuracy: npt.NDArray[np.float64]
    """(bins,) share of correct predictions; NaN in an empty bin."""


def reliability_curve(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = DEFAULT_BINS
) -> ReliabilityCurve:
    """Bin predictions by the confidence of the most probable class.

    Args:
        confidence: (N,) 0..1.
        correct: (N,) boolean.

    Raises:
        ValueError: empty, lengths differ, or a confidence outside of 0..1.
    """
    confidences, hits = _checked(confidence, correct)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidences, bins) / count
        accuracy = np.bincount(index, hits, bins) / count
    return ReliabilityCurve(edges, count, mean_confidence, accuracy)


def expected_calibration_error(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = DEFAULT_BINS
) -> float:
    """ECE, 0..1: mean |accuracy - confidence| over bins of equal width, weighted by their counts.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", arXiv 1706.04599; 15 bins as
    there unless told otherwise.
    """
    curve = reliability_curve(confidence, correct, bins)
    filled = curve.count > 0
    gaps = np.abs(curve.accuracy[filled] - curve.confidence[filled])
    return float(np.average(gaps, weights=curve.count[filled]))


@dataclass(frozen=True)
class RiskCoverageCurve:
    """Error among the answers that remain when the least confident ones are withheld."""

    threshold: npt.NDArray[np.float64]
    """(points,) distinct confidences, falling; an answer is given at or above the threshold."""
    coverage: npt.NDArray[np.float64]
    """(points,) share of pictures that are answered, rising to 1."""
    risk: npt.NDArray[np.float64]
    """(points,) share of wrong answers among those given."""
    area: float
    """Mean risk over all coverages 1/N … 1 (AURC); lower is better."""


def risk_coverage_curve(confidence: npt.ArrayLike, correct: npt.ArrayLike) -> RiskCoverageCurve:
    """Risk against coverage for every threshold on the confidence.

    Source: Geifman & El-Yaniv (2017), "Selective Classification for Deep Neural Networks",
    arXiv 1705.08500. Answers of equal confidence are given or withheld together.

    Raises:
        ValueError: as `reliability_curve`.
    """
    confidences, hits = _checked(confidence, correct)
    order = np.argsort(-confidences, kind="stable")
    ranked, wrong = confidences[order], 1.0 - hits[order]
    answered = np.arange(1, len(ranked) + 1)
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    risk = (np.cumsum(wrong) / answered)[last_of_tie]
    coverage = answered[last_of_tie] / len(ranked)
    area = float(np.sum(risk * np.diff(coverage, prepend=0.0)))
    return RiskCoverageCurve(ranked[last_of_tie], coverage, risk, area)


def _checked(
    confidence: npt.ArrayLike, correct: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    confidences = np.asarray(confidence, np.float64)
    hits = np.asarray(correct, bool).astype(np.float64)
    if confidences.shape != hits.shape or confidences.ndim != 1 or not len(confidences):
        raise ValueError(
            f"expected two non-empty arrays (N,). Received: {confidences.shape} and {hits.shape}"
        )
    # Softmax in float32 may exceed 1 by rounding.
    if not (confidences.min() >= 0 and confidences.max() <= 1 + 1e-5):
        raise ValueError("confidences must lie in 0..1")
    return np.minimum(confidences, 1.0), hits

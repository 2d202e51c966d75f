"""Two classifiers on the same pictures: is one of them better, and by how much?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.metrics.intervals import Interval, wilson


@dataclass(frozen=True)
class PairedComparison:
    """Accuracy of classifier A minus that of classifier B, on the same N pictures."""

    n: int
    only_a: int
    """Pictures that A alone gets right."""
    only_b: int
    """Pictures that B alone gets right."""
    difference: float
    """Accuracy of A minus accuracy of B, -1..1."""
    interval: Interval
    """Newcombe's interval of `difference`."""
    p_exact: float
    """McNemar's exact conditional test, two-sided."""
    p_mid: float
    """McNemar's mid-p test, two-sided; nearer to the nominal level than the exact one."""


def compare_paired(
    correct_a: npt.ArrayLike, correct_b: npt.ArrayLike, confidence: float = 0.95
) -> PairedComparison:
    """Compare two classifiers by which pictures each gets right.

    Args:
        correct_a: (N,) boolean, one item per picture.
        correct_b: (N,) boolean, the same pictures in the same order.

    Raises:
        ValueError: empty, or lengths differ.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"expected two non-empty arrays (N,). Received: {a.shape} and {b.shape}")
    both, neither = int(np.sum(a & b)), int(np.sum(~a & ~b))
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(~a & b))
    p_exact, p_mid = mcnemar(only_a, only_b)
    return PairedComparison(
        n=len(a),
        only_a=only_a,
        only_b=only_b,
        difference=(only_a - only_b) / len(a),
        interval=difference_interval(both, only_a, only_b, neither, confidence),
        p_exact=p_exact,
        p_mid=p_mid,
    )


def mcnemar(only_a: int, only_b: int) -> tuple[float, float]:
    """Two-sided p-values (exact, mid-p) of McNemar's test from the discordant counts.

    Source: Fagerland, Lydersen & Laake (2013), "The McNemar test for binary matched-pairs data: mid-p
    and asymptotic are better than exact conditional", BMC Medical Research Methodology 13:91.

    Raises:
        ValueError: a negative count.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts must not be negative. Received: {only_a}, {only_b}")
    discordant, fewer = only_a + only_b, min(only_a, only_b)
    if not discordant:
        return 1.0, 1.0
    # Logarithms keep thousands of discordant pairs within a float's range.
    log_terms = [_log_binomial_half(discordant, k) for k in range(fewer + 1)]
    tail, last = math.fsum(map(math.exp, log_terms)), math.exp(log_terms[-1])
    exact = min(1.0, 2 * tail)
    # With equal counts the doubled tail exceeds 1 by the middle term, which mid-p halves on each side.
    mid = 1.0 if only_a == only_b else 2 * tail - last
    return exact, mid


def _log_binomial_half(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)


def difference_interval(
    both: int, only_a: int, only_b: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Interval of the difference between two paired proportions, A minus B.

    Source: Newcombe (1998), "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17:2635-2650, method 10: Wilson intervals
    of both proportions, combined with their correlation, with his correction of phi.

    Raises:
        ValueError: a negative count, or no pairs.
    """
    n = both + only_a + only_b + neither
    if n <= 0 or min(both, only_a, only_b, neither) < 0:
        raise ValueError("expected non-negative counts of at least one pair")
    right_a, right_b = both + only_a, both + only_b
    share_a, share_b = right_a / n, right_b / n
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n, confidence), wilson(right_b, n, confidence)
    margins = right_a * (n - right_a) * right_b * (n - right_b)
    cross = both * neither - only_a * only_b
    corrected = max(cross - n / 2, 0.0) if cross > 0 else cross
    phi = corrected / math.sqrt(margins) if margins else 0.0
    below_a, above_a = share_a - low_a, high_a - share_a
    below_b, above_b = share_b - low_b, high_b - share_b
    down = math.sqrt(max(0.0, below_a**2 - 2 * phi * below_a * above_b + above_b**2))
    up = math.sqrt(max(0.0, above_a**2 - 2 * phi * above_a * below_b + below_b**2))
    difference = share_a - share_b
    return Interval(max(-1.0, difference - down), min(1.0, difference + up))

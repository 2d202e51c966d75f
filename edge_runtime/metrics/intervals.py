"""Confidence intervals of a proportion and of any statistic of a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


def normal_quantile(confidence: float) -> float:
    """z such that a standard normal lies within ±z with probability `confidence` (0..1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1. Received: {confidence!r}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a proportion, as fractions 0..1.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    JASA 22; without continuity correction.

    Raises:
        ValueError: `n` is not positive or `successes` is not in 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n > 0. Received: {successes} of {n}")
    z = normal_quantile(confidence)
    share = successes / n
    center = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Interval(max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale))


def bootstrap(
    values: npt.ArrayLike,
    statistic: Callable[[npt.NDArray], npt.NDArray],
    *,
    samples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of a statistic of independent values.

    Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13.

    Args:
        values: (N,) or (N, …); rows are drawn with replacement.
        statistic: maps a resampled array (B, N, …) to (B,); it reduces axis 1.
        samples: resamples, B in all; worked off in blocks that bound the memory.
        seed: of the resampling; equal seeds give equal intervals.

    Raises:
        ValueError: `values` is empty.
    """
    array = np.asarray(values)
    if not len(array):
        raise ValueError("cannot bootstrap an empty sample")
    generator = np.random.default_rng(seed)
    block = max(1, min(samples, 4_000_000 // max(1, array.size)))
    drawn = []
    for start in range(0, samples, block):
        rows = generator.integers(0, len(array), (min(block, samples - start), len(array)))
        drawn.append(np.asarray(statistic(array[rows]), np.float64))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(drawn), (tail, 1 - tail))
    return Interval(float(low), float(high))

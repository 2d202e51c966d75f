"""Figures of timing samples: percentiles with intervals, warm-up, differences between two records.

Calls that follow each other are not independent (a disturbance hits several), so resampling draws
blocks of consecutive calls: Künsch (1989), "The jackknife and the bootstrap for general stationary
observations", Annals of Statistics 17.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.metrics import Interval

P99_MIN_VALUES = 1000
"""Fewer values leave fewer than ten above the 99th percentile: not a figure to print."""
PERCENTILES = (50, 90, 99)

BOOTSTRAP_SAMPLES = 1000
_TAILS = (2.5, 97.5)
"""Percentiles that bound 95 %."""

STEADY_BLOCKS = 3
STEADY_TOLERANCE = 0.02

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Percentile:
    """One percentile of a sample with its interval, milliseconds."""

    value_ms: float
    interval_ms: Interval | None


def percentiles(
    values_ns: Sequence[int], intervals: bool = True, seed: int = 0
) -> dict[int, Percentile | None]:
    """p50, p90 and p99 with 95 % intervals; None for p99 below `P99_MIN_VALUES` values.

    Raises:
        ValueError: no values.
    """
    values = np.asarray(values_ns, np.float64) / 1e6
    if not values.size:
        raise ValueError("percentiles of no values")
    wanted = [p for p in PERCENTILES if p < 99 or values.size >= P99_MIN_VALUES]
    found: dict[int, Percentile | None] = dict.fromkeys(PERCENTILES)
    points = np.percentile(values, wanted)
    ends = np.percentile(_block_bootstrap([values], wanted, seed), _TAILS, axis=0) if intervals else None
    for column, p in enumerate(wanted):
        interval = None if ends is None else Interval(float(ends[0, column]), float(ends[1, column]))
        found[p] = Percentile(float(points[column]), interval)
    return found


def is_steady(block_medians: Sequence[float]) -> bool:
    """Whether the medians of consecutive blocks of calls have stopped falling.

    True when the median over the last `STEADY_BLOCKS` blocks is not lower than over the same number of
    blocks before by more than `STEADY_TOLERANCE`.
    """
    if len(block_medians) < 2 * STEADY_BLOCKS:
        return False
    now = float(np.median(block_medians[-STEADY_BLOCKS:]))
    before = float(np.median(block_medians[-2 * STEADY_BLOCKS : -STEADY_BLOCKS]))
    return now >= before * (1 - STEADY_TOLERANCE)


@dataclass(frozen=True)
class Difference:
    """How the timings of B differ from those of A."""

    ratio: float
    """Median of B divided by the median of A."""
    interval: Interval
    """95 % interval of `ratio`."""
    cliffs_delta: float
    """P(b > a) - P(b < a), -1..1: 0 when the samples overlap fully, 1 when every b exceeds every a.

    Cliff (1993), "Dominance statistics", Psychological Bulletin 114."""
    verdict: str
    """`slower`, `faster`, `equal` or `unclear`."""


def compare_samples(
    a: Sequence[Sequence[int]], b: Sequence[Sequence[int]], margin: float, seed: int = 0
) -> Difference:
    """Compare the medians of two measurements, each of one or more processes.

    A difference is real when the interval of the ratio excludes 1: `slower` or `faster`. If it
    includes 1, the two are `equal` when the whole interval lies within `margin` of 1, else `unclear`:
    more calls or more processes are needed.

    With two or more processes per side, the resampling draws processes first, then calls: what differs
    from process to process is in the interval. With one process per side it cannot be.

    Args:
        a: values in nanoseconds, one sequence per process.
        b: likewise.
        margin: fraction, e.g. 0.02.

    Raises:
        ValueError: a side has no values.
    """
    first = [np.asarray(values, np.float64) for values in a]
    second = [np.asarray(values, np.float64) for values in b]
    if not first or not second or not all(values.size for values in (*first, *second)):
        raise ValueError("comparison of no values")
    median_a, median_b = _pooled_median(first), _pooled_median(second)
    ratios = _block_bootstrap(second, [50], seed + 1)[:, 0] / _block_bootstrap(first, [50], seed)[:, 0]
    low, high = np.percentile(ratios, _TAILS)
    interval = Interval(float(low), float(high))
    return Difference(
        ratio=float(median_b / median_a),
        interval=interval,
        cliffs_delta=_cliffs_delta(np.concatenate(first), np.concatenate(second)),
        verdict=_verdict(interval, margin),
    )


def _verdict(interval: Interval, margin: float) -> str:
    if interval.low > 1:
        return "slower"
    if interval.high < 1:
        return "faster"
    return "equal" if interval.low >= 1 - margin and interval.high <= 1 + margin else "unclear"


def _pooled_median(processes: Sequence[FloatArray]) -> float:
    return float(np.median([np.median(values) for values in processes]))


def _block_bootstrap(processes: Sequence[FloatArray], wanted: Sequence[int], seed: int) -> FloatArray:
    """Percentiles (samples, wanted) of resampled measurements; the median over processes of each."""
    generator = np.random.default_rng(seed)
    per_process = [_resampled(values, wanted, generator) for values in processes]
    if len(processes) == 1:
        return per_process[0]
    stacked = np.stack(per_process)
    chosen = generator.integers(0, len(processes), (BOOTSTRAP_SAMPLES, len(processes)))
    return np.median(stacked[chosen, np.arange(BOOTSTRAP_SAMPLES)[:, None]], axis=1)


def _resampled(values: FloatArray, wanted: Sequence[int], generator: np.random.Generator) -> FloatArray:
    size = values.size
    length = max(1, round(size ** (1 / 3)))
    blocks = -(-size // length)
    # Blocks wrap around the end, so that every call is drawn equally often.
    windows = np.lib.stride_tricks.sliding_window_view(np.append(values, values[: length - 1]), length)
    starts = generator.integers(0, size, (BOOTSTRAP_SAMPLES, blocks))
    drawn = windows[starts].reshape(BOOTSTRAP_SAMPLES, -1)[:, :size]
    # np.percentile does the same, six times slower.
    places = np.asarray(wanted) / 100 * (size - 1)
    below, above = np.floor(places).astype(int), np.ceil(places).astype(int)
    ordered = np.partition(drawn, np.unique(np.concatenate([below, above])), axis=1)
    return ordered[:, below] + (places - below) * (ordered[:, above] - ordered[:, below])


def _cliffs_delta(a: FloatArray, b: FloatArray) -> float:
    ranked = np.sort(a)
    below = np.searchsorted(ranked, b, side="left")
    above = ranked.size - np.searchsorted(ranked, b, side="right")
    return float((below - above).mean() / ranked.size)

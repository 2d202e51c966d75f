import numpy as np
import pytest

from benchmarks.stats import compare_samples, is_steady, percentiles
from tests.benchmarks.fabricate import noise


def test_percentiles_lie_within_their_intervals() -> None:
    values = noise(1, calls=2000)
    found = percentiles(values)
    for p, percentile in found.items():
        assert percentile is not None
        assert percentile.value_ms == pytest.approx(np.percentile(values, p) / 1e6)
        assert percentile.interval_ms is not None
        assert percentile.interval_ms.low <= percentile.value_ms <= percentile.interval_ms.high
    assert found[50].value_ms < found[90].value_ms < found[99].value_ms  # type: ignore[union-attr]


def test_no_p99_below_a_thousand_values() -> None:
    assert percentiles(noise(1, calls=999), intervals=False)[99] is None
    assert percentiles(noise(1, calls=1000), intervals=False)[99] is not None


def test_correlated_calls_have_wider_intervals() -> None:
    def width(correlation: float) -> float:
        interval = percentiles(noise(2, calls=2000, correlation=correlation))[50].interval_ms  # type: ignore[union-attr]
        assert interval is not None
        return interval.high - interval.low

    assert width(0.8) > 1.3 * width(0.0)


def test_a_single_value_has_no_spread() -> None:
    assert percentiles([5_000_000])[50].interval_ms == (5.0, 5.0)  # type: ignore[union-attr]


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentiles([])
    with pytest.raises(ValueError, match="no values"):
        compare_samples([[]], [[1]], 0.02)


@pytest.mark.parametrize(
    ("medians", "steady"),
    [
        ([9, 5, 3], False),
        ([9, 7, 5, 4, 3, 2], False),
        ([9, 5, 3, 3, 3, 3], False),
        ([9, 5, 3, 3, 3, 3, 3], True),
        ([3, 3, 3, 3, 3, 3], True),
        ([3, 3, 3, 2.97, 2.97, 2.97], True),
        ([3, 3, 3, 3.4, 3.5, 3.3], True),
    ],
)
def test_warm_up_ends_when_times_stop_falling(medians: list[float], steady: bool) -> None:
    assert is_steady(medians) is steady


def test_error_rates_on_seeded_noise() -> None:
    pairs = 60
    equal = [compare_samples([noise(2 * n)], [noise(2 * n + 1)], 0.02).verdict for n in range(pairs)]
    slower = [compare_samples([noise(n)], [noise(500 + n, 1.05)], 0.02).verdict for n in range(pairs)]
    # Nominally 5 % of equal pairs look different: 3 of 60; 8 or more have a probability of 1 %.
    assert sum(verdict in ("slower", "faster") for verdict in equal) < 8
    assert equal.count("equal") >= 50
    assert slower.count("slower") == pairs


def test_the_direction_and_size_of_a_difference() -> None:
    found = compare_samples([noise(1)], [noise(2, 0.8)], 0.02)
    assert found.verdict == "faster"
    assert found.ratio == pytest.approx(0.8, abs=0.01)
    assert found.interval.low < found.ratio < found.interval.high
    assert found.cliffs_delta < -0.9


def test_few_scattered_calls_are_unclear_not_equal() -> None:
    found = compare_samples([noise(1, calls=30, scatter=0.3)], [noise(2, calls=30, scatter=0.3)], 0.02)
    assert found.verdict == "unclear"


def test_what_differs_between_processes_widens_the_interval() -> None:
    alike = compare_samples([noise(n) for n in range(3)], [noise(9 + n) for n in range(3)], 0.02)
    spread = compare_samples(
        [noise(n, 1 + 0.05 * n) for n in range(3)], [noise(9 + n, 1 + 0.05 * n) for n in range(3)], 0.02
    )
    assert spread.interval.high - spread.interval.low > 3 * (alike.interval.high - alike.interval.low)


def test_cliffs_delta_counts_pairs() -> None:
    found = compare_samples([[1, 2, 3]], [[2, 2, 4]], 0.02)
    # 9 pairs: b > a in 2 + 2... of (2,2,4) against (1,2,3): 1, 1, 3 above; 1, 1, 0 below.
    assert found.cliffs_delta == pytest.approx((1 + 1 + 3 - 1 - 1 - 0) / 9)

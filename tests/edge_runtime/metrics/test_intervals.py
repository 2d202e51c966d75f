import math

import numpy as np
import pytest

from edge_runtime.metrics import bootstrap, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17:857-872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_matches_the_published_examples(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=6e-5)


def test_wilson_is_symmetric_in_success_and_failure() -> None:
    low, high = wilson(7, 50)
    assert wilson(43, 50) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="Received"):
        wilson(successes, n)


def test_bootstrap_of_a_mean_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(3).normal(10, 2, 400)
    low, high = bootstrap(values, lambda drawn: drawn.mean(axis=1), samples=4000, seed=1)
    half_width = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half_width, abs=0.02)
    assert high == pytest.approx(values.mean() + half_width, abs=0.02)


def test_bootstrap_is_reproducible_and_takes_rows() -> None:
    rows = np.random.default_rng(0).integers(0, 2, (50, 2))

    def difference(drawn: np.ndarray) -> np.ndarray:
        return (drawn[:, :, 0] - drawn[:, :, 1]).mean(axis=1)

    first = bootstrap(rows, difference, samples=300, seed=7)
    assert first == bootstrap(rows, difference, samples=300, seed=7)
    assert first != bootstrap(rows, difference, samples=300, seed=8)


def test_bootstrap_of_a_constant_has_no_width() -> None:
    assert bootstrap([4.0] * 9, lambda drawn: np.median(drawn, axis=1)) == (4.0, 4.0)

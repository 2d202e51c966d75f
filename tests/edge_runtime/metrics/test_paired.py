from math import comb

import numpy as np
import pytest

from edge_runtime.metrics import compare_paired, mcnemar
from edge_runtime.metrics.paired import difference_interval


@pytest.mark.parametrize(
    ("only_a", "only_b", "exact", "mid"),
    # Fagerland et al. (2013), BMC Med Res Methodol 13:91: airway hyper-responsiveness, stem-cell therapy.
    [(1, 7, 0.0703, 0.0391), (6, 16, 0.0525, 0.0347)],
)
def test_mcnemar_matches_the_published_examples(only_a: int, only_b: int, exact: float, mid: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx((exact, mid), abs=6e-5)
    assert mcnemar(only_b, only_a) == pytest.approx((exact, mid), abs=6e-5)


def test_mcnemar_agrees_with_the_integer_binomial_sum() -> None:
    only_a, only_b = 260, 310
    total = only_a + only_b
    tail = sum(comb(total, k) for k in range(only_a + 1))
    exact, mid = mcnemar(only_a, only_b)
    assert exact == pytest.approx(2 * tail / 2**total, rel=1e-9)
    assert mid == pytest.approx((2 * tail - comb(total, only_a)) / 2**total, rel=1e-9)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_mcnemar_of_equal_counts_says_nothing(count: int) -> None:
    assert mcnemar(count, count) == (1.0, 1.0)


def test_difference_interval_matches_the_published_example() -> None:
    # Fagerland, Lydersen & Laake (2014), Statistics in Medicine 33:2850-2875, "Newcombe square-and-add".
    assert difference_interval(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=6e-4)


def test_difference_interval_mirrors_when_the_classifiers_swap() -> None:
    low, high = difference_interval(59, 6, 16, 80)
    assert difference_interval(59, 16, 6, 80) == pytest.approx((-high, -low))


def test_difference_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    shares = [0.55, 0.12, 0.08, 0.25]
    tables = generator.multinomial(300, shares, size=2000)
    hits = 0
    for both, only_a, only_b, neither in tables:
        low, high = difference_interval(int(both), int(only_a), int(only_b), int(neither))
        hits += low <= 0.04 <= high
    assert 0.935 <= hits / 2000 <= 0.975


def test_compare_paired_counts_pictures() -> None:
    result = compare_paired([1, 1, 1, 0, 0], [1, 0, 0, 1, 0])
    assert (result.n, result.only_a, result.only_b) == (5, 2, 1)
    assert result.difference == pytest.approx(0.2)
    assert result.interval.low < 0 < result.interval.high


def test_identical_classifiers_do_not_differ() -> None:
    correct = np.arange(50) % 3 > 0
    result = compare_paired(correct, correct)
    assert result.p_exact == result.p_mid == 1.0
    assert result.difference == 0.0
    assert result.interval.low <= 0 <= result.interval.high


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="two non-empty"):
        compare_paired([1, 0], [1])
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)

"""Temperature and threshold on data whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from train.temperature import BOUNDS, fit_temperature, fit_threshold, log_softmax, match_confidence


@pytest.mark.parametrize("fit", [fit_temperature, match_confidence])
@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(
    true_temperature: float, fit: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (40_000, 5))
    cumulated = np.exp(log_softmax(logits)).cumsum(axis=1)
    labels = np.minimum((rng.random((40_000, 1)) > cumulated).sum(axis=1), 4)
    assert fit(logits * true_temperature, labels) == pytest.approx(true_temperature, rel=0.03)


def test_confidence_meets_accuracy_where_labels_are_wrong() -> None:
    """A fifth of the labels is drawn at random: the likelihood's temperature is another."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (20_000, 5))
    labels = np.where(rng.random(20_000) < 0.2, rng.integers(0, 5, 20_000), logits.argmax(axis=1))
    temperature = match_confidence(logits, labels)
    confidence = np.exp(log_softmax(logits / temperature)).max(axis=1).mean()
    assert confidence == pytest.approx((logits.argmax(axis=1) == labels).mean(), abs=1e-6)
    assert abs(temperature / fit_temperature(logits, labels) - 1) > 0.05


def test_temperature_stays_within_its_bounds() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert match_confidence(logits, np.array([0, 1])) == pytest.approx(BOUNDS[0])
    assert match_confidence(logits, np.array([1, 0])) == pytest.approx(BOUNDS[1])


def test_log_softmax_survives_large_logits() -> None:
    assert log_softmax(np.array([[1000.0, 0.0]])).tolist() == [[0.0, -1000.0]]


def test_threshold_is_the_lowest_that_reaches_the_accuracy() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    correct = np.array([True, True, True, False, False])
    assert fit_threshold(confidence, correct, 0.75) == 0.6
    assert fit_threshold(confidence, correct, 0.6) == 0.0
    assert fit_threshold(confidence, ~correct, 0.75) == 0.9

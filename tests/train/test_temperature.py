"""Temperature and threshold on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from train.temperature import fit_temperature, fit_threshold, log_softmax


@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(true_temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (40_000, 5))
    cumulated = np.exp(log_softmax(logits)).cumsum(axis=1)
    labels = np.minimum((rng.random((40_000, 1)) > cumulated).sum(axis=1), 4)
    assert fit_temperature(logits * true_temperature, labels) == pytest.approx(true_temperature, rel=0.03)


def test_log_softmax_survives_large_logits() -> None:
    assert log_softmax(np.array([[1000.0, 0.0]])).tolist() == [[0.0, -1000.0]]


def test_threshold_is_the_lowest_that_reaches_the_accuracy() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    correct = np.array([True, True, True, False, False])
    assert fit_threshold(confidence, correct, 0.75) == 0.6
    assert fit_threshold(confidence, correct, 0.6) == 0.0
    assert fit_threshold(confidence, ~correct, 0.75) == 0.9

import numpy as np
import pytest

from edge_runtime.metrics import expected_calibration_error, reliability_curve, risk_coverage_curve


def test_reliability_curve_puts_edges_into_the_lower_bin() -> None:
    curve = reliability_curve([0.0, 0.5, 0.5001, 1.0], [0, 1, 1, 0], bins=2)
    assert curve.edges.tolist() == [0.0, 0.5, 1.0]
    assert curve.count.tolist() == [2, 2]
    assert curve.confidence == pytest.approx([0.25, 0.75005])
    assert curve.accuracy == pytest.approx([0.5, 0.5])


def test_ece_computed_by_hand() -> None:
    confidence = [0.15, 0.15, 0.95, 0.95, 0.95]
    correct = [0, 0, 1, 1, 0]
    # Bin around 0.15: accuracy 0, gap 0.15; bin around 0.95: accuracy 2/3, gap 0.28333.
    expected = 2 / 5 * 0.15 + 3 / 5 * (0.95 - 2 / 3)
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx(expected)


def test_ece_of_calibrated_predictions_is_small_and_of_overconfident_ones_is_not() -> None:
    generator = np.random.default_rng(5)
    confidence = generator.uniform(0.2, 1, 40_000)
    correct = generator.uniform(size=40_000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.01
    assert expected_calibration_error(np.ones(40_000), correct) == pytest.approx(1 - correct.mean())


def test_risk_coverage_computed_by_hand() -> None:
    curve = risk_coverage_curve([0.9, 0.6, 0.8, 0.7], [1, 0, 1, 0])
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_equal_confidences_are_answered_together() -> None:
    curve = risk_coverage_curve([0.5, 0.5, 0.9], [1, 0, 1])
    assert curve.coverage == pytest.approx([1 / 3, 1])
    assert curve.risk == pytest.approx([0, 1 / 3])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="non-empty"):
        reliability_curve([], [])
    with pytest.raises(ValueError, match=r"0\.\.1"):
        risk_coverage_curve([1.2], [1])

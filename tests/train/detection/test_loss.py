from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")
pytestmark = pytest.mark.host

from train.detection.loss import BoxLoss, FocalLoss  # noqa: E402


def focal(logit: float, label: float, weight: float = 1.0) -> float:
    true = np.array([[[[label, weight]]]], np.float32)
    return float(FocalLoss()(true, np.array([[[[logit]]]], np.float32)))


def giou(true: tuple[float, ...], predicted: tuple[float, ...], weight: float = 1.0) -> float:
    row = np.array([[[[*true, weight]]]], np.float32)
    return float(BoxLoss()(row, np.array([[[predicted]]], np.float32)))


def test_focal_loss_equals_its_definition() -> None:
    probability = 1 / (1 + np.exp(-0.3))
    assert focal(0.3, 1) == pytest.approx(-((1 - probability) ** 2) * np.log(probability), rel=1e-4)
    assert focal(0.3, 0) == pytest.approx(-3 * probability**2 * np.log(1 - probability), rel=1e-4)


def test_confident_and_right_costs_nothing_confident_and_wrong_stays_finite() -> None:
    assert focal(30, 1) == pytest.approx(0, abs=1e-6)
    assert focal(-80, 1) == pytest.approx(80, rel=1e-3)
    assert focal(3, 0, weight=0) == 0


def test_box_loss_is_one_minus_giou() -> None:
    assert giou((1, 1, 1, 1), (1, 1, 1, 1)) == pytest.approx(0, abs=1e-4)
    # True 2 x 2, predicted 1 x 2 inside of it: IoU 1/2, hull equals the true box.
    assert giou((1, 1, 1, 1), (0, 1, 1, 1)) == pytest.approx(0.5, abs=1e-4)
    # Both 2 x 2, shifted by one: shared 2, union 6, hull 6.
    assert giou((2, 1, 0, 1), (1, 1, 1, 1)) == pytest.approx(1 - 1 / 3, abs=1e-4)
    assert giou((1, 1, 1, 1), (3, 3, 3, 3), weight=0) == 0


def test_a_vanished_box_still_costs_and_stays_finite() -> None:
    assert np.isfinite(giou((1, 1, 1, 1), (0, 0, 0, 0)))
    assert giou((1, 1, 1, 1), (0, 0, 0, 0)) > 0.9

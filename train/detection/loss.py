"""Losses of a detector's two kinds of outputs, in plain Keras 3."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

ALPHA, GAMMA = 0.25, 2.0


@keras.saving.register_keras_serializable(package="edge_fer")
class FocalLoss(keras.losses.Loss):
    """Sigmoid focal loss (Lin et al. 2017, arXiv 1708.02002), summed over cells.

    Targets (N, rows, columns, 2) hold label and weight, predictions (N, rows, columns, 1) logits.
    """

    def __init__(self, name: str = "focal", **options: Any) -> None:
        super().__init__(name=name, reduction="sum")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        label, weight = y_true[..., 0], y_true[..., 1]
        logit = y_pred[..., 0]
        signed = ops.where(label > 0.5, logit, -logit)
        # log(sigmoid(x)) = -softplus(-x) stays finite for every logit.
        miss = ops.sigmoid(-signed)
        balance = ops.where(label > 0.5, ALPHA, 1 - ALPHA)
        loss = balance * ops.power(miss, GAMMA) * ops.softplus(-signed)
        return ops.sum(weight * loss, axis=(1, 2)) / ALPHA


@keras.saving.register_keras_serializable(package="edge_fer")
class BoxLoss(keras.losses.Loss):
    """1 - generalized IoU (Rezatofighi et al. 2019, arXiv 1902.09630), summed over positive cells.

    Targets (N, rows, columns, 5) hold distances to left, top, right, bottom and a weight, predictions
    (N, rows, columns, 4) distances, all in the same unit.
    """

    def __init__(self, name: str = "giou", **options: Any) -> None:
        super().__init__(name=name, reduction="sum")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, weight = y_true[..., :4], y_true[..., 4]
        inner, outer = ops.minimum(true, y_pred), ops.maximum(true, y_pred)
        shared = _area(inner)
        union = _area(true) + _area(y_pred) - shared
        hull = _area(outer)
        giou = shared / (union + 1e-6) - (hull - union) / (hull + 1e-6)
        return ops.sum(weight * (1 - giou), axis=(1, 2))


def _area(distances: Any) -> Any:
    """Area of boxes (..., 4) given as distances from a point inside of them."""
    across = distances[..., 0] + distances[..., 2]
    down = distances[..., 1] + distances[..., 3]
    return across * down

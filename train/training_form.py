"""Models in the form that TensorFlow trains soundly and fast on a CPU, and back in Keras' own layers."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from train.fewpixels import ProductGradientConv2D, has_slow_gradient
from train.fused import FusedBatchNormalization, fusible
from train.strided import SubsampledConv2D, has_faulty_gradient


def in_training_form(model: Any) -> Any:
    """The model, or one of the same weights with layers that only training needs in place of Keras' own."""
    if keras.backend.backend() != "tensorflow":
        return model
    kinds: dict[str, Any] = {}
    for layer in model.layers:
        if has_faulty_gradient(layer):
            kinds[layer.name] = SubsampledConv2D
        elif fusible(layer):
            kinds[layer.name] = FusedBatchNormalization
        elif has_slow_gradient(layer):
            kinds[layer.name] = ProductGradientConv2D
    return _with_kinds(model, kinds)


def in_stock_layers(model: Any) -> Any:
    """The model to hand over, of Keras' own layers again."""
    stock = {
        SubsampledConv2D: layers.Conv2D,
        ProductGradientConv2D: layers.Conv2D,
        FusedBatchNormalization: layers.BatchNormalization,
    }
    return _with_kinds(
        model, {layer.name: stock[type(layer)] for layer in model.layers if type(layer) in stock}
    )


def _with_kinds(model: Any, kinds: dict[str, Any]) -> Any:
    if not kinds:
        return model

    def clone(layer: Any) -> Any:
        return kinds.get(layer.name, type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy

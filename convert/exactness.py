"""Keep pixels apart in int8: scale and shift of the input in one operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.quiet import captured_stderr


def with_exact_rescaling(model: Any) -> Any:
    """Replace `Rescaling` layers that shift by 1x1 depthwise convolutions with the same result.

    Quantized to int8, a multiplication followed by an addition leaves 170 of 256 pixel values; the
    convolution adds its bias in 32 bits and keeps all. A `Rescaling` that only scales folds into the next
    convolution by itself. A model that Keras cannot clone is returned as it is.
    """
    import keras

    shifting = [layer for layer in model._flatten_layers() if _shifts(layer)]
    if not shifting:
        return model

    def copy(layer: Any) -> Any:
        if _shifts(layer):
            return keras.layers.DepthwiseConv2D(1, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    try:
        with captured_stderr():
            clone = keras.models.clone_model(model, clone_function=copy, recursive=True)
    except Exception:
        # A subclassed layer; conversion still works, and the gate judges its result.
        return model
    for old, new in zip(_leaves(model), _leaves(clone), strict=True):
        if _shifts(old):
            channels = new.weights[1].shape[0]
            scale = np.broadcast_to(np.asarray(old.scale, np.float32), (1, 1, 1, channels))
            kernel = scale.reshape(1, 1, channels, 1)
            bias = np.broadcast_to(np.asarray(old.offset, np.float32), (channels,))
            new.set_weights([kernel, bias])
        else:
            new.set_weights(old.get_weights())
    return clone


def _shifts(layer: Any) -> bool:
    return type(layer).__name__ == "Rescaling" and bool(np.any(np.asarray(layer.offset) != 0))


def _leaves(model: Any) -> list[Any]:
    layers = model._flatten_layers(include_self=False, recursive=True)
    return [layer for layer in layers if not getattr(layer, "layers", None)]

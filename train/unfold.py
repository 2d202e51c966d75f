"""Batch normalization put back where folding has taken it away, so that a network can learn again.

Folded into the convolution before it, a normalization is gone; a filter's length and the moments of what
it gives are free then, as long as the normalization undoes them: filters get length 1, the moments are
measured on training pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

MOMENT_PICTURES = 2048
"""Training pictures on which the moments are measured."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Folded:
    """One convolution or dense layer without normalization, in Keras' order of axes."""

    kernel: FloatArray
    bias: FloatArray


def fill(model: keras.Model, folded: Mapping[str, Folded], pictures: FloatArray) -> None:
    """Fill a network with folded weights so that it computes the same and can learn again.

    Args:
        folded: by the names of the layers.
        pictures: (N, H, W, C), 0..255, to measure moments on.

    Raises:
        ValueError: the network has other layers.
    """
    norms = {feeding(layer).name: layer for layer in model.layers if normalizes(layer)}
    for layer in model.layers:
        if not layer.weights or normalizes(layer):
            continue
        if layer.name not in folded:
            raise ValueError(f"it lacks the layer {layer.name!r}")
        kernel, bias = folded[layer.name].kernel, folded[layer.name].bias
        if kernel.shape != layer.kernel.shape:
            shape = tuple(layer.kernel.shape)
            raise ValueError(f"its layer {layer.name!r} has the shape {kernel.shape}, not {shape}")
        if layer.name not in norms:
            layer.set_weights([kernel, bias])
            continue
        lengths = np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
        lengths[lengths == 0] = 1
        layer.set_weights([kernel / lengths])
        norm = norms[layer.name]
        zeros = np.zeros_like(bias)
        norm.set_weights([lengths, bias, zeros, zeros + 1 - norm.epsilon])
    probe = keras.Model(model.inputs, [model.get_layer(name).output for name in norms])
    moments = _moments(probe.predict_on_batch, pictures)
    for norm, (mean, variance) in zip(norms.values(), moments, strict=True):
        lengths, bias, *_ = norm.get_weights()
        norm.set_weights(
            [lengths * np.sqrt(variance + norm.epsilon), bias + lengths * mean, mean, variance]
        )


def _moments(
    compute: Callable[[FloatArray], Any], pictures: FloatArray, batch: int = 128
) -> list[tuple[FloatArray, FloatArray]]:
    """Mean and variance per channel of every output (N, H, W, C) of a function."""
    count, sums = 0, list[Any]()
    for start in range(0, len(pictures), batch):
        outputs = [np.asarray(value, np.float64) for value in compute(pictures[start : start + batch])]
        powers = [np.array([value, value**2]).sum(axis=(1, 2, 3)) for value in outputs]
        sums = [total + power for total, power in zip(sums, powers, strict=True)] if sums else powers
        count += len(outputs[0])
    cells = [count * math.prod(value.shape[1:3]) for value in outputs]
    means = [total / size for total, size in zip(sums, cells, strict=True)]
    return [
        (mean.astype(np.float32), (square - mean**2).clip(0).astype(np.float32)) for mean, square in means
    ]


def normalizes(layer: keras.Layer) -> bool:
    """Whether a layer is folded into the convolution before it."""
    return type(layer) is keras.layers.BatchNormalization and type(feeding(layer)) is keras.layers.Conv2D


def feeding(layer: keras.Layer) -> Any:
    """The layer before one with one input."""
    return layer.input._keras_history.operation

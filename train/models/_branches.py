"""Several branches in training, one 3x3 convolution at inference (RepVGG, Ding et al. 2021,
arXiv 2101.03697)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

POINT, IDENTITY = "_point", "_identity"


def convolve_branches(x: Any, filters: int, name: str, strides: int) -> Any:
    """3x3 convolution, 1x1 convolution and, where the shape stays, the input: each normalized, added."""
    branches = []
    for size, suffix in ((3, ""), (1, POINT)):
        branch = layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}{suffix}_conv",
        )(x)
        branches.append(layers.BatchNormalization(name=f"{name}{suffix}_bn")(branch))
    if strides == 1 and x.shape[-1] == filters:
        branches.append(layers.BatchNormalization(name=f"{name}{IDENTITY}_bn")(x))
    return layers.Add(name=f"{name}_branches")(branches)


def merge(model: keras.Model, plain: keras.Model) -> keras.Model:
    """Fill `plain`, which has one convolution and normalization per group, with merged weights.

    A 1x1 convolution is a 3x3 one whose outer taps are zero, and so is the identity; with stride 2 and
    'same' padding of an even size, TensorFlow puts the padding at the end, so that the 1x1 branch
    meets the first tap rather than the middle one.
    """
    there = {layer.name: layer for layer in model.layers}
    for layer in plain.layers:
        name = layer.name.removesuffix("_conv")
        if f"{name}{POINT}_conv" not in there:
            if not layer.name.endswith("_bn") or f"{layer.name[:-3]}{POINT}_conv" not in there:
                layer.set_weights(there[layer.name].get_weights())
            continue
        stride = layer.strides[0]
        size = there[f"{name}_conv"].input.shape[1]
        tap = 1 if stride == 1 or size % 2 else 0
        kernel, bias = _folded(there[f"{name}_conv"].get_weights()[0], there[f"{name}_bn"])
        point, point_bias = _folded(
            there[f"{name}{POINT}_conv"].get_weights()[0], there[f"{name}{POINT}_bn"]
        )
        kernel[tap, tap] += point[0, 0]
        bias = bias + point_bias
        if f"{name}{IDENTITY}_bn" in there:
            channels = kernel.shape[2]
            unit = np.eye(channels, dtype=np.float64)[None, None]
            identity, identity_bias = _folded(unit, there[f"{name}{IDENTITY}_bn"])
            kernel[1, 1] += identity[0, 0]
            bias = bias + identity_bias
        layer.set_weights([kernel.astype(np.float32)])
        norm = plain.get_layer(f"{name}_bn")
        ones, zeros = np.ones_like(bias), np.zeros_like(bias)
        norm.set_weights([w.astype(np.float32) for w in (ones, bias, zeros, ones - norm.epsilon)])
    return plain


def _folded(kernel: npt.NDArray, norm: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    gamma, beta, mean, variance = (w.astype(np.float64) for w in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return kernel * factor, beta - mean * factor

"""mini-Xception: depthwise-separable residual modules without dense layers.

Arriaga, Valdenegro-Toro & Ploeger 2017, "Real-time Convolutional Neural Networks for Emotion and
Gender Classification" (arXiv 1710.07557): two convolutions of 8, four residual modules of separable
convolutions, a last convolution of one channel per class, global average pooling; about 58,000
parameters with seven classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from train.models._plain import start


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    stem: int = 8,
    widths: Sequence[int] = (16, 32, 64, 128),
    l2: float = 0.01,
) -> keras.Model:
    """Build the network.

    Args:
        stem: channels of the two first convolutions.
        widths: channels per residual module; each halves the resolution.
        l2: of all convolutions but those of the shortcuts, as published.
    """
    inputs, x = start(input_shape)
    for number in (1, 2):
        x = layers.Conv2D(stem, 3, use_bias=False, kernel_regularizer=_l2(l2), name=f"stem{number}_conv")(x)
        x = layers.BatchNormalization(name=f"stem{number}_bn")(x)
        x = layers.ReLU(name=f"stem{number}_relu")(x)
    for number, width in enumerate(widths, start=1):
        x = _module(x, width, f"module{number}", l2)
    x = layers.Conv2D(outputs, 3, padding="same", name="classes_conv")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="logits")(x), name="mini_xception")


def _module(x: Any, filters: int, name: str, l2: float) -> Any:
    shortcut = layers.Conv2D(
        filters, 1, strides=2, padding="same", use_bias=False, name=f"{name}_shortcut_conv"
    )(x)
    shortcut = layers.BatchNormalization(name=f"{name}_shortcut_bn")(shortcut)
    for number in (1, 2):
        x = layers.SeparableConv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            depthwise_regularizer=_l2(l2),
            pointwise_regularizer=_l2(l2),
            name=f"{name}_separable{number}",
        )(x)
        x = layers.BatchNormalization(name=f"{name}_bn{number}")(x)
        if number == 1:
            x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([x, shortcut])


def _l2(factor: float) -> Any:
    return keras.regularizers.L2(factor) if factor else None

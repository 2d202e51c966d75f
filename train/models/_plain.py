"""Pieces that the plain convolutional networks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def start(input_shape: tuple[int, int, int]) -> tuple[Any, Any]:
    """(inputs, pixels as 0..1)."""
    inputs = keras.Input(input_shape, name="pixels")
    return inputs, layers.Rescaling(1 / 255, name="rescale")(inputs)


def block(
    x: Any,
    name: str,
    filters: Sequence[int],
    *,
    kernel: int = 3,
    normalize: bool = False,
    dropout: float = 0.0,
    padding: str = "same",
    initializer: str = "he_normal",
    l2: float = 0.0,
) -> Any:
    """Convolutions with ReLU, each normalized if asked; then 2x2 max pooling and dropout."""
    for number, count in enumerate(filters, start=1):
        x = layers.Conv2D(
            count,
            kernel,
            padding=padding,
            use_bias=not normalize,
            kernel_initializer=initializer,
            kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            name=f"{name}_conv{number}",
        )(x)
        if normalize:
            x = layers.BatchNormalization(name=f"{name}_bn{number}")(x)
        x = layers.ReLU(name=f"{name}_relu{number}")(x)
    x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def head(
    x: Any,
    units: Sequence[int],
    outputs: int,
    *,
    normalize: bool = False,
    dropouts: Sequence[float] = (),
    initializer: str = "he_normal",
    l2: float = 0.0,
) -> Any:
    """Flatten, fully connected layers with ReLU, and the logits.

    Args:
        dropouts: rate after each of `units`; none given, none applied.
    """
    regularizer = keras.regularizers.L2(l2) if l2 else None
    x = layers.Flatten(name="flatten")(x)
    for number, count in enumerate(units, start=1):
        x = layers.Dense(
            count,
            use_bias=not normalize,
            kernel_initializer=initializer,
            kernel_regularizer=regularizer,
            name=f"dense{number}",
        )(x)
        if normalize:
            x = layers.BatchNormalization(name=f"dense{number}_bn")(x)
        x = layers.ReLU(name=f"dense{number}_relu")(x)
        if dropouts and dropouts[number - 1]:
            x = layers.Dropout(dropouts[number - 1], name=f"dense{number}_dropout")(x)
    return layers.Dense(outputs, name="logits")(x)

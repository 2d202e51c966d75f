"""Convolutions 128-256-512-512, each pooled and with dropout, and two dense layers: a much copied
notebook's network, without any normalization."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from train.models._plain import block, head, start

# The notebook's, Keras' default. He's larger weights kill the second block at the recipe's rate: after
# seven epochs 99 % of its outputs were zero for every picture, and the network named one class.
INITIALIZER = "glorot_uniform"


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    widths: Sequence[int] = (128, 256, 512, 512),
    dropout: float = 0.4,
    dense: Sequence[int] = (512, 256),
    dense_dropouts: Sequence[float] = (0.4, 0.3),
) -> keras.Model:
    """Build the network; the convolutions are 3x3 without padding, as published."""
    inputs, x = start(input_shape)
    for number, width in enumerate(widths, start=1):
        x = block(x, f"block{number}", (width,), padding="valid", dropout=dropout, initializer=INITIALIZER)
    x = head(x, dense, outputs, dropouts=dense_dropouts, initializer=INITIALIZER)
    return keras.Model(inputs, x, name="cnn_4block")

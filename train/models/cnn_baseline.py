"""A plain convolutional network with L2 regularization and He-normal weights: the tutorials' baseline."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from train.models._plain import block, head, start


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    widths: Sequence[int] = (32, 64, 128),
    dense: int = 128,
    dropout: float = 0.5,
    l2: float = 1e-4,
) -> keras.Model:
    """Build the network: a 3x3 convolution per width, one dense layer, the logits."""
    inputs, x = start(input_shape)
    for number, width in enumerate(widths, start=1):
        x = block(x, f"block{number}", (width,), l2=l2)
    x = head(x, (dense,), outputs, dropouts=(dropout,), l2=l2)
    return keras.Model(inputs, x, name="cnn_baseline")

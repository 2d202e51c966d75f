"""Blocks of two normalized convolutions, pooled, with dropout; the tutorials' "CNN with BatchNorm"."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from train.models._plain import block, head, start


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    widths: Sequence[int] = (32, 64, 128, 256),
    dropout: float = 0.25,
    dense: int = 256,
    dense_dropout: float = 0.5,
) -> keras.Model:
    """Build the network: a block of two 3x3 convolutions per width, one dense layer, the logits."""
    inputs, x = start(input_shape)
    for number, width in enumerate(widths, start=1):
        x = block(x, f"block{number}", (width, width), normalize=True, dropout=dropout)
    x = head(x, (dense,), outputs, normalize=True, dropouts=(dense_dropout,))
    return keras.Model(inputs, x, name="cnn_bn")

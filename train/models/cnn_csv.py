"""One convolution per block, pooled, normalized, with dropout; the tutorials' network on Kaggle's CSV."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from train.models._plain import block, head, start


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    widths: Sequence[int] = (32, 64, 128),
    dropout: float = 0.2,
    dense: int = 128,
    dense_dropout: float = 0.4,
) -> keras.Model:
    """Build the network: a 3x3 convolution per width, one dense layer, the logits."""
    inputs, x = start(input_shape)
    for number, width in enumerate(widths, start=1):
        x = block(x, f"block{number}", (width,), normalize=True, dropout=dropout)
    x = head(x, (dense,), outputs, dropouts=(dense_dropout,))
    return keras.Model(inputs, x, name="cnn_csv")

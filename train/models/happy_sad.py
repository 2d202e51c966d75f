"""Convolutions 16-32-16, each pooled, Dense 256 and one unit: the tutorials' two-class network."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from train.models._plain import block, head, start


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    widths: Sequence[int] = (16, 32, 16),
    dense: int = 256,
) -> keras.Model:
    """Build the network; the convolutions are 3x3 without padding, as published."""
    inputs, x = start(input_shape)
    for number, width in enumerate(widths, start=1):
        x = block(x, f"block{number}", (width,), padding="valid")
    return keras.Model(inputs, head(x, (dense,), outputs), name="happy_sad")

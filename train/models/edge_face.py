"""A single-shot face detector of plain convolutions: one logit and one box per cell of two maps.

Anchor-free in the manner of FCOS (Tian et al. 2019, arXiv 1904.01355), reduced to one class. Every
convolution is followed by batch normalization and ReLU, so that each is one int8 operation of XNNPACK.
Box distances leave the graph through a ReLU: never negative, so that int8 spends all of its 256 steps
on the range there is. Scores and boxes are separate tensors for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

STRIDES = (8, 16)
OUTPUTS = ("score_8", "box_8", "score_16", "box_16")
"""Names and order of the model's outputs."""
PRIOR = 0.01
"""Score of an untrained cell (Lin et al. 2017, arXiv 1708.02002): faces are rare among cells."""


def build(
    input_shape: tuple[int, int, int],
    outputs: int = 1,
    *,
    stem: Sequence[int] = (16, 24),
    fine: Sequence[int] = (48, 48),
    coarse: Sequence[int] = (48, 48),
    head: Sequence[int] = (32, 40),
    dilation: int = 2,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (height, width, channels); pixels are 0..255.
        outputs: score channels per cell; 1 for faces.
        stem: channels of the convolutions that reach half and a quarter of the resolution.
        fine: channels at stride 8; the first convolution halves the resolution.
        coarse: channels at stride 16; likewise.
        head: channels of the last 3x3 convolution before the outputs, at stride 8 and 16.
        dilation: of the last coarse convolution, so that it sees a face that fills the frame.

    Returns:
        Model with outputs in the order of `OUTPUTS`: logits (N, rows, columns, outputs) and distances
        from a cell's centre to left, top, right and bottom, in strides, (N, rows, columns, 4).
    """
    inputs = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    for index, width in enumerate(stem, start=1):
        x = _convolve(x, width, f"stem{index}", strides=2)
    for index, width in enumerate(fine, start=1):
        x = _convolve(x, width, f"fine{index}", strides=2 if index == 1 else 1)
    results = _head(x, head[0], outputs, STRIDES[0])
    for index, width in enumerate(coarse, start=1):
        last = index == len(coarse) > 1
        x = _convolve(
            x, width, f"coarse{index}", strides=2 if index == 1 else 1, dilation=dilation if last else 1
        )
    results += _head(x, head[1], outputs, STRIDES[1])
    return keras.Model(inputs, results, name="edge_face")


def _convolve(x: Any, filters: int, name: str, strides: int = 1, dilation: int = 1) -> Any:
    x = layers.Conv2D(
        filters,
        3,
        strides=strides,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _head(x: Any, filters: int, outputs: int, stride: int) -> list[Any]:
    x = _convolve(x, filters, f"head_{stride}")
    score = layers.Conv2D(
        outputs,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR)),
        name=f"score_{stride}",
    )(x)
    distances = layers.Conv2D(
        4,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        # A ReLU that starts at zero would never learn.
        bias_initializer=keras.initializers.Constant(1.5),
        name=f"distances_{stride}",
    )(x)
    return [score, layers.ReLU(name=f"box_{stride}")(distances)]

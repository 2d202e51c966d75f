"""A small residual network of plain 3x3 convolutions, the architecture of the released models.

Dense convolutions, batch normalization and ReLU only: each fuses into one int8 operation of XNNPACK,
and channel counts in multiples of 32 fill its tiles. Residual blocks as in He et al. 2015
(arXiv 1512.03385), without their bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from train.models._branches import convolve_branches


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    stem: int = 32,
    widths: Sequence[int] = (32, 64, 160),
    blocks: Sequence[int] = (1, 1, 1),
    inner: Sequence[int] = (),
    dropout: float = 0.0,
    branches: bool = False,
    dilated: bool = False,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (height, width, channels); pixels are 0..255.
        outputs: units of the last, linear layer.
        stem: channels of the first convolution, at full resolution.
        widths: channels per stage; each stage halves the resolution, but for a dilated one.
        blocks: residual blocks per stage, after the convolution that halves it.
        inner: channels between the two convolutions of a residual block, per stage; empty for `widths`.
        dropout: rate before the last layer.
        branches: train a 1x1 convolution and the identity beside every 3x3 convolution; they are
            merged when the model is handed over.
        dilated: the last stage keeps the resolution of the one before, and its later convolutions take
            every other pixel instead (Yu et al. 2017, arXiv 1705.09914). It has the weights of one that
            is not, sees as far, and does four times its arithmetic.

    Raises:
        ValueError: both `branches` and `dilated`.
    """
    if branches and dilated:
        raise ValueError("dilated convolutions have no branches")
    convolve = partial(_convolve, branches=branches)
    inputs = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = convolve(x, stem, "stem")
    stages = zip(widths, blocks, inner or widths, strict=True)
    for stage, (width, count, between) in enumerate(stages, start=1):
        last = dilated and stage == len(widths)
        x = convolve(x, width, f"stage{stage}_down", strides=1 if last else 2)
        if last:
            convolve = partial(convolve, dilation=2)
        for block in range(1, count + 1):
            x = _residual(convolve, x, width, between, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    # Also where the rest is trained in 16 bits: differences of logits decide.
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="edge_resnet")


def _convolve(
    x: Any,
    filters: int,
    name: str,
    strides: int = 1,
    activate: bool = True,
    branches: bool = False,
    dilation: int = 1,
) -> Any:
    if branches:
        x = convolve_branches(x, filters, name, strides)
        return layers.ReLU(name=f"{name}_relu")(x) if activate else x
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
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _residual(convolve: Callable[..., Any], x: Any, filters: int, inner: int, name: str) -> Any:
    branch = convolve(x, inner, f"{name}_1")
    branch = convolve(branch, filters, f"{name}_2", activate=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, branch]))

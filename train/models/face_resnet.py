"""The residual network of dlib's face recognition, ended as a classifier: a large teacher.

29 convolutions in the manner of ResNet-34 (He et al. 2015, arXiv 1512.03385) with half its filters;
shortcuts that halve the resolution are averages of 2x2 cells, whose missing channels are zeros
(https://github.com/davisking/dlib, examples/dnn_face_recognition_ex.cpp). `--start` takes dlib's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    scale: int = 2,
    widths: Sequence[int] = (32, 64, 128, 256, 256),
    blocks: Sequence[int] = (3, 4, 3, 3, 1),
    dropout: float = 0.0,
) -> keras.Model:
    """Build the network.

    Args:
        input_shape: (height, width, channels); pixels are 0..255.
        outputs: units of the last, linear layer.
        scale: times that a picture is enlarged first; the weights know faces of 150x150.
        widths: channels per stage, as many as before or twice as many; each stage after the first halves
            the resolution.
        blocks: residual blocks per stage.
        dropout: rate before the last layer.
    """
    inputs = keras.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 256, name="rescale")(inputs)
    if scale > 1:
        x = layers.UpSampling2D(scale, interpolation="bilinear", name="enlarge")(x)
    x = _convolve(x, widths[0], "stem", size=7, strides=2, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        for block in range(1, count + 1):
            x = _residual(x, width, f"stage{stage}_block{block}", halve=stage > 1 and block == 1)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="face_resnet")


def _convolve(
    x: Any,
    filters: int,
    name: str,
    *,
    size: int = 3,
    strides: int = 1,
    padding: str = "same",
    activate: bool = True,
) -> Any:
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _residual(x: Any, filters: int, name: str, halve: bool) -> Any:
    branch, shortcut = x, x
    if halve:
        # One row and column more, so that the convolution gives as many cells as the average.
        branch = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
        shortcut = layers.AveragePooling2D(2, name=f"{name}_average")(x)
        if filters != x.shape[-1]:
            nothing = layers.Rescaling(0.0, name=f"{name}_nothing")(shortcut)
            shortcut = layers.Concatenate(name=f"{name}_widen")([shortcut, nothing])
    branch = _convolve(
        branch,
        filters,
        f"{name}_1",
        strides=2 if halve else 1,
        padding="valid" if halve else "same",
    )
    branch = _convolve(branch, filters, f"{name}_2", activate=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, branch]))

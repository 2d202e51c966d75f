"""Transfer from ImageNet: a network of keras.applications with preprocessing in the graph, and a head.

The published preprocessing subtracts a mean per channel from BGR pixels, which needs an int8 input scale
that merges pixel values. Here the graph begins with pixels / 255, which stays exact in int8, and the
first convolution takes over the rest: its kernel is turned to RGB and scaled, the mean goes into its
bias. Only at the picture's border the result differs, where the network pads with black instead of the
mean colour; fine-tuning gets used to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from edge_runtime.errors import UsageError
from train.models._plain import start

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean of ImageNet's pixels, which the Caffe-style weights expect subtracted."""

LOCAL_WEIGHTS_HINT = (
    "give --weights FILE (the notop .h5 of keras.applications), or --weights none to train from scratch"
)


def build_transfer(
    application: Callable[..., keras.Model],
    first_conv: str,
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    weights: str,
    caffe: bool,
    dense: Sequence[int],
    dropout: float,
    name: str,
) -> keras.Model:
    """Build backbone and head as one flat model.

    Args:
        application: constructor of `keras.applications`.
        first_conv: name of its first convolution.
        weights: `imagenet` (Keras' own download), `none`, or path of a local .h5.
        caffe: whether the weights expect mean-free BGR pixels; otherwise -1..1.
        dense: units of the head's fully connected layers.

    Raises:
        UsageError: weights that cannot be had, or an input that is not RGB.
    """
    if input_shape[2] != 3:
        raise UsageError(f"{name} takes RGB; set [data] color = 'rgb'")
    inputs, x = start(input_shape)
    source = None if weights == "none" else _source(application, weights, input_shape)
    backbone = application(include_top=False, weights=None, input_tensor=x)
    if source is not None:
        backbone.set_weights(source.get_weights())
        _take_over_preprocessing(backbone.get_layer(first_conv), caffe)
    x = layers.GlobalAveragePooling2D(name="head_pool")(backbone.output)
    for number, units in enumerate(dense, start=1):
        x = layers.Dense(units, kernel_initializer="he_normal", name=f"head_dense{number}")(x)
        x = layers.ReLU(name=f"head_relu{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"head_dropout{number}")(x)
    return keras.Model(inputs, layers.Dense(outputs, name="head_logits")(x), name=name)


def _source(
    application: Callable[..., keras.Model], weights: str, input_shape: tuple[int, int, int]
) -> keras.Model:
    if weights != "imagenet" and not Path(weights).is_file():
        raise UsageError(f"{weights}: no such weights file; {LOCAL_WEIGHTS_HINT}")
    try:
        return application(include_top=False, weights=weights, input_shape=input_shape)
    except Exception as error:
        # Keras raises plain Exception for a failed download and ValueError, OSError or KeyError for
        # a file that does not fit.
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"weights {weights!r} cannot be loaded ({reason}); {LOCAL_WEIGHTS_HINT}") from None


def _take_over_preprocessing(conv: Any, caffe: bool) -> None:
    """Turn a convolution of preprocessed pixels into one of RGB pixels / 255."""
    kernel, bias = conv.get_weights()
    if caffe:
        kernel = kernel[:, :, ::-1]
        mean, scale = np.array(CAFFE_MEAN_BGR[::-1]), 1.0
    else:
        mean, scale = np.full(3, 127.5), 1 / 127.5
    bias = bias - np.einsum("hwio,i->o", kernel, mean) * scale
    conv.set_weights([(kernel * scale * 255).astype(np.float32), bias.astype(np.float32)])

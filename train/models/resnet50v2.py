"""ResNet50V2 (He et al. 2016, arXiv 1603.05027) with a head for faces."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from train.models._transfer import build_transfer


def build(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    weights: str = "imagenet",
    dense: Sequence[int] = (256,),
    dropout: float = 0.5,
) -> keras.Model:
    """Build the network; see `build_transfer`."""
    return build_transfer(
        keras.applications.ResNet50V2,
        "conv1_conv",
        input_shape,
        outputs,
        weights=weights,
        caffe=False,
        dense=dense,
        dropout=dropout,
        name="resnet50v2",
    )

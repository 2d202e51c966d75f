"""Signal-to-noise ratios: arithmetic, and the damaged layer is the one that is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.layers import (
    MAX_DB,
    LayerError,
    own_drop,
    ratio_db,
    short_name,
    tflite_layer_errors,
    worst_layers,
)
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite
from tests.convert.conftest import smooth_pictures


def test_ratio_in_decibels() -> None:
    assert ratio_db(100, 1) == pytest.approx(20)
    assert ratio_db(1, 0) == MAX_DB
    assert ratio_db(0, 1) == -MAX_DB


def test_an_operation_is_blamed_for_what_it_adds_alone() -> None:
    ratios = {"a": 120.0, "b": 40.0, "c": 39.0, "d": 10.0}
    feeds = {"a": ["input"], "b": ["a", "weights"], "c": ["b"], "d": ["c", "a"]}
    drops = {name: own_drop(name, ratios, feeds) for name in ratios}
    assert drops == {"a": 0, "b": 5, "c": 1, "d": 29}
    errors = [LayerError(name, "CONV_2D", ratios[name], drops[name]) for name in ratios]
    assert [error.name for error in worst_layers(errors, 2)] == ["d", "b"]


def test_names_of_fused_operations_are_shortened() -> None:
    assert short_name("m/relu1/Relu;m/bn1/batchnorm/mul;m/conv1/convolution") == "relu1+batchnorm+conv1"
    assert short_name("StatefulPartitionedCall_1:0") == "StatefulPartitionedCall_1:0"


@pytest.mark.host
def test_the_damaged_layer_is_named(source: SourceModel, tensorflow: Any) -> None:
    import keras

    exact = convert_tflite(source, Recipe("float32"), None)
    damaged = keras.models.clone_model(source.model)
    damaged.set_weights(source.model.get_weights())
    layer = [item for item in damaged.layers if type(item).__name__ == "Conv2D"][1]
    kernel, bias = layer.get_weights()
    noise = np.random.default_rng(0).normal(0, 0.3, kernel.shape)
    layer.set_weights([kernel * (1 + noise), bias])
    candidate = convert_tflite(SourceModel(source.path, damaged, source.contract), Recipe("float32"), None)
    pixels = smooth_pictures(8, seed=9)[..., None]
    errors = tflite_layer_errors(exact, candidate, pixels)
    convolutions = [error for error in errors if error.op == "CONV_2D"]
    assert convolutions[0].sqnr_db == MAX_DB
    assert worst_layers(errors, 1)[0] == convolutions[1]
    assert convolutions[1].sqnr_db < 30

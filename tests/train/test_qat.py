"""Quantization-aware fine-tuning: folding is exact, rounding is TFLite's, stock layers come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from convert.__main__ import main as convert
from edge_runtime.contract import InputSpec
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import UsageError
from edge_runtime.modelfile import read_tflite
from tests.train.support import RECIPE, faces, write_npz, write_recipe
from train.__main__ import main
from train.inference import load_trained
from train.models import build_model
from train.qat import (
    calibration_ranges,
    copy_weights_back,
    fold_batch_normalization,
    qat_recipe,
    quantized_copy,
)
from train.quantlayers import fake_quantize, fake_quantize_weights
from train.recipe import recipe_from_dict

pytestmark = pytest.mark.host


def random_model() -> keras.Model:
    model = build_model("edge_resnet", (16, 16, 1), 3, stem=4, widths=[8], blocks=[1], dropout=0.3)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def test_fine_tuning_takes_pictures_of_the_models_size() -> None:
    small = recipe_from_dict(
        {
            "name": "small",
            "description": "",
            "model": {"architecture": "edge_resnet"},
            "train": {"epochs": 9, "learning_rate": 0.1, "picture_px": 8},
            "phases": [{"epochs": 9, "learning_rate": 0.1, "picture_px": 8}],
        },
        "test",
    )
    (schedule,) = qat_recipe(small, None, None).schedules()
    assert (schedule.epochs, schedule.picture_px) == (3, 0)


def test_folding_keeps_the_function() -> None:
    model = random_model()
    folded = fold_batch_normalization(model)
    pixels = faces().images[..., None].astype(np.float32)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    assert np.asarray(folded(pixels)) == pytest.approx(np.asarray(model(pixels)), rel=1e-4, abs=1e-4)


def test_ranges_stand_where_int8_has_tensors() -> None:
    folded = fold_batch_normalization(random_model())
    found = calibration_ranges(folded, faces(), InputSpec(16, 16), 0)
    assert found["rescale"] == (0.0, 1.0)
    assert "stem_conv" not in found
    assert "dropout" not in found
    assert {"stem_relu", "stage1_block1_2_conv", "stage1_block1_relu", "pool", "logits"} <= set(found)
    assert "stage1_block1_add" not in found
    assert all(low <= 0 <= high for low, high in found.values())
    quantized = quantized_copy(folded, found)
    pixels = faces().images[..., None].astype(np.float32)
    plain, rounded = np.asarray(folded(pixels)), np.asarray(quantized(pixels))
    assert 0 < np.abs(plain - rounded).max() < 0.1 * np.abs(plain).max()
    document = copy_weights_back(quantized, folded)
    assert document["activations"].keys() == found.keys()


def test_rounding_is_that_of_int8() -> None:
    values = np.linspace(-1, 3, 1001, dtype=np.float32)
    rounded = np.asarray(fake_quantize(values, np.float32(-0.5), np.float32(2.05)))
    scale = 2.55 / 255
    assert rounded.min() == pytest.approx(-0.5, abs=1e-6)
    assert rounded.max() == pytest.approx(2.05, abs=1e-6)
    assert np.abs(rounded / scale - np.round(rounded / scale)).max() < 1e-3
    assert len(np.unique(rounded)) <= 256
    assert float(np.asarray(fake_quantize(np.zeros(1, np.float32), -0.503, 2.0))[0]) == 0
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    steps = np.asarray(fake_quantize_weights(kernel, (3,))) / (np.abs(kernel).max(axis=(0, 1, 2)) / 127)
    assert np.abs(steps - np.round(steps)).max() < 1e-3


def test_unknown_layers_are_refused() -> None:
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, layers.Conv2DTranspose(2, 3, name="up")(image))
    with pytest.raises(UsageError, match=r"'up' \(Conv2DTranspose\)"):
        fold_batch_normalization(model)


def test_separable_convolutions_become_the_two_they_are_made_of() -> None:
    model = build_model("mini_xception", (48, 48, 1), 3)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    folded = fold_batch_normalization(model)
    pixels = rng.integers(0, 256, (4, 48, 48, 1)).astype(np.float32)
    wanted = np.asarray(model(pixels))
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    assert np.asarray(folded(pixels)) == pytest.approx(
        wanted, rel=1e-3, abs=1e-3 * float(np.abs(wanted).max())
    )
    images = LabeledImages(pixels[..., 0].astype(np.uint8), np.zeros(4, np.int64), ("a",), None, "here")
    found = calibration_ranges(folded, images, InputSpec(48, 48), 0)
    assert {"module1_separable1_depthwise", "module1_relu", "module1_separable2", "logits"} <= set(found)
    assert "module1_separable1" not in found
    quantized = quantized_copy(folded, found)
    rounded = np.asarray(quantized(pixels))
    assert 0 < np.abs(wanted - rounded).max() < 0.2 * np.abs(wanted).max()
    assert copy_weights_back(quantized, folded)["activations"].keys() == found.keys()


def test_a_normalization_goes_into_a_depthwise_convolution() -> None:
    image = keras.Input((8, 8, 3), name="pixels")
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(image)
    model = keras.Model(image, layers.BatchNormalization()(x))
    rng = np.random.default_rng(1)
    model.layers[-1].set_weights([rng.uniform(0.5, 1.5, 6) for _ in range(4)])
    pixels = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
    folded = fold_batch_normalization(model)
    assert np.asarray(folded(pixels)) == pytest.approx(np.asarray(model(pixels)), abs=1e-5)


def test_fit_qat_writes_stock_layers_and_ranges(tmp_path: Path) -> None:
    data, recipe = write_npz(tmp_path / "faces.npz", faces()), write_recipe(tmp_path / "tiny.toml", RECIPE)
    arguments = ["fit", "--recipe", str(recipe), "--data", str(data), "--epochs", "1", "--deterministic"]
    assert main([*arguments, "--out", str(tmp_path / "float")]) == 0
    out = tmp_path / "qat"
    more = ["--qat", str(tmp_path / "float"), "--out", str(out), "--learning-rate", "1e-4"]
    assert main([*arguments, *more]) == 0
    first = load_trained(out)
    assert all(type(layer).__module__.startswith("keras.") for layer in first.model.layers)
    ranges = json.loads((out / "model.ranges.json").read_text())
    assert ranges["schema"] == 1
    assert set(ranges["activations"]) <= {layer.name for layer in first.model.layers}
    assert ranges["activations"]["rescale"] == [0, 1]
    images = faces().images
    reference = load_trained(tmp_path / "float").logits(images)
    assert first.logits(images) == pytest.approx(reference, abs=0.5)
    # A finished run is written again from its checkpoint, with the trained ranges and weights.
    (out / "model.keras").unlink()
    (out / "model.ranges.json").unlink()
    assert main([*arguments, *more]) == 0
    assert json.loads((out / "model.ranges.json").read_text()) == ranges
    assert np.array_equal(load_trained(out).logits(images), first.logits(images))
    # What it hands over is converted without a representative set.
    converted = tmp_path / "int8.tflite"
    given = ["tflite", str(out / "model.keras"), "--data", str(data), "--out", str(converted)]
    assert convert(given) == 0
    quantization = read_tflite(converted).contract.quantization
    assert quantization["method"] == "trained ranges"
    assert "calibration" not in quantization

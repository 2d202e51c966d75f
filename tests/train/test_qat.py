"""Quantization-aware fine-tuning: folding is exact, rounding is TFLite's, stock layers come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from edge_runtime.contract import InputSpec
from edge_runtime.errors import UsageError
from tests.train.support import RECIPE, faces, write_npz, write_recipe
from train.__main__ import main
from train.inference import load_trained
from train.models import build_model
from train.qat import calibration_ranges, copy_weights_back, fold_batch_normalization, quantized_copy
from train.quantlayers import fake_quantize, fake_quantize_weights

pytestmark = pytest.mark.host


def random_model() -> keras.Model:
    model = build_model("edge_resnet", (16, 16, 1), 3, stem=4, widths=[8], blocks=[1], dropout=0.3)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


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
    with pytest.raises(UsageError, match="SeparableConv2D"):
        fold_batch_normalization(build_model("mini_xception", (48, 48, 1), 7))


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

"""Architectures and recipes: sizes, merged branches, preprocessing, and one step of every recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.datasets import FER2013_LABELS
from edge_runtime.errors import UsageError
from tests.train.support import compute_eagerly, faces, write_npz
from train.__main__ import main
from train.inference import load_trained
from train.models import build_model, merge_branches
from train.models._transfer import CAFFE_MEAN_BGR, _take_over_preprocessing

pytestmark = pytest.mark.host

OWN = ("mini-xception", "cnn-bn", "cnn-csv", "cnn-4block", "cnn-baseline", "happy-sad")


def test_mini_xception_has_the_published_size() -> None:
    assert build_model("mini_xception", (48, 48, 1), 7).count_params() == 58_423


@pytest.mark.parametrize("size", [16, 15])
def test_merged_branches_compute_the_same(size: int) -> None:
    parameters = {"stem": 4, "widths": [8, 8], "blocks": [1, 1], "branches": True}
    model = build_model("edge_resnet", (size, size, 1), 3, **parameters)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    merged = merge_branches("edge_resnet", model, parameters)
    pixels = rng.integers(0, 256, (4, size, size, 1)).astype(np.float32)
    assert len(merged.layers) < len(model.layers)
    assert np.asarray(merged(pixels)) == pytest.approx(np.asarray(model(pixels)), rel=1e-4, abs=1e-4)


def test_a_dilated_stage_computes_the_plain_one_at_every_other_place() -> None:
    parameters = {"stem": 4, "widths": [8, 8], "blocks": [1, 2]}
    plain, dilated = (
        build_model("edge_resnet", (24, 24, 1), 3, **parameters, dilated=flag) for flag in (False, True)
    )
    dilated.set_weights(plain.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 1)).astype(np.float32)
    maps = [
        np.asarray(keras.Model(model.input, model.get_layer("pool").input)(pixels))
        for model in (plain, dilated)
    ]
    assert [each.shape[1:3] for each in maps] == [(6, 6), (12, 12)]
    np.testing.assert_allclose(maps[1][:, 1::2, 1::2], maps[0], rtol=1e-4, atol=1e-4 * maps[0].max())


def test_inner_channels_are_those_between_the_convolutions_of_a_block() -> None:
    model = build_model("edge_resnet", (24, 24, 1), 3, stem=4, widths=[8, 12], blocks=[1, 2], inner=[5, 12])
    widths = {layer.name: layer.output.shape[-1] for layer in model.layers if layer.name.endswith("_conv")}
    assert widths == {
        "stem_conv": 4,
        "stage1_down_conv": 8,
        "stage1_block1_1_conv": 5,
        "stage1_block1_2_conv": 8,
        **{f"stage2_{part}_conv": 12 for part in ("down", "block1_1", "block1_2", "block2_1", "block2_2")},
    }


@pytest.mark.parametrize("caffe", [True, False])
def test_first_convolution_takes_over_the_preprocessing(caffe: bool) -> None:
    rng = np.random.default_rng(0)
    conv = keras.layers.Conv2D(4, 3)
    pixels = rng.integers(0, 256, (2, 9, 9, 3)).astype(np.float32)
    expected = np.asarray(
        conv(pixels[..., ::-1] - np.float32(CAFFE_MEAN_BGR) if caffe else pixels / 127.5 - 1)
    )
    _take_over_preprocessing(conv, caffe)
    assert np.asarray(conv(pixels / 255)) == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match="choose one of cnn_4block"):
        build_model("resnet", (48, 48, 1), 7)
    with pytest.raises(UsageError, match="unexpected keyword argument 'width'"):
        build_model("edge_resnet", (48, 48, 1), 7, width=3)
    with pytest.raises(UsageError, match="no branches"):
        build_model("edge_resnet", (48, 48, 1), 7, branches=True, dilated=True)
    with pytest.raises(UsageError, match="set \\[data\\] color = 'rgb'"):
        build_model("vgg16", (48, 48, 1), 7, weights="none")
    with pytest.raises(UsageError, match=r"no such weights file; give --weights FILE"):
        build_model("vgg16", (48, 48, 3), 7, weights="missing.h5")


@pytest.mark.parametrize("recipe", OWN)
def test_every_recipe_makes_a_step(tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_eagerly(monkeypatch)
    data = replace(faces(42, 48, classes=FER2013_LABELS), splits=np.full(42, "Training"))
    arguments = ["--data", str(write_npz(tmp_path / "faces.npz", data)), "--out", str(tmp_path / "run")]
    assert main(["fit", "--recipe", recipe, "--epochs", "1", *arguments]) == 0
    trained = load_trained(tmp_path / "run")
    probabilities = trained.probabilities(data.images[:2])
    assert probabilities.shape == (2, len(trained.contract.labels))
    assert np.isfinite(probabilities).all()

"""Class folders are read as a model takes them, with its own size, colour and classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main as benchmarks
from convert.__main__ import main as convert
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.modelfile import embed_keras

pytestmark = pytest.mark.host

SIZE = 24
COLORS = {"cross": (40, 40, 220), "calm": (220, 40, 40)}
"""BGR: the classes have the same luma but for noise."""


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 8)):
        for name, color in COLORS.items():
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                picture = np.clip(rng.normal(color, 15, (60, 50, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{index}.png"), picture)
    return tmp_path / "faces"


@pytest.fixture
def colored(tensorflow: Any, tmp_path: Path) -> Path:
    """A network that tells red from blue."""
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    # The noise makes gray pictures differ, so that the self-test's vectors do.
    weights = np.tile(np.array([[4, -3], [0, 0], [-3, 4]]) / 9, (9, 1))
    weights += np.random.default_rng(0).normal(0, 0.1, weights.shape)
    model.layers[-1].set_weights([weights, np.zeros(2)])
    path = tmp_path / "colored.keras"
    model.save(path)
    embed_keras(path, ModelContract("colored", "softmax", ("cross", "calm"), InputSpec(SIZE, SIZE, "rgb")))
    return path


def test_class_folders_are_read_as_the_model_takes_them(
    colored: Path, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "colored.tflite", ["--data", str(folders), "--format", "json"]
    converting = ["tflite", str(colored), "--quantize", "int8", "--calibration-images", "20"]
    assert convert([*converting, "--out", str(out), *data]) == 0
    (done,) = json.loads(capsys.readouterr().out)
    assert benchmarks(["accuracy", "--model", str(out), "--split", "test", *data]) == 0
    (measured,) = json.loads(capsys.readouterr().out)
    assert (measured["n"], measured["top1"]) == (16, 1)
    assert convert(["verify", str(colored), str(out), *data]) == 0
    verified = json.loads(capsys.readouterr().out)
    for parity in (done, *verified):
        assert parity["images"] == 16
        assert parity["reference_accuracy"]["top1"] == parity["accuracy"]["top1"] == 1

"""Models made elsewhere run in edge-fer and give their own predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.__main__ import main
from edge_runtime.__main__ import main as edge_fer
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import FER2013_LABELS
from edge_runtime.modelfile import read_tflite
from tests.convert.conftest import smooth_pictures

pytestmark = pytest.mark.host

LABELS = ",".join(FER2013_LABELS)


@pytest.fixture(scope="module")
def notebook(tensorflow: Any) -> Any:
    """A network as a notebook builds it: pixels of 0..1, softmax at the end, no contract."""
    import keras

    keras.utils.set_random_seed(4)
    layers = keras.layers
    spread = keras.initializers.RandomNormal(0, 0.02)
    return keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            layers.Conv2D(6, 3, strides=2, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(7, activation="softmax", kernel_initializer=spread),
        ]
    )


@pytest.fixture(scope="module")
def pixels() -> Any:
    return smooth_pictures(12, seed=5)


def predictions(model: Any, pixels: Any, low: float, high: float) -> Any:
    return np.asarray(model(low + pixels[..., None].astype(np.float32) * (high - low) / 255))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_a_tflite_of_another_route_gives_its_own_predictions(
    tensorflow: Any, notebook: Any, pixels: Any, tmp_path: Path, low: int, high: int
) -> None:
    bare, out = tmp_path / "bare.tflite", tmp_path / "out.tflite"
    bare.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(notebook).convert())
    arguments = ["attach-contract", str(bare), "--out", str(out), "--labels", LABELS]
    assert main([*arguments, f"--input-range={low}..{high}"]) == 0
    classifier = Classifier.load(out)
    self_test(classifier)
    given = np.stack([classifier.predict(picture).copy() for picture in pixels])
    assert np.allclose(given, predictions(notebook, pixels, low, high), atol=1e-4)
    assert read_tflite(out).contract.activation == "probabilities"


def test_an_onnx_file_gives_its_own_predictions(notebook: Any, pixels: Any, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    import tensorflow as tf
    import tf2onnx

    bare, out = tmp_path / "bare.onnx", tmp_path / "out.onnx"
    specification = (tf.TensorSpec((1, 48, 48, 1), tf.float32, name="x"),)
    function = tf.function(notebook, input_signature=specification)
    tf2onnx.convert.from_function(function, specification, opset=17, output_path=str(bare))
    arguments = ["attach-contract", str(bare), "--out", str(out), "--labels", LABELS]
    assert main([*arguments, "--input-range=-1..1"]) == 0
    classifier = Classifier.load(out)
    given = np.stack([classifier.predict(picture).copy() for picture in pixels])
    assert np.allclose(given, predictions(notebook, pixels, -1, 1), atol=1e-4)


def test_json_and_h5_give_the_notebooks_predictions(notebook: Any, pixels: Any, tmp_path: Path) -> None:
    from convert.source import load_source
    from convert.statement import Statement

    (tmp_path / "m.json").write_text(notebook.to_json())
    notebook.save_weights(tmp_path / "m.weights.h5")
    weights = tmp_path / "m.weights.h5"
    statement = Statement(labels=FER2013_LABELS, input_range=(0, 1), weights=weights)
    source = load_source(tmp_path / "m.json", None, statement)
    assert np.allclose(source.predict_images(pixels), predictions(notebook, pixels, 0, 1), atol=1e-5)


def test_json_of_keras_2_gives_the_notebooks_predictions(
    notebook: Any, pixels: Any, tmp_path: Path
) -> None:
    from convert.source import load_source
    from convert.statement import Statement

    initializer = {"class_name": "Zeros", "config": {}}
    convolution = {
        "name": "conv2d",
        "batch_input_shape": [None, 48, 48, 1],
        "dtype": "float32",
        "filters": 6,
        "kernel_size": [3, 3],
        "strides": [2, 2],
        "padding": "valid",
        "activation": "relu",
        "use_bias": True,
        "bias_initializer": initializer,
    }
    layers = [
        {"class_name": "Conv2D", "config": convolution},
        {"class_name": "MaxPooling2D", "config": {"name": "pool", "pool_size": [2, 2]}},
        {"class_name": "Flatten", "config": {"name": "flatten"}},
        {"class_name": "Dense", "config": {"name": "dense", "units": 7, "activation": "softmax"}},
    ]
    architecture = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    document = {**architecture, "keras_version": "2.15.0", "backend": "tensorflow"}
    (tmp_path / "emotiondetector.json").write_text(json.dumps(document))
    notebook.save(tmp_path / "emotiondetector.h5")
    statement = Statement(
        labels=FER2013_LABELS, input_range=(0, 1), weights=tmp_path / "emotiondetector.h5"
    )
    source = load_source(tmp_path / "emotiondetector.json", None, statement)
    assert np.allclose(source.predict_images(pixels), predictions(notebook, pixels, 0, 1), atol=1e-5)


def run_by_edge_fer(model: Path, pixels: Any, folder: Path, capsys: Any) -> Any:
    """Probabilities (N, labels) as `edge-fer predict` prints them for pictures that are faces."""
    names = []
    for index, picture in enumerate(pixels):
        names.append(str(folder / f"face{index}.png"))
        cv2.imwrite(names[-1], picture)
    capsys.readouterr()
    run = ["predict", "--model", str(model), "--detector", "none", "--format", "json"]
    assert edge_fer([*run, *names]) == 0
    records = json.loads(capsys.readouterr().out)
    faces = [face for record in records for face in record["faces"]]
    return np.array([[face["probabilities"][label] for label in FER2013_LABELS] for face in faces])


def test_a_third_partys_tflite_runs_in_edge_fer(
    tensorflow: Any, notebook: Any, pixels: Any, tmp_path: Path, capsys: Any
) -> None:
    bare, out = tmp_path / "theirs.tflite", tmp_path / "ours.tflite"
    bare.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(notebook).convert())
    stated = ["--labels", LABELS, "--input-range", "0..1"]
    assert main(["attach-contract", str(bare), "--out", str(out), *stated]) == 0
    given = run_by_edge_fer(out, pixels, tmp_path, capsys)
    assert np.allclose(given, predictions(notebook, pixels, 0, 1), atol=1e-3)


def test_a_notebooks_json_and_h5_run_in_edge_fer(
    notebook: Any, pixels: Any, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    architecture, weights = tmp_path / "emotiondetector.json", tmp_path / "emotiondetector.h5"
    architecture.write_text(notebook.to_json())
    notebook.save(weights)
    out = tmp_path / "mine.tflite"
    stated = ["--weights", str(weights), "--labels", LABELS, "--input-range", "0..1"]
    convert = ["tflite", str(architecture), "--quantize", "float32", "--data", str(data_file), *stated]
    assert main([*convert, "--out", str(out)]) == 0
    given = run_by_edge_fer(out, pixels, tmp_path, capsys)
    assert np.allclose(given, predictions(notebook, pixels, 0, 1), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "code", "fragment"),
    [
        ([], 2, "--labels and --input-range"),
        (["--labels", LABELS], 2, "--input-range"),
        (["--labels", "a,b", "--input-range", "0..1"], 1, "7 outputs"),
    ],
)
def test_nothing_is_guessed(
    tensorflow: Any,
    notebook: Any,
    tmp_path: Path,
    capsys: Any,
    options: list[str],
    code: int,
    fragment: str,
) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(tensorflow.lite.TFLiteConverter.from_keras_model(notebook).convert())
    arguments = ["attach-contract", str(bare), "--out", str(tmp_path / "out.tflite")]
    assert main([*arguments, *options]) == code
    assert fragment in capsys.readouterr().err.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == [bare]


def test_a_file_with_a_contract_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    tiny = Path(__file__).parents[1] / "data" / "tiny.tflite"
    arguments = ["attach-contract", str(tiny), "--out", str(tmp_path / "out.tflite"), "--labels", LABELS]
    assert main([*arguments, "--input-range", "0..1"]) == 1
    assert "already has a contract" in capsys.readouterr().err

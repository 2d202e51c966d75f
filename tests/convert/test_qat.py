"""Ranges of training replace the representative set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import read_tflite

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def trained(
    keras_model: Any, keras_file: Path, pictures: LabeledImages, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model with the ranges that its layers show on Training, as fine-tuning records them."""
    import keras

    path = tmp_path_factory.mktemp("qat") / "model.keras"
    shutil.copy(keras_file, path)
    ranged = [layer for layer in keras_model.layers if not isinstance(layer, keras.layers.InputLayer)]
    probe = keras.Model(keras_model.inputs, [layer.output for layer in ranged])
    values = probe(pictures.split("Training").images[..., None].astype(np.float32))
    activations = {
        layer.name: [min(0.0, float(np.min(v))), float(np.max(v))]
        for layer, v in zip(ranged, values, strict=True)
    }
    document = {"schema": 1, "activations": activations}
    path.with_suffix(".ranges.json").write_text(json.dumps(document))
    return path


def test_ranges_beside_the_model_are_used(
    trained: Path, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "q.tflite"
    arguments = ["tflite", str(trained), "--data", str(data_file), "--out", str(out), "--format", "json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    (result,) = json.loads(captured.out)
    assert result["argmax_agreement"] >= 0.995
    assert result["xnnpack"]["partitions"] == 1
    assert "model.ranges.json" in captured.err
    quantization = read_tflite(out).contract.quantization
    assert quantization["method"] == "trained ranges"
    assert "calibration" not in quantization


def test_biases_are_rounded_as_int8_kernels_hold_them(keras_model: Any, source: Any) -> None:
    from dataclasses import replace

    import keras

    from convert.qat import Ranges, fake_quantized

    model = keras.models.clone_model(keras_model)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([rng.normal(0, 1, weight.shape) for weight in layer.get_weights()])
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    names = [layer.name for layer in model.layers[1:]]
    ranges = Ranges(dict.fromkeys(names, (0.0, 4.0)), "")
    rounded = fake_quantized(replace(source, model=model), ranges).model
    for number, name in enumerate(convolutions):
        kernel, bias = (np.asarray(weight) for weight in rounded.get_layer(name).get_weights())
        # The first one takes pixels, in steps of one, the others a tensor of range 0..4.
        taken = 1.0 if number == 0 else 4 / 255
        steps = bias / (np.abs(kernel).max(axis=(0, 1, 2)) / 127 * taken)
        assert np.abs(steps - np.round(steps)).max() < 1e-2
        assert len(np.unique(steps)) > 1


def test_depthwise_kernels_keep_one_scale_per_channel(tensorflow: Any, source: Any, pictures: Any) -> None:
    from dataclasses import replace

    import keras

    from convert.qat import Ranges, fake_quantized
    from convert.tflite import convert_trained_ranges
    from edge_runtime.backends import load_backend
    from edge_runtime.preprocess import to_tensor

    keras.utils.set_random_seed(2)
    layers = keras.layers
    image = keras.Input((48, 48, 1), name="pixels")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="stem")(x)
    x = layers.DepthwiseConv2D(3, strides=2, name="depthwise", bias_initializer="random_normal")(x)
    x = layers.Conv2D(12, 1, activation="relu", name="pointwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(7, kernel_initializer=keras.initializers.RandomNormal(0, 8), name="logits")(x)
    model = keras.Model(image, x)
    probe = keras.Model(image, [layer.output for layer in model.layers[1:]])
    pixels = pictures.images[..., None]
    values = probe(pixels.astype(np.float32))
    found = {
        layer.name: (min(0.0, float(np.min(value))), float(np.max(value)))
        for layer, value in zip(model.layers[1:], values, strict=True)
    }
    rounded = fake_quantized(replace(source, model=model), Ranges(found, ""))
    backend = load_backend(convert_trained_ranges(rounded), "litert")
    given = np.stack([backend.invoke(to_tensor(p, backend.input))[0].ravel().copy() for p in pixels])
    step, zero = backend.outputs[0].scale, backend.outputs[0].zero_point
    # Steps of the output may differ by one where a value lies on the border of two.
    assert np.abs((given.astype(int) - zero) * step - rounded.outputs(pixels)).max() < 1.01 * step


def test_ranges_can_be_left_out(trained: Path, data_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.tflite"
    arguments = ["tflite", str(trained), "--data", str(data_file), "--out", str(out), "--ranges", "none"]
    assert main([*arguments, "--calibration-images", "40", "--min-agreement", "0.9"]) == 0
    assert read_tflite(out).contract.quantization["calibration"]["images"] == 40


@pytest.mark.parametrize(
    ("document", "fragment"),
    [
        ("{}", "not a ranges file"),
        ("nothing", "not a ranges file"),
        ('{"schema": 2, "activations": {}}', "schema 2"),
        ('{"schema": 1, "activations": {"a": [1, 2]}}', "must span zero"),
        ('{"schema": 1, "activations": {"a": [0]}}', "not a ranges file"),
    ],
)
def test_damaged_ranges_are_refused(tensorflow: Any, tmp_path: Path, document: str, fragment: str) -> None:
    from convert.qat import read_ranges

    path = tmp_path / "m.ranges.json"
    path.write_text(document)
    with pytest.raises(ContractError, match=fragment):
        read_ranges(path)


def test_ranges_of_another_model_are_refused(source: Any) -> None:
    from convert.qat import Ranges, fake_quantized

    with pytest.raises(ContractError, match="has no layer 'stem'"):
        fake_quantized(source, Ranges({"stem": (0.0, 1.0)}, ""))

"""ONNX: float and int8, channels last and first, contract in the properties, layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main
from convert.onnx import keep_padding
from convert.source import load_source
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import LabeledImages
from edge_runtime.modelfile import embed_keras, read_onnx
from tests.data.make_tiny_model import tiny_contract

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytestmark = pytest.mark.host


def converted(keras_file: Path, data_file: Path, out: Path, *options: str) -> Path:
    arguments = ["onnx", str(keras_file), "--data", str(data_file), "--out", str(out)]
    calibration = ["--calibration-images", "40", "--min-agreement", "0.9"]
    assert main([*arguments, *calibration, *options]) == 0
    return out


@pytest.fixture(scope="module")
def float_file(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "float.onnx"
    return converted(keras_file, data_file, out, "--min-agreement", "1")


@pytest.fixture(scope="module")
def int8_file(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "int8.onnx"
    return converted(keras_file, data_file, out, "--quantize", "int8")


def test_float_equals_keras(float_file: Path, keras_model: Any, pictures: LabeledImages) -> None:
    classifier = Classifier.load(float_file)
    picture = pictures.images[0]
    (raw,) = classifier.backend.invoke(classifier.prepare(picture))
    wanted = np.asarray(keras_model(picture[None, ..., None].astype(np.float32)))
    assert np.allclose(raw, wanted, atol=1e-4 * np.abs(wanted).max())
    assert "onnxruntime" in classifier.backend.description


def test_the_contract_is_in_the_properties(int8_file: Path) -> None:
    import onnxruntime

    contract = read_onnx(int8_file).contract
    session = onnxruntime.InferenceSession(int8_file.read_bytes(), providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["edge-fer.json"])["labels"] == list(contract.labels)
    assert properties["labels.txt"].split() == list(contract.labels)
    assert contract.quantization["format"] == "qdq"
    assert contract.quantization["calibration"]["images"] == 40
    assert contract.producer["tf2onnx"]


def test_the_onnx_checker_accepts_the_file(float_file: Path, int8_file: Path) -> None:
    import onnx

    for path in (float_file, int8_file):
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_the_self_test_holds_and_fails_for_another_graph(float_file: Path) -> None:
    classifier = Classifier.load(float_file)
    assert self_test(classifier) == 0


def test_channels_first_gives_the_same(
    float_file: Path, keras_file: Path, data_file: Path, tmp_path: Path, pictures: LabeledImages
) -> None:
    nchw = converted(keras_file, data_file, tmp_path / "n.onnx", "--nchw", "--min-agreement", "1")
    import onnx

    dimensions = onnx.load(nchw).graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_value for size in dimensions] == [1, 1, 48, 48]
    first, last = Classifier.load(nchw), Classifier.load(float_file)
    assert first.backend.input.shape == (1, 48, 48, 1)
    assert np.allclose(first.predict(pictures.images[1]), last.predict(pictures.images[1]), atol=1e-5)


def test_opencv_runs_the_channels_first_file(
    keras_file: Path, data_file: Path, tmp_path: Path, pictures: LabeledImages
) -> None:
    import cv2

    nchw = converted(keras_file, data_file, tmp_path / "n.onnx", "--nchw", "--min-agreement", "1")
    network = cv2.dnn.readNetFromONNX(str(nchw))
    network.setInput(pictures.images[2][None, None].astype(np.float32))
    raw = network.forward().reshape(-1)
    (wanted,) = Classifier.load(nchw).backend.invoke(pictures.images[2][None, ..., None].astype(np.float32))
    assert np.allclose(raw, wanted.reshape(-1), atol=1e-3 * np.abs(wanted).max())


def test_verify_names_the_layers_of_the_quantized_file(
    int8_file: Path, keras_file: Path, data_file: Path, capsys: Any
) -> None:
    arguments = ["verify", str(keras_file), str(int8_file), "--data", str(data_file)]
    assert main([*arguments, "--min-agreement", "0.9", "--format", "json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert len(result["worst_layers"]) == 3
    assert all(layer["name"] and layer["drop_db"] >= 0 for layer in result["worst_layers"])
    assert 5 < result["worst_layers"][0]["sqnr_db"] < 60


def padded_before_pooling() -> Any:
    """A network that pads features below 0 with 0 and then takes maxima, as ResNet50V2 does."""
    import keras

    keras.utils.set_random_seed(5)
    image = keras.Input((48, 48, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 5, strides=4, bias_initializer=keras.initializers.Constant(-4.0))(x)
    x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.MaxPooling2D(3, strides=2)(x)
    return keras.Model(image, keras.layers.Dense(7)(keras.layers.Flatten()(x)))


def pooling_file(folder: Path) -> Path:
    path = folder / "pooling.keras"
    padded_before_pooling().save(path)
    embed_keras(path, tiny_contract())
    return path


def test_padding_before_pooling_is_not_merged_into_it(
    tensorflow: Any, data_file: Path, tmp_path: Path, pictures: LabeledImages
) -> None:
    model = pooling_file(tmp_path)
    for quantize, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        out = converted(model, data_file, tmp_path / f"{quantize}.onnx", "--quantize", quantize)
        source = load_source(model)
        wanted = source.outputs(pictures.images[:4, ..., None])
        classifier = Classifier.load(out)
        given = np.stack(
            [classifier.backend.invoke(classifier.prepare(p))[0][0] for p in pictures.images[:4]]
        )
        assert np.abs(given - wanted).max() <= tolerance * np.abs(wanted).max(), quantize


def test_a_float_file_that_computes_something_else_is_refused(
    tensorflow: Any, data_file: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnx import numpy_helper

    def spoil(graph: Any) -> None:
        # A fault of our own: those of a runtime are mended one day, as that of padding before pooling.
        kernel = next(tensor for tensor in graph.initializer if len(tensor.dims) == 4)
        values = numpy_helper.to_array(kernel)
        kernel.CopyFrom(numpy_helper.from_array(values * np.float32(1.5), kernel.name))

    monkeypatch.setattr("convert.onnx.keep_padding", spoil)
    out = tmp_path / "a.onnx"
    arguments = ["onnx", str(pooling_file(tmp_path)), "--data", str(data_file), "--out", str(out)]
    assert main([*arguments, "--min-agreement", "0"]) == 1
    assert "computed differently" in capsys.readouterr().err
    assert not out.exists()


def test_only_float_paddings_with_zero_before_pooling_are_changed() -> None:
    from onnx import helper, numpy_helper

    def inputs_after(
        *inputs: str, value: Any = 0.0, mode: str = "constant", first: str = "Relu"
    ) -> list[str]:
        pad = helper.make_node("Pad", inputs, ["padded"], mode=mode)
        nodes = [helper.make_node(first, ["image"], ["x"]), pad]
        nodes.append(helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[3, 3]))
        constant = numpy_helper.from_array(np.asarray(value, np.float32), "value")
        graph = helper.make_graph(nodes, "g", [], [], [constant])
        keep_padding(graph)
        return list(graph.node[1].input)

    assert inputs_after("x", "pads") == ["x", "pads", "padded_value"]
    assert inputs_after("x", "pads", "value", "axes") == ["x", "pads", "padded_value", "axes"]
    assert inputs_after("x", "pads", "value", value=-9.0) == ["x", "pads", "value"]
    assert inputs_after("x", "pads", mode="reflect") == ["x", "pads"]
    assert inputs_after("x", "pads", first="QuantizeLinear") == ["x", "pads"]
    assert inputs_after("x") == ["x"]

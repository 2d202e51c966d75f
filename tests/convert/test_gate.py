"""The four ways in which conversions go wrong unnoticed: each is caught here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main
from convert.calibration import CalibrationSet, draw
from convert.exam import Exam, reference_answers
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite
from convert.write import Conversion, write_tflite
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import embed_tflite, read_tflite, split_tflite

pytestmark = pytest.mark.host


def put_to_the_gate(
    source: SourceModel, graph: bytes, pictures: LabeledImages, out: Path, threshold: float = 0.9
) -> Conversion:
    images = pictures.split("PublicTest")
    exam = Exam("PublicTest", images, reference_answers(source, images), threshold)
    recipe = Recipe("int8", "float32")
    return write_tflite(source, graph, recipe, source.contract, exam, out)


@pytest.fixture(scope="module")
def calibration(source: SourceModel, pictures: LabeledImages) -> CalibrationSet:
    return draw(pictures, source.contract.input, 40, seed=1)


@pytest.fixture(scope="module")
def sound(
    source: SourceModel,
    calibration: CalibrationSet,
    pictures: LabeledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("sound") / "sound.tflite"
    graph = convert_tflite(source, Recipe("int8", "int8"), calibration)
    return put_to_the_gate(source, graph, pictures, out).out


def test_calibration_fed_0_to_1_is_refused_at_the_input(
    source: SourceModel, calibration: CalibrationSet
) -> None:
    shrunk = CalibrationSet(calibration.pixels // 255, calibration.record)
    with pytest.raises(ContractError, match="does not map pixels"):
        convert_tflite(source, Recipe("int8", "int8"), shrunk)


def test_calibration_fed_0_to_1_is_refused_by_the_comparison(
    source: SourceModel, calibration: CalibrationSet, pictures: LabeledImages, tmp_path: Path
) -> None:
    # A float input has no scale to look at: only the answers show the fault.
    shrunk = CalibrationSet(calibration.pixels // 255, calibration.record)
    graph = convert_tflite(source, Recipe("int8", "float32"), shrunk)
    with pytest.raises(ContractError, match=r"not written: .*|same output") as caught:
        put_to_the_gate(source, graph, pictures, tmp_path / "a.tflite")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_closed_gate_names_a_layer(
    source: SourceModel, calibration: CalibrationSet, pictures: LabeledImages, tmp_path: Path
) -> None:
    graph = convert_tflite(source, Recipe("int8", "int8"), calibration)
    with pytest.raises(ContractError, match=r"not written: .* look at layer \w+") as caught:
        put_to_the_gate(source, graph, pictures, tmp_path / "a.tflite", threshold=1.01)
    assert "dB" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("zeroed", [False, True])
def test_lost_weights_are_refused(
    tensorflow: Any, source: SourceModel, pictures: LabeledImages, tmp_path: Path, zeroed: bool
) -> None:
    specification = tensorflow.TensorSpec(source.contract.input.shape, tensorflow.float32)
    function = tensorflow.function(source.model).get_concrete_function(specification)
    # With a Keras 3 model as second argument the variables stay behind, without any message.
    route = tensorflow.lite.TFLiteConverter.from_concrete_functions
    graph = (route([function]) if zeroed else route([function], source.model)).convert()
    if zeroed:
        graph = without_weights(graph)
    with pytest.raises(ContractError, match=r"weights are lost|not written"):
        put_to_the_gate(source, graph, pictures, tmp_path / "a.tflite")
    assert list(tmp_path.iterdir()) == []


def without_weights(graph: bytes) -> bytes:
    """The same graph with all float constants at zero, which is what some converters leave."""
    from ai_edge_litert import schema_py_generated as schema

    from convert.metadata import AlignedBuilder

    model = schema.ModelT.InitFromPackedBuf(graph, 0)
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer]
        if buffer.data is not None and tensor.type == schema.TensorType.FLOAT32:
            buffer.data = np.zeros(len(buffer.data), np.uint8)
    builder = AlignedBuilder(len(graph))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_swapped_labels_are_found_by_verify(
    sound: Path, keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    file = read_tflite(sound)
    labels = list(file.contract.labels)
    labels[3], labels[5] = labels[5], labels[3]
    swapped = tmp_path / "swapped.tflite"
    graph = split_tflite(file.data)[0]
    swapped.write_bytes(embed_tflite(graph, replace(file.contract, labels=tuple(labels))))
    verify = ["verify", str(keras_file), "--data", str(data_file), "--min-agreement", "0.9"]
    assert main([*verify, str(sound)]) == 0
    assert main([*verify, str(swapped)]) == 1
    assert "agreement below 90.00%" in capsys.readouterr().err


def test_a_truncated_file_is_refused_by_verify(
    sound: Path, keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    data = sound.read_bytes()
    cut = tmp_path / "cut.tflite"
    for length in (len(data) // 3, len(data) - 30):
        cut.write_bytes(data[:length])
        assert main(["verify", str(keras_file), str(cut), "--data", str(data_file)]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("error: ")
        assert "truncated" in error


def test_verify_reports_layers_and_runtimes(
    sound: Path, keras_file: Path, data_file: Path, capsys: Any
) -> None:
    import json

    arguments = ["verify", str(keras_file), str(sound), "--data", str(data_file), "--min-agreement", "0.9"]
    assert main([*arguments, "--format", "json", "--layers", "2"]) == 0
    captured = capsys.readouterr()
    (result,) = json.loads(captured.out)
    assert result["passed"]
    assert len(result["worst_layers"]) == 2
    assert result["self_test_deviation"] == 0
    assert result["paired"]["n"] == result["images"] == 120
    assert "tflite-runtime" in captured.err

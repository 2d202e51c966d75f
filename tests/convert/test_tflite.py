"""Full-int8 conversion: exact input, contract and metadata in the file, and the gate."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main
from convert.calibration import CalibrationSet, draw
from convert.source import load_source
from convert.tflite import check_exact_input, convert_int8
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import read_tflite, split_tflite
from edge_runtime.preprocess import to_tensor

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def converted(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("out") / "tiny.tflite"
    arguments = ["tflite", str(keras_file), "--data", str(data_file), "--out", str(out)]
    code = main([*arguments, "--calibration-images", "40", "--min-agreement", "0.9", "--name", "small"])
    assert code == 0
    return out


def test_the_file_carries_its_contract(converted: Path) -> None:
    contract = read_tflite(converted).contract
    assert contract.name == "small"
    assert contract.crop.margin == 0.1
    assert contract.quantization["calibration"]["images"] == 40
    assert contract.producer["tensorflow"]
    assert contract.validation["conversion"]["argmax_agreement"] >= 0.9
    assert contract.validation["conversion"]["split"] == "PublicTest"


def test_the_self_test_tells_pictures_apart_and_passes(converted: Path) -> None:
    classifier = Classifier.load(converted)
    vectors = classifier.contract.self_test
    assert vectors is not None
    assert len(vectors.inputs) == 4
    assert len(set(vectors.outputs)) == 4
    assert self_test(classifier) <= vectors.tolerance_for(classifier.backend.tolerance_key)


def test_every_pixel_value_maps_to_itself(converted: Path) -> None:
    tensor = Classifier.load(converted).backend.input
    ramp = np.resize(np.arange(256, dtype=np.uint8), tensor.shape)
    assert tensor.scale == 1
    assert np.array_equal(to_tensor(ramp, tensor), ramp.astype(np.int16) - 128)


def test_standard_metadata_is_in_the_graph(converted: Path) -> None:
    graph, members = split_tflite(converted.read_bytes())
    assert b"TFLITE_METADATA" in graph
    assert b"M001" in graph
    assert list(members) == ["labels.txt", "edge-fer.json"]
    with zipfile.ZipFile(converted) as archive:
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def test_buffers_keep_their_alignment(converted: Path) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    data = converted.read_bytes()
    model = schema.Model.GetRootAsModel(data, 0)
    starts = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            field = buffer._tab.Offset(4)
            starts.append(buffer._tab.Vector(field))
    assert starts
    assert all(start % 16 == 0 for start in starts)


def test_json_result_lists_one_object(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "a.tflite"
    arguments = ["tflite", str(keras_file), "--data", str(data_file), "--out", str(out)]
    assert (
        main([*arguments, "--calibration-images", "40", "--min-agreement", "0.9", "--format", "json"]) == 0
    )
    (result,) = json.loads(capsys.readouterr().out)
    assert result["reference_accuracy"]["top1"] == 1
    assert result["accuracy"]["low"] < result["accuracy"]["top1"] <= result["argmax_agreement"] + 1e-9
    assert result["sha256"] == read_tflite(out).sha256


def test_pixels_of_another_range_are_refused(keras_file: Path, pictures: LabeledImages) -> None:
    source = load_source(keras_file)
    calibration = draw(pictures, source.contract.input, 40, seed=1)
    shrunk = CalibrationSet(calibration.pixels // 255, calibration.record)
    with pytest.raises(ContractError, match="does not map pixels"):
        convert_int8(source, shrunk)


def test_a_uint8_input_is_not_taken_for_int8() -> None:
    graph = split_tflite(Path("tests/data/tiny.tflite").read_bytes())[0]
    check_exact_input(graph)


def test_below_the_threshold_nothing_is_written(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("convert.tflite.gate", lambda *_: (_ for _ in ()).throw(ContractError("no")))
    arguments = ["tflite", str(keras_file), "--data", str(data_file), "--out", str(tmp_path / "a.tflite")]
    assert main([*arguments, "--calibration-images", "40"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err.strip().endswith("error: no")


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (["MODEL", "--out", "a.onnx"], 2, "must end in .tflite"),
        (["absent.keras", "--out", "a.tflite"], 1, "no such model file"),
        (["MODEL", "--out", "absent/a.tflite"], 2, "no such folder"),
        (["MODEL", "--out", "a.tflite", "--split", "nosuch"], 1, "no images of split 'nosuch'"),
        (["MODEL", "--out", "a.tflite", "--data", "absent"], 1, "no such file or folder"),
        (["MODEL", "--out", "a.tflite", "--calibration-images", "999"], 1, "were asked for"),
    ],
)
def test_a_wrong_argument_is_one_line(
    tensorflow: Any,
    keras_file: Path,
    data_file: Path,
    capsys: Any,
    arguments: list[str],
    code: int,
    fragment: str,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [str(keras_file) if item == "MODEL" else item for item in arguments]
    assert main(["tflite", "--data", str(data_file), *filled]) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert fragment in error


def test_a_model_whose_contract_disagrees_is_refused(keras_model: Any, tmp_path: Path) -> None:
    from edge_runtime.modelfile import embed_keras
    from tests.data.make_tiny_model import tiny_contract

    path = tmp_path / "m.keras"
    keras_model.save(path)
    embed_keras(path, replace(tiny_contract(), labels=("a", "b")))
    with pytest.raises(ContractError, match="the contract needs"):
        load_source(path)

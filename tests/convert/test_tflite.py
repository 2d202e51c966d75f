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
from convert.delegation import delegation_of
from convert.exactness import with_exact_rescaling
from convert.exam import Exam, reference_answers
from convert.selftest import FLOAT_OTHERS, STEPPED_OTHERS, make_self_test
from convert.source import SourceModel, load_source
from convert.tflite import Recipe, convert_tflite
from convert.verify import Parity
from convert.write import write_tflite
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import ContractError, UsageError
from edge_runtime.modelfile import read_tflite, split_tflite
from edge_runtime.preprocess import to_tensor
from tests.convert.conftest import smooth_pictures
from tests.data.make_tiny_model import tiny_contract

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("scheme", "share"),
    [
        ("float32", FLOAT_OTHERS),
        ("float16", FLOAT_OTHERS),
        ("dynamic", STEPPED_OTHERS),
        ("int8", STEPPED_OTHERS),
    ],
)
def test_other_runtimes_may_round_otherwise_where_the_graph_rounds(
    source: SourceModel, pictures: LabeledImages, scheme: str, share: float
) -> None:
    """Though this runtime's own kernels agree: how dynamic ranges round is known to the other one alone."""
    calibration = draw(pictures, source.contract.input, 20, seed=1)
    test = make_self_test(convert_tflite(source, Recipe(scheme), calibration), source.contract.input)
    largest = max(abs(value) for values in test.outputs for value in values)
    assert test.tolerance_for("tflite-runtime") == pytest.approx(share * largest, rel=0.5)


@pytest.fixture(scope="module")
def converted(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("out") / "tiny.tflite"
    arguments = ["tflite", str(keras_file), "--data", str(data_file), "--out", str(out)]
    code = main([*arguments, "--calibration-images", "40", "--min-agreement", "0.9", "--name", "small"])
    assert code == 0
    return out


def test_equal_zero_points_are_written_once_and_aligned(converted: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    subgraph = schema.Model.GetRootAs(split_tflite(converted.read_bytes())[0]).Subgraphs(0)
    places: dict[bytes, set[int]] = {}
    uses = 0
    for index in range(subgraph.TensorsLength()):
        quantization = subgraph.Tensors(index).Quantization()
        if quantization is not None and quantization.ZeroPointLength() > 1:
            table = quantization._tab
            # The vector starts where slot 3 of the table points to.
            start = table.Vector(table.Offset(4 + 2 * 3))
            places.setdefault(quantization.ZeroPointAsNumpy().tobytes(), set()).add(start)
            uses += 1
    assert uses > len(places) > 0
    assert all(len(starts) == 1 and max(starts) % 8 == 0 for starts in places.values())


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


@pytest.mark.parametrize(
    ("scheme", "io", "agreement"),
    [
        ("float32", "float32", 1.0),
        ("float16", "float32", 0.98),
        ("dynamic", "float32", 0.9),
        ("int8", "uint8", 0.9),
        ("int8", "float32", 0.9),
        ("int16x8", "float32", 0.97),
    ],
)
def test_every_scheme_passes_the_gate(
    source: SourceModel, pictures: LabeledImages, tmp_path: Path, scheme: str, io: str, agreement: float
) -> None:
    recipe = Recipe(scheme, io)
    calibration = draw(pictures, source.contract.input, 40, seed=1)
    graph = convert_tflite(source, recipe, calibration)
    images = pictures.split("PublicTest")
    exam = Exam("PublicTest", images, reference_answers(source, images), agreement)
    contract = replace(source.contract, quantization=recipe.record(calibration))
    done = write_tflite(source, graph, recipe, contract, exam, tmp_path / "a.tflite")
    assert isinstance(done.parity, Parity)
    assert done.parity.argmax_agreement >= agreement
    classifier = Classifier.load(done.out)
    assert classifier.backend.input.dtype == np.dtype(io)
    assert ("calibration" in classifier.contract.quantization) == (scheme in ("int8", "int16x8"))
    assert done.delegation is not None
    assert done.delegation.partitions == (0 if scheme == "int16x8" else 1)


def test_an_impossible_recipe_is_a_usage_error(source: SourceModel) -> None:
    with pytest.raises(UsageError, match="no int8 input"):
        Recipe("float16", "int8")
    with pytest.raises(UsageError, match="unknown scheme"):
        Recipe("int4")
    with pytest.raises(UsageError, match="needs calibration images"):
        convert_tflite(source, Recipe("int8", "int8"), None)


def test_a_shifting_rescaling_keeps_all_pixel_values(tensorflow: Any) -> None:
    import keras

    image = keras.Input((48, 48, 1))
    inner = keras.Sequential([keras.layers.Rescaling(1 / 127.5, offset=-1), keras.layers.Flatten()])
    model = keras.Model(image, keras.layers.Dense(7)(inner(image)))
    exact = with_exact_rescaling(model)
    pixels = smooth_pictures(4, seed=2)[..., None].astype(np.float32)
    assert np.allclose(np.asarray(model(pixels)), np.asarray(exact(pixels)), atol=1e-4)
    kinds = {type(layer).__name__ for layer in exact._flatten_layers()}
    assert "DepthwiseConv2D" in kinds
    assert "Rescaling" not in kinds


def test_operations_outside_of_xnnpack_are_named(tensorflow: Any) -> None:
    import keras

    image = keras.Input((48, 48, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    for _ in range(2):
        x = keras.layers.Conv2D(4, 3, strides=2)(x)
        x = keras.layers.PReLU(shared_axes=[1, 2])(x)
    model = keras.Model(image, keras.layers.Dense(7)(keras.layers.Flatten()(x)))
    split = SourceModel(Path("m.keras"), model, tiny_contract())
    pixels = smooth_pictures(8, seed=1)[..., None]
    pixels[0], pixels[1] = 0, 255
    delegation = delegation_of(convert_tflite(split, Recipe("int8", "int8"), CalibrationSet(pixels, {})))
    assert delegation.partitions > 1
    assert delegation.outside == ("PRELU x2",)
    assert delegation.warning is not None
    assert "pieces" in delegation.warning


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

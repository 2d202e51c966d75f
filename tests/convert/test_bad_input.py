"""What a user may get wrong: one line says it, and what was written earlier stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.__main__ import main

pytestmark = pytest.mark.host
STATED = ["--labels", "a,b,c,d,e,f,g", "--input-range", "0..255", "--activation", "logits"]
EARLIER = b"earlier"

Attempt = Callable[..., str]


@pytest.fixture
def attempt(data_file: Path, tmp_path: Path, capsys: Any) -> Attempt:
    """Run `convert tflite` to the end that bad input has; the one line of the error."""

    def run(model: Path, *options: str, code: int = 1, out: Path | None = None) -> str:
        target = out or tmp_path / "out.tflite"
        if out is None:
            target.write_bytes(EARLIER)
        given = ["--quantize", "float32", "--data", str(data_file), *options]
        capsys.readouterr()
        try:
            found = main(["tflite", str(model), "--out", str(target), *given])
        except SystemExit as leaving:
            found = int(leaving.code or 0)
        error = capsys.readouterr().err
        said = [line for line in error.splitlines() if "…" not in line]
        assert found == code, error
        assert len(said) == 1, error
        assert said[0].startswith("error: ")
        if out is None:
            assert target.read_bytes() == EARLIER
        assert not [item for item in tmp_path.iterdir() if item.name.startswith(".")]
        return said[0]

    return run


@pytest.fixture(scope="module")
def parts(keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as people have it: architecture and weights, whole .h5, SavedModel."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "model.json").write_text(keras_model.to_json())
    keras_model.save_weights(folder / "model.weights.h5")
    keras_model.save(folder / "whole.h5")
    keras_model.export(str(folder / "saved"), verbose=False)
    return folder


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_keras_file(attempt: Attempt, keras_file: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.keras"
    data = keras_file.read_bytes()
    cut.write_bytes(data[: int(share * len(data))])
    assert "not a readable .keras file" in attempt(cut)


def test_a_damaged_keras_file(attempt: Attempt, keras_file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.keras"
    data = bytearray(keras_file.read_bytes())
    data[len(data) // 2] ^= 255
    damaged.write_bytes(data)
    assert "CRC" in attempt(damaged)


@pytest.mark.parametrize("share", [0, 0.5, 0.999])
def test_a_truncated_h5_file(attempt: Attempt, parts: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.h5"
    data = (parts / "whole.h5").read_bytes()
    cut.write_bytes(data[: int(share * len(data))])
    assert "Keras cannot load the model" in attempt(cut, *STATED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "not a JSON file"),
        ("", "not a JSON file"),
        ("[" * 5000, "not a JSON file"),
        ("[]", "not the architecture of a Keras model"),
        ("{}", "not the architecture of a Keras model"),
        ('{"class_name": "Nope", "config": {}}', "Keras cannot load the model"),
        ('{"class_name": "Functional", "config": {"layers": [{}]}}', "Keras cannot load the model"),
        ('{"class_name": "Sequential", "config": {"name": "s", "layers": []}}', "its input's shape"),
    ],
)
def test_an_architecture_that_is_none(
    attempt: Attempt, parts: Path, tmp_path: Path, text: str, said: str
) -> None:
    architecture = tmp_path / "model.json"
    architecture.write_text(text)
    assert said in attempt(architecture, "--weights", str(parts / "model.weights.h5"), *STATED)


def test_weights_that_are_none_or_of_another_model(
    attempt: Attempt, parts: Path, tmp_path: Path, tensorflow: Any
) -> None:
    import keras

    architecture, weights = parts / "model.json", tmp_path / "w.weights.h5"
    assert "no such weights file" in attempt(architecture, "--weights", str(weights), *STATED)
    assert "without weights" in attempt(architecture, *STATED, code=2)
    data = (parts / "model.weights.h5").read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    assert "w.weights.h5: not a readable weights file" in attempt(
        architecture, "--weights", str(weights), *STATED
    )
    other = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(7)])
    other.save_weights(weights)
    assert "w.weights.h5: does not fit" in attempt(architecture, "--weights", str(weights), *STATED)
    assert "without the architecture" in attempt(parts / "model.weights.h5", *STATED)


@pytest.mark.parametrize(
    "damage",
    ["variables", "variables/variables.index", "saved_model.pb", "cut variables", "noise"],
)
def test_a_damaged_saved_model(attempt: Attempt, parts: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "saved"
    shutil.copytree(parts / "saved", folder)
    if damage == "variables":
        shutil.rmtree(folder / damage)
    elif damage == "cut variables":
        values = folder / "variables" / "variables.data-00000-of-00001"
        values.write_bytes(values.read_bytes()[:100])
    elif damage == "noise":
        (folder / "saved_model.pb").write_bytes(np.random.default_rng(1).bytes(3000))
    else:
        (folder / damage).unlink()
    if damage == "saved_model.pb":
        assert "not a model that can be read" in attempt(folder, *STATED, code=2)
    else:
        assert "cannot be read as a SavedModel" in attempt(folder, *STATED)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--labels", "a,b,c", "--input-range", "0..1", "--activation", "logits"], 1, "needs 7 labels"),
        (["--labels", "a,b,c,d,e,f,f", *STATED[2:]], 1, "must be distinct"),
        (["--labels", "a,b,c,d,e,f,g"], 2, "--input-range"),
        (["--input-range", "0..1"], 2, "--labels"),
        ([], 2, "--labels and --input-range"),
        ([*STATED[:2], "--input-range", "1..0"], 2, "invalid range"),
        ([*STATED[:2], "--input-range", "0..inf"], 2, "invalid range"),
        ([*STATED, "--input-size", "64x64"], 2, "leave out --input-size"),
        ([*STATED, "--split", "Nope"], 1, "no images of split"),
        ([*STATED, "--quantize", "int8", "--seed", "-1"], 2, "--seed"),
        ([*STATED, "--quantize", "int8", "--calibration-images", "0"], 2, "at least one image"),
        ([*STATED, "--min-agreement", "nan"], 2, "must be 0..1"),
        ([*STATED, "--tflite-runtime-python", "/no/python"], 2, "no such Python"),
    ],
)
def test_options_that_cannot_be(
    attempt: Attempt, parts: Path, options: list[str], code: int, said: str
) -> None:
    assert said in attempt(parts / "whole.h5", *options, code=code)


@pytest.mark.parametrize(
    "options", [["--crop-margin", "0.3"], ["--activation", "probabilities"], ["--input-size", "64x64"]]
)
def test_nothing_overrides_a_contract(attempt: Attempt, keras_file: Path, options: list[str]) -> None:
    assert "the model has a contract, which says all that" in attempt(keras_file, *options, code=2)


def test_no_data(keras_file: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["tflite", str(keras_file), "--out", str(tmp_path / "a.tflite")])
    assert leaving.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--data" in line


def test_data_that_is_none(attempt: Attempt, keras_file: Path, data_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.npz"
    cut.write_bytes(data_file.read_bytes()[:5000])
    assert "cut.npz" in attempt(keras_file, "--data", str(cut))
    assert "no such file or folder" in attempt(keras_file, "--data", str(tmp_path / "nothing"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk(
    attempt: Attempt, keras_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary file is a link to a device that is always full."""
    out = tmp_path / "full.tflite"
    out.write_bytes(EARLIER)
    (tmp_path / f".full.tmp{os.getpid()}.tflite").symlink_to("/dev/full")
    assert "No space left" in attempt(keras_file, out=out)
    assert out.read_bytes() == EARLIER


def test_a_folder_that_may_not_be_written_to(
    attempt: Attempt, keras_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before the work; whoever runs the tests as root may write everywhere."""
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "may not be written to" in attempt(keras_file, out=tmp_path / "new.tflite", code=2)


def test_no_room_for_temporary_files(
    attempt: Attempt, keras_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: Any, **__: Any) -> None:
        raise RuntimeError("saved_model.pb; No space left on device")

    monkeypatch.setattr("keras.Model.export", export)
    assert "cannot export the model: saved_model.pb; No space left" in attempt(keras_file)


def test_interrupted(
    keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the candidate is examined, which is most of the time."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convert.exam.answers_everywhere", interrupt)
    out = tmp_path / "out.tflite"
    out.write_bytes(EARLIER)
    arguments = ["tflite", str(keras_file), "--quantize", "float32", "--data", str(data_file)]
    assert main([*arguments, "--out", str(out)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "convert: interrupted"
    assert [item.name for item in tmp_path.iterdir()] == ["out.tflite"]
    assert out.read_bytes() == EARLIER


def test_attach_says_first_that_the_file_is_missing(tmp_path: Path, capsys: Any) -> None:
    missing, out = tmp_path / "no.tflite", tmp_path / "out.tflite"
    assert main(["attach-contract", str(missing), "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"error: {missing}: no such model file\n"


def test_a_document_that_is_missing_is_said_before_the_work(
    keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    arguments = ["all", str(keras_file), "--data", str(data_file), "--out", str(tmp_path)]
    assert main([*arguments, "--document", str(tmp_path / "no.md")]) == 2
    assert "no.md: cannot be read" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_verify_and_attach_refuse_truncated_files(
    keras_file: Path, data_file: Path, parts: Path, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    data = ["--data", str(data_file)]
    files = [tmp_path / "a.tflite", tmp_path / "a.onnx"]
    assert main(["tflite", str(keras_file), "--quantize", "float32", *data, "--out", str(files[0])]) == 0
    assert main(["onnx", str(keras_file), *data, "--out", str(files[1])]) == 0
    for path in files:
        whole, cut = path.read_bytes(), path.with_stem("cut")
        for share in (0, 0.3, 0.9, 0.999):
            cut.write_bytes(whole[: int(share * len(whole))])
            out = path.with_stem("out")
            capsys.readouterr()
            assert main(["verify", str(keras_file), str(cut), *data]) == 1
            assert main(["attach-contract", str(cut), *STATED, "--out", str(out)]) == 1
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 2
            assert all(line.startswith("error: ") and "cut" in line for line in lines)
            assert not out.exists()

"""The command line: results on stdout, one line of error, exit codes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.modelfile import CONTRACT_NAME
from edge_runtime.preprocess import UInt8Array

EDGE_FER = [sys.executable, "-m", "edge_runtime"]


@pytest.fixture
def face_picture(tmp_path: Path, portrait: UInt8Array) -> Path:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), portrait)
    return path


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of error; progress lines before it are allowed, a traceback is not."""
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("edge-fer: error:")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    return lines[0]


def test_predict_lists_the_face_as_json(
    face_picture: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(face_picture), "--model", str(tiny_model), "--format", "json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["source"] == str(face_picture)
    (face,) = document["faces"]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_predict_goes_on_after_a_bad_picture_and_says_so(
    face_picture: Path, picture: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    status = main(["predict", str(bad), str(face_picture), str(picture), "--model", str(tiny_model)])
    captured = capsys.readouterr()
    assert status == 1
    assert f"edge-fer: error: {bad}: not a" in captured.err
    assert f"{face_picture}: face 1:" in captured.out
    assert f"{picture}: no face" in captured.out


@pytest.mark.parametrize(
    "arguments", [["predict"], ["run", "--sink", "text", "--sink", "jsonl", "--sink", "events", "--source"]]
)
def test_name_that_is_no_utf8_is_printed(arguments: list[str], picture: Path, tiny_model: Path) -> None:
    name = picture.rename(picture.with_name(os.fsdecode(b"b\xfcro.png")))
    verb, *options = arguments
    done = subprocess.run(
        [*EDGE_FER, verb, "--model", str(tiny_model), *options, str(name)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert rf"{picture.parent}/b\udcfcro.png: no face" in done.stdout


def test_run_writes_lines_picture_and_summary(
    face_picture: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, drawn = tmp_path / "out.jsonl", tmp_path / "drawn.png"
    arguments = ["run", "--source", str(face_picture), "--model", str(tiny_model)]
    arguments += ["--sink", f"jsonl:{lines}", "--sink", "jsonl", "--annotate", str(drawn)]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out == lines.read_text()
    (face,) = json.loads(captured.out)["faces"]
    assert "1 frames, 0 dropped, 1 faces in 1 frames" in captured.err
    assert face["label"] in captured.err
    assert "backend ai-edge-litert" in captured.err
    image = cv2.imread(str(drawn))
    original = cv2.imread(str(face_picture))
    assert image.shape == original.shape
    assert (image != original).any()


def test_demo_runs_for_as_many_frames_as_asked(
    tiny_model: Path, portrait: UInt8Array, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--source", "demo", "--model", str(tiny_model), "--sink", "jsonl"]
    assert main([*arguments, "--max-frames", "3"]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["frame"] for document in documents] == [0, 1, 2]
    assert all(len(document["faces"]) == 1 for document in documents)


def damage(model: Path, out: Path, what: str) -> Path:
    data = bytearray(model.read_bytes())
    if what == "contract":
        data[data.index(CONTRACT_NAME.encode()) + 200] ^= 0x01
    elif what == "weights":
        data[len(data) // 8] ^= 0x01
    elif what == "cut":
        del data[-100:]
    elif what == "empty":
        data.clear()
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("what", ["contract", "weights", "cut", "empty"])
@pytest.mark.parametrize("verb", ["run", "predict", "info"])
def test_damaged_models_are_refused_in_one_line(
    verb: str,
    what: str,
    tiny_model: Path,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = damage(tiny_model, tmp_path / "model.tflite", what)
    arguments = {
        "run": ["run", "--source", str(picture), "--model", str(model)],
        "predict": ["predict", str(picture), "--model", str(model)],
        "info": ["info", str(model)],
    }[verb]
    assert main(arguments) == 1
    assert str(model) in error_of(capsys)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--source", "none.mp4"], 1, "no such file or folder"),
        (["--source", ""], 2, "name is empty"),
        (["--source", "demo:many"], 2, "give a number of frames"),
        (["--detector", "hog"], 2, "unknown detector"),
        (["--backend", "tpu"], 2, "unknown backend"),
        (["--sink", "csv"], 2, "unknown sink"),
        (["--sink", "jsonl:/none/out.jsonl"], 1, "cannot write the results there"),
        (["--annotate", "out.mp3"], 2, "end it in .png"),
        (["--model", "nonesuch"], 2, "no model 'nonesuch'"),
        (["--model", "none.tflite"], 1, "no such model file"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str],
    status: int,
    message: str,
    picture: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "--source", str(picture), "--model", str(tiny_model), *arguments]) == status
    assert message in error_of(capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["run", "--max-frames", "0"],
        ["run", "--max-frames", "²"],
        ["run", "--threads", "x"],
        ["run", "--threads", "100000"],
        ["predict", "face.png", "--threads", "100000"],
    ],
)
def test_argparse_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_no_verb_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "give a verb" in error_of(capsys)


def test_a_runtime_that_deviates_is_refused(
    tiny_model: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_runtime.backends.tflite import TfliteBackend

    honest = TfliteBackend.invoke

    def off_by_much(self: TfliteBackend, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(output + np.int8(20) for output in honest(self, tensor))

    monkeypatch.setattr(TfliteBackend, "invoke", off_by_much)
    assert main(["run", "--source", str(picture), "--model", str(tiny_model)]) == 1
    assert "computes something else" in error_of(capsys)


def test_info_shows_the_contract(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tiny_model), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["labels"][:2] == ["angry", "disgust"]
    assert document["self_test"]["vectors"] > 0
    assert main(["info", str(tiny_model)]) == 0
    assert "labels:           angry, disgust, fear" in capsys.readouterr().out


def test_help_is_quick() -> None:
    """CPU time of a fresh process; the bound is several times what it takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*EDGE_FER, "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_reader_that_goes_away_ends_the_run_quietly(tiny_model: Path, portrait: UInt8Array) -> None:
    command = [*EDGE_FER, "run", "--source", "demo:0", "--model", str(tiny_model), "--sink", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["frame"] == 0
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == 0
    assert "Traceback" not in errors
    assert "Exception" not in errors


def test_interrupt_ends_cleanly_with_a_summary(
    tiny_model: Path, portrait: UInt8Array, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    command = [*EDGE_FER, "run", "--source", "demo:0", "--model", str(tiny_model)]
    command += ["--sink", f"jsonl:{out}", "--sink", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "frames, 0 dropped" in errors
    assert all(json.loads(line) for line in out.read_text().splitlines())

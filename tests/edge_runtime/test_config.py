"""The configuration: documented, complete, strict about what it does not know."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from edge_runtime.__main__ import main
from edge_runtime.config import Config, load_config, to_toml
from edge_runtime.errors import UsageError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "edge-fer.toml"
    path.write_text(text)
    return path


def test_what_is_printed_reads_back_as_the_same(tmp_path: Path) -> None:
    config = Config().override("source", name='odd "name"\\', region=(1, 2, 3, 4), controls={"AfMode": 2})
    config = config.override("output", sinks=["jsonl", "text"])
    assert load_config(write(tmp_path, to_toml(config))) == config
    assert load_config(write(tmp_path, "")) == load_config(None) == Config()


def test_every_key_is_documented() -> None:
    text = to_toml(Config())
    lines = text.splitlines()
    for section in fields(Config()):
        for item in fields(getattr(Config(), section.name)):
            (number,) = [n for n, line in enumerate(lines) if line.startswith(f"{item.name} = ")][:1] or (
                0,
            )
            assert lines[number - 1].startswith("# ")
            assert len(item.metadata["about"]) > 10
    assert set(tomllib.loads(text)) == {section.name for section in fields(Config())}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sorce]\n", "unknown section: 'sorce'; did you mean 'source'"),
        ("[source]\nrotat = 90\n", "did you mean 'rotate'"),
        ("[model]\nthreads = 'two'\n", r"model.threads must be a whole number. Received: 'two'"),
        ("[model]\nthreads = 0\n", r"model.threads must be 1\.\.64"),
        ("[model]\nthreads = 100_000\n", r"model.threads must be 1\.\.64"),
        ("[source]\nwidth = 1\n", "source.width must be at least 16"),
        ("[source]\nseed = -1\n", "source.seed must be at least 0"),
        ("[tracking]\nconfirm_s = inf\n", r"tracking.confirm_s must be 0\.\.1e\+09. Received: inf"),
        ("[tracking]\nconfirm_s = nan\n", "tracking.confirm_s must be"),
        ("[tracking]\nconfirm_s = 1e300\n", "tracking.confirm_s must be"),
        ("[detector]\nmin_score = nan\n", r"detector.min_score must be 0\.\.1"),
        (f"[source]\nrotate = {10**400}\n", "source.rotate must be"),
        ("[model]\nthreads = true\n", "must be a whole number"),
        ("[model]\nthreads = 1.5\n", "must be a whole number"),
        ("[tracking]\nmin_iou = 1.5\n", r"must be 0\.\.1"),
        ("[source]\nmirror = 1\n", "must be true or false"),
        ("[source]\nregion = [1, 'a']\n", "source.region must be a whole number"),
        ("[output]\nsinks = 'text'\n", "must be a list"),
        ("source = 1\n", "must be a section"),
        ("[source\n", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "[tracking]\nsmoothing_s = 1\n"))
    assert config.tracking.smoothing_s == 1.0
    assert isinstance(config.tracking.smoothing_s, float)


def test_missing_file() -> None:
    with pytest.raises(UsageError, match="edge-fer config --print"):
        load_config("none.toml")


def test_command_line_overrides_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "[source]\nname = 'v4l2:0'\nrotate = 90\n[model]\nthreads = 2\n")
    arguments = ["config", "--print", "--config", str(path), "--rotate", "180", "--size", "320x240"]
    assert main([*arguments, "--region", "1,2,30,40", "--sink", "jsonl", "--sink", "text"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["source"]["name"] == "v4l2:0"
    assert printed["source"]["rotate"] == 180
    assert (printed["source"]["width"], printed["source"]["height"]) == (320, 240)
    assert printed["source"]["region"] == [1, 2, 30, 40]
    assert printed["model"]["threads"] == 2
    assert printed["output"]["sinks"] == ["jsonl", "text"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "big"],
        ["--size", "²x3"],
        ["--size", f"{'9' * 5000}x3"],
        ["--region", "1,2,3"],
        ["--region", "1,2,3,²"],
        ["--rotate", "45"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--detect-interval", "nan"],
        ["--detect-interval", "inf"],
        ["--sink", "jsonl:x,max_mb=1e308"],
    ],
)
def test_wrong_options_are_usage(
    arguments: list[str], picture: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--source", str(picture), "--model", str(tiny_model), *arguments]) == 2
    assert capsys.readouterr().err.count("edge-fer: error:") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[source]\nname = ''\n", "the source's name is empty"),
        ("[source]\nname = 'picamra2'\n", "picamra2: no such file or folder"),
        ("[source]\nname = 'picamera2:²'\n", "give the camera's number"),
        ("[source]\nname = 'demo:²'\n", "give a number of frames"),
        ("[source]\nname = 'folder:in,wach=1'\n", "did you mean 'watch'"),
        ("[source]\nrotate = 45\n", "rotate must be 0, 90, 180 or 270"),
        ("[source]\nregion = [1, 2]\n", "source.region must be x, y, width, height"),
        ("[model]\nbackend = 'foo'\n", "unknown backend 'foo'"),
        ("[model]\nbackend = 'onnx'\n", "cannot run .tflite files"),
        ("[model]\nname = 'nope'\n", "no model 'nope'"),
        ("[model]\nname = 'edge-face'\n", "a classifier is needed here"),
        ("[detector]\nname = 'harr'\n", "unknown detector 'harr'"),
        ("[detector]\nname = 'edge:none.tflite'\n", "none.tflite: no such model file"),
        ("[output]\nsinks = ['text', 'jsnol:x']\n", "unknown sink 'jsnol:x'"),
        ("[output]\nsinks = ['jsonl:x,kep=1']\n", "did you mean 'keep'"),
        ("[output]\nsinks = ['hook:no-such-command']\n", "no such command"),
        ("[output]\nsinks = ['gpio:17,on=smile']\n", "on must be one of"),
        ("[output]\nsinks = ['gpio:17,while=hapy']\n", "no expression 'hapy'; choose present, angry"),
        ("[output]\nsinks = ['gpio:17,on=left,pulse=inf']\n", "pulse must be a number"),
        ("[output]\nsinks = ['mqtt:h:²']\n", "give mqtt:HOST"),
        ("[output]\nsinks = ['mqtt:h']\n[mqtt]\ntopic = 'a/#'\n", "mqtt.topic must be"),
        ("[output]\nsinks = ['web:127.0.0.1:²']\n", "give web:HOST:PORT"),
        ("[output]\nsinks = ['web:0.0.0.0:8080']\n", "needs a token"),
        ("[output]\nsinks = ['web:[::]']\n[web]\ntoken = 'short'\n", "at least 16 ASCII characters"),
    ],
)
def test_settings_that_a_run_would_refuse_are_not_sound(
    tmp_path: Path,
    text: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGE_FER_WEB_TOKEN", raising=False)
    assert main(["config", "--config", str(write(tmp_path, text))]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edge-fer: error: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["edge-fer.toml"]


def test_sound_settings_open_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sinks = ["jsonl:a.jsonl", "jsonl+:none/b.jsonl", "events:c.jsonl", "sqlite:d.db", "hook:true"]
    sinks += [
        "gpio:17",
        "gpio:22,while=happy",
        "gpio:27,while=uncertain",
        "mqtt:127.0.0.1:9",
        "web:127.0.0.1:9",
    ]
    outbox = tmp_path / "outbox.db"
    path = write(tmp_path, f"[output]\nsinks = {sinks}\n[mqtt]\noutbox = '{outbox}'\n")
    for source in ("picamera2:3", "v4l2:97", "rtsp://127.0.0.1:9/x", "folder:none,watch,done=x", "demo:0"):
        assert main(["config", "--config", str(path), "--source", source]) == 0
        assert "the configuration is sound" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]

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
        ("[model]\nthreads = 0\n", "model.threads must be at least 1"),
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
    "arguments", [["--size", "big"], ["--region", "1,2,3"], ["--rotate", "45"], ["--rate", "0"]]
)
def test_wrong_options_are_usage(
    arguments: list[str], picture: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--source", str(picture), "--model", str(tiny_model), *arguments]) == 2
    assert capsys.readouterr().err.count("edge-fer: error:") == 1

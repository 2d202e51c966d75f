"""`benchmarks overhead`: every part is timed, and what cannot be timed is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.overhead import summary

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


def words(*more: str) -> list[str]:
    return ["overhead", "--source", "demo:20", "--model", str(TINY), "--frames", "20", *more]


def test_parts_on_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    out = tmp_path / "overhead.json"
    assert main(words("--size", "320x240", "--format", "json", "--out", str(out))) == 0
    document = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == document
    assert document["frames"] == 20
    assert document["frame_hw"] == [240, 320]
    assert document["p50_ms"]["path"] > document["p50_ms"]["detector"] > 0
    assert document["ratio"] > 1


def test_added_is_what_is_left() -> None:
    values = {
        "path": [9_000_000],
        "detector": [2_000_000],
        "classifier": [1_000_000],
        "json_line": [500_000],
    }
    names = {"source": "s", "frame_hw": [1, 1], "model": "m", "detector": "d", "backend": "b"}
    document = summary({**names, "values_ns": values})
    assert document["p50_ms"]["added"] == pytest.approx(6.0)
    assert document["ratio"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--detector", "haar"), "must be edge"),
        (("--size", "640"), "must be WxH"),
        (("--size", "²x3"), "must be WxH"),
        (("--frames", "0"), "frames"),
    ],
)
def test_wrong_words(more: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(*more)) != 0
    assert complaint in capsys.readouterr().err

"""Sinks: every line complete, files new or continued as asked, a full disk is one line of error."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.preprocess import Box
from edge_runtime.records import STAGES, FaceRecord, FrameRecord
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.jsonl import JsonLinesFile, JsonLinesStream
from edge_runtime.sinks.text import TextSink


def record(frame: int = 17, faces: int = 1, label: str = "happy", source: str = "") -> FrameRecord:
    face = FaceRecord(3, Box(10.4, 20.6, 30, 40), 0.97, label, 0.88, {"angry": 0.12, "happy": 0.88})
    timing = dict.fromkeys(STAGES, 1.25)
    return FrameRecord(frame, 123, 4.5, 2, (face,) * faces, timing, "sha256:abc", "litert", source)


def test_the_object_of_a_line() -> None:
    stream = io.StringIO()
    JsonLinesStream(stream).write(record())
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "schema": 1,
        "frame": 17,
        "t_capture_ns": 123,
        "age_ms": 4.5,
        "dropped": 2,
        "faces": [
            {
                "track": 3,
                "box": [10, 21, 30, 40],
                "score": 0.97,
                "label": "happy",
                "confidence": 0.88,
                "probabilities": {"angry": 0.12, "happy": 0.88},
            }
        ],
        "timing_ms": dict.fromkeys(("capture", "detect", "preprocess", "infer", "total"), 1.25),
        "model": "sha256:abc",
        "backend": "litert",
    }


def frames_in(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def test_file_is_new_or_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for name, frame in ((f"jsonl:{path}", 1), (f"jsonl+:{path}", 2), (f"jsonl+:{path}", 3)):
        sink = open_sink(name)
        sink.write(record(frame))
        sink.close()
        sink.close()
    assert frames_in(path) == [1, 2, 3]
    sink = open_sink(f"jsonl:{path}")
    sink.write(record(4))
    assert frames_in(path) == [4]
    sink.close()


def test_line_that_a_power_cut_left_open_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"frame":1}\n{"fra')
    sink = JsonLinesFile(path, append=True)
    sink.write(record(2))
    sink.close()
    first, broken, last = path.read_text().splitlines()
    assert json.loads(first)["frame"] == 1
    assert broken == '{"fra'
    assert json.loads(last)["frame"] == 2


def test_full_disk_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    sink = open_sink("jsonl:/dev/full")
    with pytest.raises(SinkError, match="No space left on device"):
        sink.write(record())
    sink.close()


def test_partly_written_line_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesFile(path)
    sink.write(record(1))
    import os

    real_write = os.write
    calls = []

    def short_write(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real_write(descriptor, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_runtime.sinks.linefile.os.write", short_write)
    with pytest.raises(SinkError, match="complete"):
        sink.write(record(2))
    assert frames_in(path) == [1]


@pytest.mark.parametrize("name", ["", "csv", "jsonl+", "text:file"])
def test_wrong_names_are_usage(name: str) -> None:
    with pytest.raises(UsageError):
        open_sink(name)


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write the results there"):
        open_sink(f"jsonl:{tmp_path / 'none' / 'out.jsonl'}")


def test_text_prints_when_something_changes() -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    for item in (record(1), record(2), record(3, label="sad"), record(4, faces=0), record(5, faces=0)):
        sink.write(item)
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["frame 1", "frame 3", "frame 4"]
    assert "happy 88%" in lines[0]
    assert lines[2].endswith("no face")


def test_text_prints_every_picture() -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    sink.write(record(source="a.png"))
    sink.write(record(source="b.png"))
    assert len(stream.getvalue().splitlines()) == 2

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.record import PipelineRecord, read_records
from edge_runtime.classifier import resolve_model
from edge_runtime.records import STAGES

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(25):
        image = generator.integers(0, 256, (96, 96), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), image)
    return folder


def test_whole_frames_are_measured(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pipeline.json"
    words = ["pipeline", "--source", str(pictures), "--model", str(TINY), "--detector", "none"]
    assert main([*words, "--format", "json", "--out", str(out)]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    (record,) = read_records(out)
    assert isinstance(record, PipelineRecord)
    assert tuple(record.stages) == STAGES
    assert printed["frames"] == 15
    assert {len(samples.warmups_ns) for samples in record.stages.values()} == {10}
    assert record.frames_with_faces == record.faces == 15
    assert printed["frames_per_s"] == pytest.approx(15 / record.wall_s)
    assert record.memory[0].rss_bytes > 1 << 20
    assert str(tmp_path) not in record.source


def test_files_of_one_detector_are_told_apart(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "pipeline",
        "--source",
        str(pictures),
        "--model",
        str(TINY),
        "--frames",
        "1",
        "--format",
        "json",
    ]
    file = resolve_model("edge-face-320")
    assert main([*words, "--detector", "edge", "--detector", f"edge:{file}"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [document["detector"] for document in documents] == ["edge", "edge:edge-face-320.tflite"]


def test_too_few_frames_are_one_line(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted(pictures.iterdir())[5:]:
        file.unlink()
    words = ["pipeline", "--source", str(pictures), "--model", str(TINY), "--detector", "none"]
    assert main(words) == 1
    assert "needs more than 10" in capsys.readouterr().err

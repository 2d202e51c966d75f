import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.count import with_count
from benchmarks.record import LatencyRecord, read_records, write_records
from tests.benchmarks.fabricate import accuracy, latency

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


def test_a_count_goes_to_every_process_of_its_combination_alone() -> None:
    one, other = latency(1), replace(latency(2), backend_name="onnx")
    assert with_count(one, "a" * 64, "litert", 5.0, "here") == replace(
        one, instructions_per_call=5.0, instructions_source="here"
    )
    assert with_count(other, "a" * 64, "litert", 5.0, "here") == other
    assert with_count(latency(1, threads=2), "a" * 64, "litert", 5.0, "here") == latency(1, threads=2)
    counted = latency(1, instructions=7.0)
    assert with_count(counted, "a" * 64, "litert", 5.0, "here") == counted
    assert with_count(accuracy(), "a" * 64, "litert", 5.0, "here") == accuracy()


def test_what_was_counted_is_not_counted_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(TINY.read_bytes()).hexdigest()
    records = [replace(latency(1, instructions=7.0), model_sha256=digest), latency(2)]
    write_records(tmp_path / "r.json", records)
    assert main(["count", str(tmp_path / "r.json"), "--model", str(TINY)]) == 0
    assert "edge-fer-small was timed; name its file" in capsys.readouterr().err
    found = [r for r in read_records(tmp_path / "r.json") if isinstance(r, LatencyRecord)]
    assert [record.instructions_per_call for record in found] == [7.0, None]


def test_a_missing_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "r.json", [latency(1)])
    assert main(["count", str(tmp_path / "r.json"), "--model", str(tmp_path / "no.tflite")]) == 1
    assert "no.tflite: cannot read" in capsys.readouterr().err

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.matrix import Job, remaining
from benchmarks.record import LatencyRecord, read_records, write_records
from tests.benchmarks.fabricate import HOST, OTHER_HOST, environment, latency, pipeline, state

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"
JOB = Job(Path("edge-fer-small.tflite"), "a" * 64, "litert", 1)


def left(*records: object, calls: int = 1000) -> int:
    return len(remaining([JOB, JOB], records, HOST.fingerprint, calls))  # type: ignore[arg-type]


def test_what_is_recorded_is_not_measured_again() -> None:
    assert left() == 2
    assert left(latency(1)) == 1
    assert left(latency(1), latency(2), latency(3)) == 0


def test_records_of_other_conditions_answer_nothing() -> None:
    assert left(pipeline(1)) == 2
    assert left(latency(1, threads=2)) == 2
    assert left(latency(1), calls=500) == 2
    assert left(latency(1, around=environment(host=OTHER_HOST))) == 2
    assert left(replace(latency(1), model_sha256="c" * 64)) == 2
    assert left(replace(latency(1), box_px=99)) == 2


def test_an_interrupted_run_goes_on_and_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "matrix.json"
    write_records(out, [latency(1)])
    words = ["matrix", "--model", str(TINY), "--backend", "litert", "--threads", "1", "--calls", "30"]
    words += ["--processes", "1", "--keep-void", "--format", "json", "--out", str(out)]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    first = read_records(out)
    assert [record.model for record in first if isinstance(record, LatencyRecord)] == [
        "edge-fer-small",
        "tiny",
    ]
    assert main(words) == 0
    assert "1 done already" in capsys.readouterr().err
    assert read_records(out) == first


def test_void_records_stay_until_they_are_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sha256 = tmp_path / "matrix.json", hashlib.sha256(TINY.read_bytes()).hexdigest()
    throttled = [state(0.0), state(1.0, 0x4)]
    mine = replace(latency(1, model="tiny", around=environment(throttled)), model_sha256=sha256)
    others = [pipeline(1), latency(2, around=environment(throttled, OTHER_HOST))]
    good = replace(latency(3, model="tiny"), model_sha256=sha256)
    monkeypatch.setattr("benchmarks.matrix.describe_host", lambda: HOST)
    monkeypatch.setattr("benchmarks.matrix._measure_one", lambda *_: good)
    write_records(out, [mine, *others])
    words = ["matrix", "--model", str(TINY), "--backend", "litert", "--threads", "1", "--processes", "1"]
    assert main([*words, "--out", str(out)]) == 0
    assert read_records(out) == [*others, good]
    # What becomes void in this very run stays, too.
    taken = iter([mine, good])
    monkeypatch.setattr("benchmarks.matrix._measure_one", lambda *_: next(taken))
    write_records(out, [])
    words[-1] = "2"
    assert main([*words, "--out", str(out)]) == 0
    assert read_records(out) == [mine, good]
    capsys.readouterr()


def test_a_backend_that_cannot_be_measured_fails_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip("tflite-runtime may work here")
    words = ["matrix", "--model", str(TINY), "--backend", "tflite-runtime", "--threads", "1"]
    assert main([*words, "--calls", "5", "--out", str(tmp_path / "m.json")]) == 1
    assert "nothing could be measured" in capsys.readouterr().err

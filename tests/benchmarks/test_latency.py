import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.record import LatencyRecord, read_records
from edge_runtime.modelfile import read_tflite

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


def test_a_fresh_process_is_measured_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "latency.json"
    words = ["latency", "--model", str(TINY), "--backend", "litert", "--calls", "60", "--format", "json"]
    assert main([*words, "--out", str(out)]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    (record,) = read_records(out)
    assert isinstance(record, LatencyRecord)
    assert json.loads(out.read_text()) == [printed]
    assert record.model_sha256 == read_tflite(TINY).sha256
    assert "ai-edge-litert" in record.backend
    assert printed["calls"] == len(record.stages["infer"].values_ns) == 60
    assert printed["p99_ms"] is None
    assert 0 < printed["p50_ms"] <= printed["p90_ms"]
    total, infer = record.stages["total"].values_ns, record.stages["infer"].values_ns
    preprocess = record.stages["preprocess"].values_ns
    assert total == tuple(a + b for a, b in zip(preprocess, infer, strict=True))
    assert len(record.stages["total"].warmups_ns) >= 120 or not record.warmup_steady
    assert record.bare_invoke_ns is not None
    assert len(record.bare_invoke_ns) == 60
    assert record.operators is not None
    assert record.operators["DELEGATE"] == 1
    assert record.load_ms > 0
    assert record.first_call_ms > 0
    assert len(record.environment.states) >= 2
    assert record.rss_steady_bytes is None or record.rss_steady_bytes > 1 << 20


def test_a_detector_is_measured_on_the_whole_frame(tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    words = ["latency", "--model", "edge-face", "--backend", "litert", "--calls", "5"]
    assert main([*words, "--out", str(out)]) == 0
    (record,) = read_records(out)
    assert isinstance(record, LatencyRecord)
    assert (record.model, record.box_px) == ("edge-face", 0)
    assert record.bare_invoke_ns is not None


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", str(TINY), "--calls", "0"], 2, "--calls must be at least 1"),
        (["--model", str(TINY), "--threads", "0"], 2, "--threads must be at least 1"),
        (["--model", "no-such-model"], 2, "no-such-model"),
        (["--model", "missing.tflite", "--calls", "5"], 1, "missing.tflite"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["latency", *words]) == code
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1

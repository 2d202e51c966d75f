import json
from pathlib import Path

import pytest

from benchmarks.record import Record, from_dict, read_records, to_dict, write_records
from benchmarks.schema import RecordError
from edge_runtime.errors import EdgeFerError
from tests.benchmarks.fabricate import accuracy, latency, pipeline, state
from tests.benchmarks.fabricate import environment as surroundings

KINDS = pytest.mark.parametrize("record", [latency(1), pipeline(1), accuracy()], ids=lambda r: r.KIND)


@KINDS
def test_a_file_gives_back_what_was_written(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    write_records(path, [record])
    assert read_records(path) == [record]


def test_figures_stand_beside_the_raw_values() -> None:
    document = to_dict(latency(1))
    assert document["schema"] == 1
    assert document["kind"] == "latency"
    assert document["calls"] == 1000
    assert document["p50_ms"] == pytest.approx(1.0, rel=0.02)
    assert document["p50_ms"] < document["p90_ms"] < document["p99_ms"]
    assert document["summary"]["infer"]["p50_ms"] == pytest.approx(0.9, rel=0.02)
    low, high = document["p50_ms_interval"]
    assert low < document["p50_ms"] < high


def test_energy_per_call_includes_the_whole_board() -> None:
    around = surroundings()
    from dataclasses import replace

    record = latency(1, around=replace(around, run_watts=4.0, energy_source="Pi PMIC"))
    mean_ms = sum(record.stages["total"].values_ns) / 1000 / 1e6
    assert record.millijoules_per_call == pytest.approx(4.0 * mean_ms)
    assert latency(1).millijoules_per_call is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 2, "schema 2 is not supported"),
        ("kind", "weight", "kind must be one of latency, pipeline"),
        ("p50_ms", 0.1, "p50_ms does not follow from the raw values"),
        ("calls", 5000, "calls does not follow"),
        ("threads", "1", "threads: expected an integer"),
        ("surprise", 1, "unknown keys surprise"),
        ("cpu_ns", [1, 2], "same number of values"),
    ],
)
def test_an_edited_record_is_refused(key: str, value: object, message: str) -> None:
    document = {**to_dict(latency(1)), key: value}
    with pytest.raises(RecordError, match=message):
        from_dict(json.loads(json.dumps(document)), "a.json, record 1")


def test_an_edited_confusion_matrix_is_refused() -> None:
    document = {**to_dict(accuracy()), "top1": 0.99}
    with pytest.raises(RecordError, match="top1 do not follow"):
        from_dict(document, "a.json, record 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{}", "expected a list"),
        ("[1]", "record 1: expected an object"),
        (None, "no such"),
    ],
)
def test_files_that_are_no_records(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecordError, match=message):
        read_records(path)


def test_unknown_host_facts_are_null_not_absent() -> None:
    document = to_dict(latency(1, around=surroundings([state(0.0, None), state(1.0, None)])))
    first = document["environment"]["states"][0]
    assert first["throttled"] is None
    assert first["watts"] is None


def test_results_replace_no_folder_and_no_device(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(EdgeFerError, match="folder or a device"):
            write_records(path, [latency(1)])
    assert Path("/dev/null").is_char_device()

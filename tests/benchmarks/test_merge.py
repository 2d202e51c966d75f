import csv
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.record import read_records, write_records
from tests.benchmarks.fabricate import HOST, OTHER_HOST, accuracy, environment, latency, pipeline, state


def test_records_of_many_boards_join_and_equal_ones_stay_once(tmp_path: Path) -> None:
    here, there = latency(1), latency(2, around=environment(host=OTHER_HOST))
    write_records(tmp_path / "a.json", [here, pipeline(1)])
    write_records(tmp_path / "b.json", [here, there, accuracy()])
    out = tmp_path / "all.json"
    assert main(["merge", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--out", str(out)]) == 0
    assert read_records(out) == [here, pipeline(1), there, accuracy()]


def test_csv_has_a_row_per_record_with_its_figures(tmp_path: Path) -> None:
    void = latency(3, around=environment([state(0.0), state(1.0, 0x1)]))
    elsewhere = replace(accuracy(), data=replace(accuracy().data, split="Training"))
    write_records(tmp_path / "a.json", [latency(1), pipeline(1), accuracy(), void, elsewhere])
    out = tmp_path / "all.csv"
    assert main(["merge", str(tmp_path / "a.json"), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["latency", "pipeline", "accuracy", "latency", "accuracy"]
    assert {row["host"] for row in rows} == {HOST.fingerprint}
    assert (rows[2]["split"], rows[4]["split"]) == (accuracy().data.split, "Training")
    assert rows[1]["realtime"] in ("True", "False")
    assert rows[1]["source"] == pipeline(1).source
    assert float(rows[0]["p50_ms"]) == pytest.approx(1.0, rel=0.02)
    assert rows[0]["n"] == "1000"
    assert rows[0]["void"] == ""
    assert float(rows[1]["frames_per_s"]) > 0
    assert float(rows[2]["top1"]) == 0.7
    assert "under-voltage" in rows[3]["void"]


def test_another_ending_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "a.json", [latency(1)])
    assert main(["merge", str(tmp_path / "a.json"), "--out", str(tmp_path / "all.xlsx")]) == 2
    assert ".csv" in capsys.readouterr().err

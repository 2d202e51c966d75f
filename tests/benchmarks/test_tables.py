import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.record import write_records
from benchmarks.tables import TABLES, fill
from edge_runtime.errors import EdgeFerError
from tests.benchmarks.fabricate import OTHER_HOST, accuracy, environment, latency, pipeline, state

ROOT = Path(__file__).parents[2]
THROTTLED = environment([state(0.0), state(1.0, 0x4), state(2.0)])


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("void", "hosts", "ratio")])
def test_a_record_with_a_live_throttle_flag_never_enters_a_table(name: str) -> None:
    good = [latency(1), latency(2, model="other", median_ms=2.0), pipeline(1), accuracy()]
    void = [latency(3, 50.0, around=THROTTLED), pipeline(4, around=THROTTLED)]
    assert TABLES[name]([*good, *void]) == TABLES[name](good)


def test_void_runs_stand_in_a_table_of_their_own_with_the_reason() -> None:
    table = TABLES["void"]([latency(1), latency(2, around=THROTTLED)])
    assert table.count("throttled") == 1
    assert len(table.splitlines()) == 3


def test_processes_are_pooled() -> None:
    table = TABLES["latency"]([latency(1, 1.0), latency(2, 2.0), latency(3, 4.0)])
    (row,) = table.splitlines()[2:]
    processes, p50, span = row.split(" | ")[1:4]
    assert processes == "3 x 1000"
    assert float(p50) == pytest.approx(2.0, rel=0.02)
    assert [float(end) for end in span.split(" to ")] == pytest.approx([1.0, 4.0], rel=0.02)


def test_boards_are_told_apart_where_there_are_several() -> None:
    here, there = latency(1), latency(2, around=environment(host=OTHER_HOST))
    one, two = TABLES["latency"]([here]), TABLES["latency"]([here, there])
    assert "Raspberry Pi" not in one
    assert two.count("Raspberry Pi 4 Model B") == two.count("Raspberry Pi 5 Model B") == 1


def test_only_undominated_models_are_on_the_front() -> None:
    records = [
        latency(1, 1.0),
        latency(2, 2.0, model="slow"),
        accuracy(correct=70),
        accuracy(model="slow", correct=60),
    ]
    rows = TABLES["pareto"](records).splitlines()[2:]
    assert rows[0].startswith("| edge-fer-small")
    assert rows[0].endswith("| yes |")
    assert rows[1].endswith("| no |")
    better = TABLES["pareto"]([*records[:3], accuracy(model="slow", correct=80)]).splitlines()[2:]
    assert [row.split()[-2] for row in better] == ["yes", "yes"]


def test_accuracies_of_other_pictures_or_of_two_passes_are_no_points() -> None:
    record = accuracy(correct=70)
    twice = replace(accuracy(correct=90), model="edge-fer-small flip-average")
    elsewhere = replace(accuracy(correct=100), data=replace(record.data, split="Training", digest="d" * 64))
    timed = [latency(1, 1.0), latency(2, 2.0, model="slow"), accuracy(model="slow", correct=60)]
    expected = TABLES["pareto"]([*timed, record])
    for others in ([record, twice, elsewhere], [elsewhere, twice, record]):
        assert TABLES["pareto"]([*timed, *others]) == expected
        assert TABLES["pareto"]([*others, *timed]) == expected


def test_the_reference_is_the_same_in_any_order() -> None:
    quick = latency(1, 2.0, model="mini-xception-untrained", instructions=4e6)
    slow = replace(
        latency(2, 20.0, model="mini-xception-untrained"), backend="tflite-runtime 2.14", backend_name="t"
    )
    other_way = replace(latency(3, 3.0, instructions=2e6), instructions_source="by another counter")
    for records in ([quick, slow, other_way], [other_way, slow, quick]):
        rows = [row.strip("| ").split(" | ") for row in TABLES["ratio"](records).splitlines()[2:]]
        (row,) = (row for row in rows if row[0].startswith("edge-fer-small"))
        assert float(row[3]) == pytest.approx(1.5, rel=0.03)
        assert row[-1] == "-"


def test_ratios_count_in_the_reference_of_the_same_threads() -> None:
    records = [
        latency(1, 2.0, model="mini-xception-untrained", instructions=4e6),
        latency(2, 8.0, model="mini-xception-untrained", threads=2),
        latency(3, 3.0, instructions=2e6),
        latency(4, 4.0, threads=2),
        latency(5, 1.0, threads=4),
    ]
    rows = [row.strip("| ").split(" | ") for row in TABLES["ratio"](records).splitlines()[2:]]
    assert len(rows) == 4
    ratios = {row[0]: row[3:] for row in rows if row[0].startswith("edge-fer-small")}
    one, two = (ratios[name] for name in sorted(ratios))
    assert float(one[0]) == pytest.approx(1.5, rel=0.03)
    assert float(two[0]) == pytest.approx(0.5, rel=0.03)
    assert (one[3], two[3]) == ("0.50", "-")


def test_time_inside_of_the_runtime_is_summed_by_kind_of_operator() -> None:
    records = [latency(1, 1.0), latency(2, 3.0), latency(3, 50.0, around=THROTTLED)]
    rows = [row.strip("| ").split(" | ") for row in TABLES["operators"](records).splitlines()[2:]]
    assert [row[1:] for row in rows] == [
        ["Conv", "2", "1200.0", "75.0"],
        ["Add", "1", "380.0", "23.8"],
        ["others", "2", "20.0", "1.2"],
    ]
    assert TABLES["operators"]([replace(latency(1), operator_profile=None)]) == "No records.\n"


def test_the_picture_is_drawn_from_records_that_are_not_void(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    document, records = tmp_path / "doc.md", tmp_path / "records"
    document.write_text("<!-- generated: picture -->\n<!-- end -->\n")
    words = ["tables", str(document), "--records", str(records)]
    write_records(records / "a.json", [latency(1, around=THROTTLED), accuracy()])
    assert main(words) == 0
    assert "No records" in document.read_text()
    assert not (tmp_path / "benchmarks").exists()
    write_records(records / "a.json", [latency(1), accuracy()])
    assert main([*words, "--check"]) == 1
    assert main(words) == 0
    (name,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", document.read_text())
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_document_is_filled_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document, records = tmp_path / "doc.md", tmp_path / "records"
    document.write_text("# Title\n<!-- generated: latency -->\nold\n<!-- end -->\ntext\n")
    write_records(records / "a.json", [latency(1)])
    words = ["tables", str(document), "--records", str(records)]
    assert main([*words, "--check"]) == 1
    assert "does not match" in capsys.readouterr().err
    assert main(words) == 0
    assert main([*words, "--check"]) == 0
    text = document.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\ntext\n")
    assert "edge-fer-small" in text
    document.write_text(text.replace("1 x 1000", "9 x 1000"))
    assert main([*words, "--check"]) == 1


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(EdgeFerError, match="unknown table 'wishes'"):
        fill("<!-- generated: wishes -->\n<!-- end -->", [])
    with pytest.raises(EdgeFerError, match="no block"):
        fill("nothing here", [])


def test_the_published_tables_match_the_published_records(capsys: pytest.CaptureFixture[str]) -> None:
    document, records = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks"
    assert main(["tables", str(document), "--records", str(records), "--check"]) == 0, (
        capsys.readouterr().err
    )


def test_every_picture_of_the_document_is_there() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / name).is_file(), name

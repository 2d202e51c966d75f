import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.compare import NotComparableError, compare, parse_percent
from benchmarks.record import write_records
from edge_runtime.errors import UsageError
from tests.benchmarks.fabricate import OTHER_HOST, accuracy, environment, latency, pipeline, state

THROTTLED = environment([state(0.0), state(1.0, 0x4), state(2.0)])


def files(tmp_path: Path, a: list, b: list) -> list[str]:
    for name, records in (("a", a), ("b", b)):
        write_records(tmp_path / f"{name}.json", records)
    return [str(tmp_path / "a.json"), str(tmp_path / "b.json")]


def test_equal_records_are_equal_and_slower_ones_slower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = files(tmp_path, [latency(1), pipeline(2)], [latency(3), pipeline(2)])
    assert main(["compare", *paths, "--format", "json"]) == 0
    verdicts = {found["key"][0]: found["time"]["verdict"] for found in json.loads(capsys.readouterr().out)}
    assert verdicts == {"latency": "equal", "pipeline": "equal"}
    paths = files(tmp_path, [latency(1)], [latency(2, 1.05)])
    assert main(["compare", *paths]) == 0
    assert "slower" in capsys.readouterr().out


def test_the_gate_fails_on_what_is_slower_than_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = files(tmp_path, [latency(1)], [latency(2, 1.10)])
    assert main(["compare", *paths, "--fail-if-slower", "5%"]) == 1
    assert "more than 5.0% slower" in capsys.readouterr().err
    assert main(["compare", *paths, "--fail-if-slower", "20%"]) == 0
    assert main(["compare", *reversed(paths), "--fail-if-slower", "5%"]) == 0


def test_the_gate_believes_instructions_more_than_clocks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow_clock = files(tmp_path, [latency(1, instructions=1e6)], [latency(2, 1.5, instructions=1.001e6)])
    assert main(["compare", *slow_clock, "--fail-if-slower", "1%"]) == 0
    more_work = files(tmp_path, [latency(1, instructions=1e6)], [latency(2, instructions=1.06e6)])
    assert main(["compare", *more_work, "--fail-if-slower", "5%"]) == 1


def test_the_gate_does_not_pass_what_it_cannot_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged, other = latency(1), latency(2, model="other")
    missing = files(tmp_path, [judged, other], [latency(3)])
    assert main(["compare", *missing, "--fail-if-slower", "5%"]) == 1
    assert "other" in (said := capsys.readouterr().err)
    assert "only in A" in said
    assert main(["compare", *missing]) == 0
    assert main(["compare", *reversed(missing), "--fail-if-slower", "5%"]) == 0
    void = files(tmp_path, [judged, other], [latency(3), latency(2, 3.0, model="other", around=THROTTLED)])
    capsys.readouterr()
    assert main(["compare", *void, "--fail-if-slower", "5%"]) == 1
    assert "void, so it cannot be judged" in capsys.readouterr().err


def test_instructions_of_void_records_count_their_times_do_not() -> None:
    (found,) = compare(
        [latency(1, instructions=1e6, around=THROTTLED)], [latency(2, 3.0, instructions=2e6)]
    )
    assert found.time is None
    assert found.instructions_ratio == 2.0
    assert any("1 void in A" in note for note in found.notes)


def test_counts_of_different_counters_are_not_compared() -> None:
    b = replace(latency(2, instructions=2e6), instructions_source="callgrind, valgrind-3.19.0")
    (found,) = compare([latency(1, instructions=1e6)], [b])
    assert found.instructions_ratio is None


def test_void_processes_leave_the_comparison() -> None:
    (found,) = compare([latency(1), latency(2, 9.0, around=THROTTLED)], [latency(3)])
    assert found.processes == (1, 1)
    assert found.time is not None
    assert found.time.verdict == "equal"


def test_void_records_alone_are_refused() -> None:
    with pytest.raises(NotComparableError, match="void"):
        compare([latency(1, around=THROTTLED)], [latency(2)])


def test_other_hosts_need_to_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = latency(2, 0.5, around=environment(host=OTHER_HOST))
    with pytest.raises(UsageError, match=r"different hosts.*--across-hosts"):
        compare([latency(1)], [elsewhere])
    (found,) = compare([latency(1)], [elsewhere], across_hosts=True)
    assert found.time is not None
    assert found.time.verdict == "faster"
    paths = files(tmp_path, [latency(1)], [elsewhere])
    assert main(["compare", *paths]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_of_several_hosts_is_refused() -> None:
    both = [latency(1), latency(2, around=environment(host=OTHER_HOST))]
    with pytest.raises(NotComparableError, match="several hosts"):
        compare(both, [latency(3)], across_hosts=True)


def test_other_conditions_are_refused() -> None:
    with pytest.raises(NotComparableError, match="different conditions"):
        compare([latency(1)], [replace(latency(2), box_px=320)])


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(NotComparableError, match="nothing to compare"):
        compare([latency(1)], [latency(2, threads=4)])
    with pytest.raises(NotComparableError, match="no timings"):
        compare([accuracy()], [latency(1)])


def test_another_model_of_the_same_name_is_noted() -> None:
    (found,) = compare([latency(1)], [replace(latency(2), model_sha256="c" * 64)])
    assert any(note.startswith("model_sha256: aaaa") for note in found.notes)


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("5", 0.05), ("0.5 %", 0.005)])
def test_percentages(text: str, value: float) -> None:
    assert parse_percent(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["-5%", "five", "", "5%%"])
def test_what_is_no_percentage_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare", "a.json", "b.json", f"--fail-if-slower={text}"])
    assert stop.value.code == 2

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.record import write_records
from tests.benchmarks.fabricate import OTHER_HOST, accuracy, environment, latency, pipeline, state

pytest.importorskip("matplotlib")


@pytest.fixture
def page(tmp_path: Path) -> str:
    records = [
        latency(1),
        latency(2, 2.0, model="other"),
        latency(3, 0.4, around=environment(host=OTHER_HOST)),
        latency(4, 77.0, model="throttled-model", around=environment([state(0.0), state(1.0, 0x4)])),
        pipeline(1),
        accuracy(),
        accuracy("other", 80),
    ]
    write_records(tmp_path / "a.json", records)
    out = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "a.json"), "--out", str(out)]) == 0
    for name in ("pareto", "latency", "cost"):
        assert (tmp_path / f"report-{name}.png").read_bytes()[:4] == b"\x89PNG"
    return out.read_text()


def test_the_page_needs_nothing_outside_itself(page: str) -> None:
    assert not re.search(r"(?:src|href)=(?![\"']?data:)", page)
    assert "http" not in re.sub(r"base64,[^\"]+", "", page)
    assert page.count("data:image/png;base64,") == 3


def test_the_page_shows_every_section_and_both_hosts(page: str) -> None:
    for title in ("Accuracy against latency", "Latency of one call", "Whole frames", "Hosts", "Void runs"):
        assert f"<h2>{title}" in page
    assert "Raspberry Pi 4 Model B" in page
    assert "Raspberry Pi 5 Model B" in page


def test_void_runs_are_listed_as_void_alone(page: str) -> None:
    before, after = page.split("<h2>Void runs")
    assert "throttled-model" not in before
    assert "throttled-model" in after


def test_void_records_alone_make_a_page_without_pictures(tmp_path: Path) -> None:
    write_records(tmp_path / "a.json", [latency(1, around=environment([state(0.0, 1), state(1.0, 1)]))])
    out = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "a.json"), "--out", str(out)]) == 0
    assert "1 of them void" in out.read_text()
    assert list(tmp_path.glob("*.png")) == []

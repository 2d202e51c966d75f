"""The short form: nothing grows, and growth would be seen."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.measure import Sample, growth

ROOT = Path(__file__).parents[2]
FRAMES = 300


def test_nothing_grows_in_a_short_run(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    command = [sys.executable, "-m", "tests.soak", "--minutes", "5", "--frames", str(FRAMES)]
    command += ["--interval", "0.2", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    document = json.loads((tmp_path / "soak.json").read_text())
    assert document["frames"] == FRAMES
    assert {"jsonl+", "events", "sqlite", "hook"} <= set(document["sinks"])
    # A few seconds are too short for the memory's allowance; files and threads must stay as they are.
    assert document["growth"]["descriptors"] <= 1
    assert document["growth"]["threads"] <= 0
    assert document["growth"]["rss_bytes"] < 20_000_000


def test_growth_is_seen_and_a_warm_up_is_not() -> None:
    steady = [Sample(float(t), t, 100_000_000, 12, 4, 5.0, 9.0) for t in range(100)]
    assert growth(steady).problems() == []
    warming = [replace(s, rss_bytes=s.rss_bytes - (max(0, 30 - s.frames)) * 10**6) for s in steady]
    assert growth(warming).problems() == []
    leaking = [replace(s, rss_bytes=s.rss_bytes + s.frames * 50_000) for s in steady]
    assert growth(leaking).problems() == ["resident memory grew by 2.5 MB"]
    holding = [replace(s, descriptors=s.frames, threads=4 + s.frames // 50) for s in steady]
    assert growth(holding).problems() == ["51 more open files", "1 more threads"]

"""Killed at a random moment: what was written before is whole and stays readable."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from pathlib import Path

import pytest

from tests.faults.conftest import LONG_FORM, Starter, lines, records

SHORT, LONG = 4, 50
LOST_AT_MOST_NS = 1_000_000_000


@pytest.mark.parametrize("times", [SHORT, pytest.param(LONG, marks=LONG_FORM)])
def test_kill_at_a_random_moment(start: Starter, tiny: str, tmp_path: Path, times: int) -> None:
    seed = int(os.environ.get("EDGE_FER_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}: repeat with EDGE_FER_SEED={seed}")
    moments = random.Random(seed)
    out, database = tmp_path / "out.jsonl", tmp_path / "counts.db"
    for number in range(times):
        before = lines(out)
        running = start(
            *("run", "--source", "demo:0", "--realtime", "--model", tiny, "--detector", "none"),
            *("--sink", "jsonl", "--sink", f"jsonl+:{out}", "--sink", f"sqlite:{database}"),
        )
        if number % 5 != 4:
            running.wait_until(lambda before=before: lines(out) > before)
        # Otherwise before the first frame, while models and files are opened.
        time.sleep(moments.uniform(0, 1.5))
        running.kill()
        said = running.out_path.read_bytes().splitlines(keepends=True)
        told = [json.loads(line) for line in said if line.endswith(b"\n")]
        written = records(out)[before:]
        # The file comes right after stdout: at most the frame between the two is missing.
        numbers = [record["frame"] for record in written]
        assert numbers == [record["frame"] for record in told][: len(written)]
        assert len(told) - len(written) in (0, 1)
        check_counts(database, written)


def check_counts(database: Path, written: list[dict[str, object]]) -> None:
    """The database opens, is sound, and lacks at most the last second of this run."""
    if not database.exists():
        assert not written
        return
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        query = "SELECT ifnull(sum(frames), 0) FROM counts WHERE run = (SELECT max(run) FROM runs)"
        (counted,) = connection.execute(query).fetchone()
        runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    finally:
        connection.close()
    if not written or not runs:
        return
    times = [int(str(record["t_capture_ns"])) for record in written]
    # The last frame may have been on its way; of those before, the last second may be missing.
    certain = sum(t_ns < times[-2:][0] - LOST_AT_MOST_NS for t_ns in times)
    assert counted >= certain

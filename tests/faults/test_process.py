"""Signals at any moment, a clock that jumps, a model that is replaced, work that raises."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.faults.conftest import LONG_FORM, ROOT, TIMEOUT_S, Starter, lines, records
from tests.faults.test_disk import counted, faces_of

SHORT, LONG = 4, 40


def demo(model: str, *sinks: str) -> list[str]:
    options = [word for sink in sinks for word in ("--sink", sink)]
    return ["run", "--source", "demo:0", "--realtime", "--model", model, "--detector", "none", *options]


@pytest.mark.parametrize("times", [SHORT, pytest.param(LONG, marks=LONG_FORM)])
def test_terminated_at_any_moment_nothing_is_lost_or_doubled(
    start: Starter, tiny: str, tmp_path: Path, times: int
) -> None:
    """One, two or three SIGTERM in a row, from start-up to closing."""
    seed = int(os.environ.get("EDGE_FER_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}: repeat with EDGE_FER_SEED={seed}")
    moments = random.Random(seed)
    for number in range(times):
        out, database = tmp_path / f"{number}.jsonl", tmp_path / f"{number}.db"
        running = start(
            *demo(tiny, "jsonl", f"jsonl+:{out}", f"events:{tmp_path}/{number}.events"),
            "--sink",
            f"sqlite:{database}",
        )
        if number % 4 != 3:
            running.wait_until(lambda out=out: lines(out) > 0)
        time.sleep(moments.uniform(0, 1))
        for _ in range(moments.choice((1, 2, 3))):
            running.process.send_signal(signal.SIGTERM)
            time.sleep(moments.uniform(0, 0.01))
        status = running.process.wait(TIMEOUT_S)
        # Before its first line of work the program dies of the signal, and has nothing to lose.
        assert status == 0 or (status == -signal.SIGTERM and not lines(out)), running.log
        assert "Traceback" not in running.log
        if " frames, " not in running.log:
            continue
        assert len(records(out)) == int(running.log.split(" frames, ")[0].split()[-1])
        assert out.read_bytes() == running.out_path.read_bytes()
        assert counted(database) == faces_of(running.log)


def test_clock_jumps_change_nothing_but_the_minutes(start: Starter, tiny: str, tmp_path: Path) -> None:
    out, database, events = tmp_path / "out.jsonl", tmp_path / "counts.db", tmp_path / "events"
    running = start(
        "clock",
        *demo(tiny, f"jsonl+:{out}", f"sqlite:{database}", f"events:{events}"),
        module="tests.faults.disturbed",
    )
    running.wait_until(lambda: lines(out) > 50)
    assert running.end() == 0
    assert "Traceback" not in running.log
    found = records(out)
    assert [record["frame"] - record["dropped"] for record in found] == list(range(len(found)))
    assert counted(database) == faces_of(running.log)
    connection = sqlite3.connect(database)
    (minutes, seconds) = connection.execute(
        "SELECT count(DISTINCT minute), sum(seconds) FROM counts"
    ).fetchone()
    connection.close()
    assert minutes > 1
    lasted_s = (found[-1]["frame"] - found[0]["frame"]) / 25
    assert seconds == pytest.approx(lasted_s, abs=0.5)
    kinds = [json.loads(line)["event"] for line in events.read_text().splitlines()]
    assert (kinds[0], kinds[-1]) == ("arrived", "left")
    assert kinds.count("arrived") == kinds.count("left") == 1


@pytest.mark.parametrize("how", ["replaced", "truncated", "removed"])
def test_a_model_file_may_change_under_a_run(start: Starter, tiny: str, tmp_path: Path, how: str) -> None:
    model, out = tmp_path / "model.tflite", tmp_path / "out.jsonl"
    shutil.copy(tiny, model)
    running = start(*demo(str(model), f"jsonl+:{out}"))
    running.wait_until(lambda: lines(out) > 3)
    if how == "replaced":
        # Written over in place, as a careless copy does it.
        model.write_bytes((ROOT / "edge_runtime/models/edge-fer-small.tflite").read_bytes())
    elif how == "truncated":
        with model.open("r+b") as file:
            file.truncate(1000)
    else:
        model.unlink()
    seen = lines(out)
    running.wait_until(lambda: lines(out) > seen + 5)
    running.process.send_signal(signal.SIGHUP)
    if how == "replaced":
        running.wait_for_log("model edge-fer-small")
        seen = lines(out)
        running.wait_until(lambda: lines(out) > seen + 3)
        assert running.end() == 0
        models = [record["model"] for record in records(out)]
        # Each record names the model that made it: the first one until the configuration was read again.
        assert len(set(models)) == 2
        assert sorted(models, key=models.index) == models
    else:
        running.wait_for_log("going on with the settings and models before")
        seen = lines(out)
        running.wait_until(lambda: lines(out) > seen + 3)
        assert running.end() == 0
        (error,) = [line for line in running.log.splitlines() if line.startswith("edge-fer: error:")]
        assert str(model) in error
        assert len({record["model"] for record in records(out)}) == 1
    assert "Traceback" not in running.log


def test_work_that_raises_is_one_line_and_what_was_done_is_kept(
    start: Starter, tiny: str, tmp_path: Path
) -> None:
    out, database = tmp_path / "out.jsonl", tmp_path / "counts.db"
    running = start(
        "worker", *demo(tiny, f"jsonl+:{out}", f"sqlite:{database}"), module="tests.faults.disturbed"
    )
    assert running.process.wait(TIMEOUT_S) == 1
    (error,) = [line for line in running.log.splitlines() if line.startswith("edge-fer: error:")]
    assert "internal error: ZeroDivisionError: of nobody's making (disturbed.py, line" in error
    assert "EDGE_FER_TRACEBACK=1" in error
    assert "Traceback" not in running.log
    assert len(records(out)) == 10
    assert counted(database) == 10

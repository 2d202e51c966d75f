"""Sinks of events: lines, and a real command that is started for each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.events import EventDetector, EventSettings
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.events import HookSink
from edge_runtime.sinks.linefile import LineFile
from tests.edge_runtime.test_events import record

AT_ONCE = EventSettings(0.0, 0.1, 0.0, 0.0)


def test_events_go_to_stdout_or_are_appended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event":"before"}\n')
    for name in ("events", f"events:{path}"):
        sink = open_sink(name, AT_ONCE)
        sink.write(record(0, [(1, "happy")]))
        sink.write(record(1, []))
        sink.close()
        sink.close()
    printed = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["arrived", "left"]
    kept = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert kept == ["before", "arrived", "left"]


def test_events_that_wait_for_room_keep_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(
        "edge_runtime.sinks.events.EventDetector", lambda settings: EventDetector(settings, lambda: now[0])
    )
    path = tmp_path / "events.jsonl"
    sink = open_sink(f"events:{path}", AT_ONCE, patient=True)
    with monkeypatch.context() as full:

        def refuse(file: LineFile, text: str) -> None:
            raise SinkError("no room")

        full.setattr(LineFile, "write_line", refuse)
        sink.write(record(0, [(1, "happy")]))
        now[0] = 1001.0
        sink.write(record(1, []))
        now[0] = 1300.0
    sink.close()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(event["event"], event["time"]) for event in found] == [("arrived", 1000), ("left", 1001)]


def test_events_that_are_lost_at_the_end_are_counted() -> None:
    sink = open_sink("events:/dev/full", AT_ONCE, patient=True)
    sink.write(record(0, [(1, "happy")]))
    with pytest.raises(SinkError, match=r"No space left on device.*2 records are lost"):
        sink.close()
    sink.close()


def test_hook_gets_the_event(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = tmp_path / "hook.py"
    script.write_text(
        "import os, sys\n"
        f"open({str(out)!r}, 'a').write(os.environ['EDGE_FER_EVENT'] + ' ' + sys.stdin.read())\n"
    )
    sink = open_sink(f"hook:{sys.executable} {script}", AT_ONCE)
    sink.write(record(0, [(1, "happy")]))
    sink.close()
    kind, _, text = out.read_text().partition(" ")
    assert kind == "arrived"
    assert json.loads(text.splitlines()[0])["label"] == "happy"


def test_a_slow_hook_neither_blocks_nor_piles_up() -> None:
    sink = HookSink(f"{sys.executable} -c 'import time; time.sleep(1)'", AT_ONCE)
    sink.write(record(0, [(1, "happy"), (2, "sad"), (3, "fear")]))
    assert sink.passed_over == 2
    sink.close()


@pytest.mark.parametrize("command", ["/none/such/command", "'unclosed"])
def test_commands_that_cannot_be_are_usage(command: str) -> None:
    with pytest.raises(UsageError, match="hook:"):
        open_sink(f"hook:{command}")

"""A sink that cannot write for now: nothing is lost up to the bound, then the oldest, and it is counted."""

from __future__ import annotations

import logging

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.records import FrameRecord
from edge_runtime.sinks import patient
from edge_runtime.sinks.patient import PatientSink
from tests.edge_runtime.test_events import record


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Disk:
    """Takes records while there is room."""

    def __init__(self) -> None:
        self.room = True
        self.tries = 0
        self.times_ns: list[int] = []
        self.closed = False

    def write(self, record: FrameRecord) -> None:
        self.tries += 1
        if not self.room:
            raise SinkError("out: cannot write (No space left on device)")
        self.times_ns.append(record.scene_ns)

    def close(self) -> None:
        self.closed = True


def write(sink: PatientSink, *seconds: int) -> None:
    for second in seconds:
        sink.write(record(float(second), []))


def test_records_wait_and_keep_their_order(caplog: pytest.LogCaptureFixture) -> None:
    disk, clock = Disk(), Clock()
    sink = PatientSink(disk, "jsonl:out", clock)
    with caplog.at_level(logging.WARNING):
        write(sink, 0)
        disk.room = False
        write(sink, 1, 2, 3)
        assert disk.tries == 2
        clock.now = 1.0
        write(sink, 4)
        disk.room = True
        clock.now = 1.5
        write(sink, 5)
        assert disk.times_ns == [0]
        clock.now = 2.0
        write(sink, 6, 7)
    sink.close()
    assert [t_ns // 10**9 for t_ns in disk.times_ns] == list(range(8))
    assert disk.closed
    first, second = (entry.getMessage() for entry in caplog.records)
    assert "No space left on device" in first
    assert second == "jsonl:out can be written again: 6 records waited, 0 gave way"


def test_what_waits_is_settled_without_a_new_record() -> None:
    disk, clock = Disk(), Clock()
    sink = PatientSink(disk, "jsonl:out", clock)
    assert sink.settle()
    disk.room = False
    write(sink, 0, 1)
    clock.now = 1.0
    assert not sink.settle()
    disk.room = True
    assert not sink.settle()
    assert disk.tries == 2
    clock.now = 2.0
    assert sink.settle()
    assert disk.times_ns == [0, 10**9]


def test_beyond_the_bound_the_oldest_give_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patient, "MAX_WAITING", 3)
    disk, clock = Disk(), Clock()
    sink = PatientSink(disk, "jsonl:out", clock)
    disk.room = False
    write(sink, *range(5))
    disk.room = True
    clock.now = 1.0
    with caplog.at_level(logging.WARNING):
        write(sink, 5)
    assert [t_ns // 10**9 for t_ns in disk.times_ns] == [3, 4, 5]
    assert "3 records waited, 3 gave way" in caplog.text


def test_what_is_lost_at_the_end_is_said_and_the_sink_is_closed() -> None:
    disk = Disk()
    sink = PatientSink(disk, "jsonl:out", Clock())
    disk.room = False
    write(sink, 0, 1)
    with pytest.raises(SinkError, match=r"No space left on device.*2 records are lost"):
        sink.close()
    assert disk.closed
    sink.close()

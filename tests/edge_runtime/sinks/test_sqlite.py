"""Counts in a real SQLite database: added up right, kept across runs, nothing personal in them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.sqlite import SqliteSink
from tests.edge_runtime.test_events import record


class Clock:
    now = 600.0

    def __call__(self) -> float:
        return self.now


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_seconds_are_counted_by_minute_track_and_label(tmp_path: Path) -> None:
    path, clock = tmp_path / "counts.db", Clock()
    sink = SqliteSink(str(path), clock)
    for tenth in range(11):
        sink.write(record(tenth / 10, [(1, "happy"), (2, "sad")]))
    clock.now = 665.0
    sink.write(record(1.1, [(1, "happy")]))
    # A gap of a minute is not a minute of looking happy.
    sink.write(record(61.1, [(1, "happy")]))
    sink.close()
    sink.close()
    found = rows(path, "SELECT minute, track, label, frames, round(seconds, 3) FROM counts ORDER BY 1, 2")
    assert found == [(600, 1, "happy", 11, 1.0), (600, 2, "sad", 11, 1.0), (660, 1, "happy", 2, 1.1)]
    assert rows(path, "SELECT round(confidence_sum / frames, 3) FROM counts")[0] == (0.9,)


def test_what_is_settled_is_in_the_database(tmp_path: Path) -> None:
    path = tmp_path / "counts.db"
    sink = SqliteSink(str(path), Clock())
    sink.write(record(0, [(1, "happy")]))
    assert sink.settle()
    assert rows(path, "SELECT frames FROM counts") == [(1,)]
    sink.close()


def test_flushes_add_up_and_runs_stay_apart(tmp_path: Path) -> None:
    path, clock = tmp_path / "counts.db", Clock()
    for _ in range(2):
        sink = SqliteSink(str(path), clock)
        sink.write(record(0, [(1, "happy")]))
        sink.flush()
        sink.write(record(0.1, [(1, "happy")]))
        sink.close()
    assert rows(path, "SELECT run, frames FROM counts ORDER BY run") == [(1, 2), (2, 2)]
    assert rows(path, "SELECT count(*), min(started) FROM runs") == [(2, 600)]


def test_columns_hold_numbers_and_labels_alone(tmp_path: Path) -> None:
    path = tmp_path / "counts.db"
    SqliteSink(str(path)).close()
    columns = {row[1] for row in rows(path, "PRAGMA table_info(counts)")}
    assert columns == {"run", "minute", "track", "label", "frames", "seconds", "confidence_sum"}


def test_what_is_no_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is a text file, and a long one " * 40)
    with pytest.raises(SinkError, match="cannot keep the counts there"):
        open_sink(f"sqlite:{path}")
    with pytest.raises(SinkError, match="cannot keep the counts there"):
        open_sink(f"sqlite:{tmp_path / 'none' / 'counts.db'}")
    assert path.read_text().startswith("this is a text file")

"""Sink `sqlite:FILE`: counts per minute, track and expression; no picture and no identity."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.errors import SinkError
from edge_runtime.records import FrameRecord

log = logging.getLogger(__name__)

COMMIT_EVERY_S = 0.8
"""Between two commits: a process that is killed loses less than a second. A commit goes to the system's
memory alone (`synchronous = NORMAL`), which brings it to the SD card at intervals of its own."""
MAX_WAITING = 50_000
"""Most counts that wait in memory while the disk is full; the oldest give way."""
LONGEST_STEP_S = 1.0
"""Most that one frame adds to a face's seconds, so that a gap counts for nothing."""

# The message about a damaged file may be bytes that are no UTF-8.
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)

TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY,
    started INTEGER NOT NULL,
    model TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS counts (
    run INTEGER NOT NULL REFERENCES runs (run),
    minute INTEGER NOT NULL,
    track INTEGER NOT NULL,
    label TEXT NOT NULL,
    frames INTEGER NOT NULL,
    seconds REAL NOT NULL,
    confidence_sum REAL NOT NULL,
    PRIMARY KEY (run, minute, track, label)
) WITHOUT ROWID;
"""
"""`minute` is the minute's start in seconds since 1970; track numbers begin again with every run."""

ADD = """
INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run, minute, track, label) DO UPDATE SET
    frames = frames + excluded.frames,
    seconds = seconds + excluded.seconds,
    confidence_sum = confidence_sum + excluded.confidence_sum
"""


@dataclass
class _Count:
    frames: int = 0
    seconds: float = 0.0
    confidence_sum: float = 0.0


class SqliteSink:
    """Adds up in memory and commits at intervals and at the end.

    While the database cannot be written, e.g. because the disk is full, it goes on adding up, says so
    once and writes as soon as there is room.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        """
        Raises:
            SinkError: the file cannot be opened or is no such database.
        """
        self._path = path
        self._clock = clock
        self._pending: dict[tuple[int, int, str], _Count] = {}
        self._lost = 0
        self._failing = False
        self._model = ""
        self._run: int | None = None
        self._before_ns: int | None = None
        self._committed_s = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = sqlite3.connect(path, timeout=5.0)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(TABLES)
        except DATABASE_ERRORS as error:
            self._abandon()
            raise self._failure(error) from None

    def write(self, record: FrameRecord) -> None:
        """Add a frame's faces up; commits when it is time to."""
        self._model = record.model
        step_s = 0.0
        if self._before_ns is not None:
            step_s = min(max(0.0, (record.scene_ns - self._before_ns) / 1e9), LONGEST_STEP_S)
        self._before_ns = record.scene_ns
        minute = int(self._clock() // 60) * 60
        for face in record.faces:
            count = self._pending.setdefault((minute, face.track, face.label), _Count())
            count.frames += 1
            count.seconds += step_s
            count.confidence_sum += face.confidence
        while len(self._pending) > MAX_WAITING:
            del self._pending[next(iter(self._pending))]
            self._lost += 1
        if time.monotonic() - self._committed_s >= COMMIT_EVERY_S:
            self.settle()

    def settle(self) -> bool:
        """Write what has been added up, if that can be done; whether it was."""
        try:
            self.flush()
        except SinkError as error:
            if not self._failing:
                log.warning("%s; adding up in memory until it can be written", error)
            self._failing = True
        return not self._pending

    def flush(self) -> None:
        """Write what has been added up.

        Raises:
            SinkError: the database cannot be written, e.g. the disk is full; what was added up is kept.
        """
        self._committed_s = time.monotonic()
        if self._connection is None or not self._model or (self._run is not None and not self._pending):
            return
        run = self._run
        try:
            with self._connection:
                if run is None:
                    cursor = self._connection.execute(
                        "INSERT INTO runs (started, model) VALUES (?, ?)", (int(self._clock()), self._model)
                    )
                    run = cursor.lastrowid
                rows = [
                    (run, *key, count.frames, count.seconds, count.confidence_sum)
                    for key, count in self._pending.items()
                ]
                self._connection.executemany(ADD, rows)
        except DATABASE_ERRORS as error:
            raise self._failure(error) from None
        self._run = run
        self._pending.clear()
        if self._failing:
            log.warning("%s: written again; %d counts gave way meanwhile", self._path, self._lost)
        self._failing, self._lost = False, 0

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._abandon()

    def _abandon(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failure(self, error: Exception) -> SinkError:
        return SinkError(f"{self._path}: cannot keep the counts there ({error})")

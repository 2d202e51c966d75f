"""Messages that wait, in memory and on disk, until somebody has confirmed them."""

from __future__ import annotations

import logging
import sqlite3
from itertools import islice

from edge_runtime.errors import SinkError
from edge_runtime.sinks.sqlite import DATABASE_ERRORS

log = logging.getLogger(__name__)

TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL
)
"""


class Outbox:
    """A bounded first-in, first-out queue; the oldest messages give way when it is full. One thread.

    What waits is held in memory; the file is its image, from which a new process goes on. While the disk
    is full the queue works on without its image, and writes it as soon as there is room.
    """

    def __init__(self, path: str, limit: int) -> None:
        """
        Args:
            path: database file; empty keeps the messages in memory alone.
            limit: most messages that are kept.

        Raises:
            SinkError: the file cannot be opened or is no such database.
        """
        self._path = path
        self._limit = limit
        self.discarded = 0
        """Messages that gave way since it was opened."""
        self._unwritten: set[int] = set()
        self._undeleted: set[int] = set()
        self._failing = False
        try:
            self._connection = sqlite3.connect(path or ":memory:", timeout=5.0)
            with self._connection:
                self._connection.execute(TABLE)
            query = "SELECT id, topic, payload FROM messages ORDER BY id"
            self._messages: dict[int, tuple[str, str]] = {
                identity: (str(topic), str(payload))
                for identity, topic, payload in self._connection.execute(query)
            }
            (last,) = self._connection.execute(
                "SELECT max(ifnull((SELECT max(id) FROM messages), 0), "
                "ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0))"
            ).fetchone()
        except DATABASE_ERRORS as error:
            raise SinkError(f"{path or 'outbox'}: cannot keep messages there ({error})") from None
        self._last = int(last)
        self._shrink()

    def put(self, topic: str, payload: str) -> None:
        """Add a message; a file that cannot be written is reported once and tried again."""
        self._last += 1
        self._messages[self._last] = (topic, payload)
        self._unwritten.add(self._last)
        self._shrink()
        self._write()

    def waiting(self, count: int) -> list[tuple[int, str, str]]:
        """The oldest messages: identity, topic, payload."""
        return [(identity, *message) for identity, message in islice(self._messages.items(), count)]

    def remove(self, identity: int) -> None:
        """A message has been confirmed."""
        self._forget(identity)
        self._write()

    def __len__(self) -> int:
        return len(self._messages)

    def close(self) -> None:
        self._write()
        self._connection.close()

    def _shrink(self) -> None:
        while len(self._messages) > self._limit:
            self._forget(next(iter(self._messages)))
            self.discarded += 1

    def _forget(self, identity: int) -> None:
        if self._messages.pop(identity, None) is None:
            return
        if identity in self._unwritten:
            self._unwritten.discard(identity)
        else:
            self._undeleted.add(identity)

    def _write(self) -> None:
        """Bring the file up to date with what is in memory."""
        if not self._unwritten and not self._undeleted:
            return
        rows = [(identity, *self._messages[identity]) for identity in sorted(self._unwritten)]
        gone = [(identity,) for identity in self._undeleted]
        try:
            with self._connection:
                self._connection.executemany("DELETE FROM messages WHERE id = ?", gone)
                self._connection.executemany(
                    "INSERT OR REPLACE INTO messages (id, topic, payload) VALUES (?, ?, ?)", rows
                )
        except DATABASE_ERRORS as error:
            if not self._failing:
                log.warning(
                    "%s: cannot keep messages there (%s); up to %d wait in memory until it can",
                    self._path,
                    error,
                    self._limit,
                )
            self._failing = True
            return
        if self._failing:
            log.warning("%s: messages are kept there again", self._path)
        self._failing = False
        self._unwritten.clear()
        self._undeleted.clear()

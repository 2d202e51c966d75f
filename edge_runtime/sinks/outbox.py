"""Messages that wait on disk until somebody has confirmed them."""

from __future__ import annotations

import sqlite3

from edge_runtime.errors import SinkError

TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL
)
"""


class Outbox:
    """A bounded first-in, first-out queue; the oldest messages give way when it is full. One thread."""

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
        try:
            self._connection = sqlite3.connect(path or ":memory:", timeout=5.0)
            with self._connection:
                self._connection.execute(TABLE)
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def put(self, topic: str, payload: str) -> None:
        """
        Raises:
            SinkError: it cannot be written, e.g. the disk is full.
        """
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT INTO messages (topic, payload) VALUES (?, ?)", (topic, payload)
                )
                surplus = self._connection.execute(
                    "DELETE FROM messages "
                    "WHERE id NOT IN (SELECT id FROM messages ORDER BY id DESC LIMIT ?)",
                    (self._limit,),
                )
        except sqlite3.Error as error:
            raise self._failure(error) from None
        self.discarded += surplus.rowcount

    def waiting(self, count: int) -> list[tuple[int, str, str]]:
        """The oldest messages: identity, topic, payload."""
        query = "SELECT id, topic, payload FROM messages ORDER BY id LIMIT ?"
        return list(self._connection.execute(query, (count,)))

    def remove(self, identity: int) -> None:
        """A message has been confirmed."""
        try:
            with self._connection:
                self._connection.execute("DELETE FROM messages WHERE id = ?", (identity,))
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def __len__(self) -> int:
        count: int = self._connection.execute("SELECT count(*) FROM messages").fetchone()[0]
        return count

    def close(self) -> None:
        self._connection.close()

    def _failure(self, error: sqlite3.Error) -> SinkError:
        return SinkError(f"{self._path or 'outbox'}: cannot keep messages there ({error})")

"""Sink `jsonl`: one JSON object per processed frame and line, to stdout or to a file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TextIO

from edge_runtime.errors import SinkError
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.linefile import LineFile, Rotation


def to_line(record: FrameRecord) -> str:
    """The record's JSON object with its line end."""
    return json.dumps(record.to_dict(), separators=(",", ":"), allow_nan=False) + "\n"


class JsonLinesStream:
    """Writes to stdout, flushed after each line so that a pipe sees it at once."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: the stream cannot be written, e.g. a redirection to a full disk.
            BrokenPipeError: the reader has gone.
        """
        try:
            self._stream.write(to_line(record))
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(f"cannot write the results to stdout ({error.strerror})") from None

    def close(self) -> None:
        """Stdout stays open."""


class JsonLinesFile:
    """Writes one object per frame to a file."""

    def __init__(
        self, path: str | os.PathLike[str], *, append: bool = False, rotation: Rotation | None = None
    ) -> None:
        """
        Args:
            append: continue an existing file; otherwise a new one takes its place.

        Raises:
            SinkError: the file cannot be opened.
        """
        self._file = LineFile(Path(path), append=append, rotation=rotation)

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: the line cannot be written, e.g. the disk is full.
        """
        self._file.write_line(to_line(record))

    def close(self) -> None:
        self._file.close()

"""Sink `jsonl`: one JSON object per processed frame and line, to stdout or to a file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TextIO

from edge_runtime.errors import SinkError
from edge_runtime.records import FrameRecord


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


class LineFile:
    """A file of lines that can be followed while it grows.

    Each line goes to the system in one write, so that a reader, or a second process that appends, never
    sees half a line; when a write fails, what it left of its line is cut off again.
    """

    def __init__(self, path: Path, *, append: bool) -> None:
        """
        Args:
            append: continue an existing file; otherwise a new one takes its place.

        Raises:
            SinkError: the file cannot be opened.
        """
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (0 if append else os.O_TRUNC)
        try:
            self._descriptor = os.open(path, flags, 0o644)
            if append:
                self._end_last_line()
        except OSError as error:
            raise SinkError(f"{path}: cannot write the results there ({error.strerror})") from None

    def write_line(self, text: str) -> None:
        """Append a line that ends with its line end.

        Raises:
            SinkError: it cannot be written, e.g. the disk is full.
        """
        line = text.encode()
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            self._cut(written)
            raise SinkError(
                f"{self._path}: cannot write the results ({error.strerror}); "
                "the lines before this one are complete"
            ) from None

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _cut(self, length: int) -> None:
        if length:
            try:
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - length)
            except OSError:
                return

    def _end_last_line(self) -> None:
        """Close a line that a power cut has left open, so that the next one stands alone."""
        size = os.fstat(self._descriptor).st_size
        if not size or not self._path.is_file():
            return
        with self._path.open("rb") as reader:
            reader.seek(size - 1)
            if reader.read(1) != b"\n":
                os.write(self._descriptor, b"\n")


class JsonLinesFile:
    """Writes one object per frame to a file."""

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        """
        Args:
            append: continue an existing file; otherwise a new one takes its place.

        Raises:
            SinkError: the file cannot be opened.
        """
        self._file = LineFile(Path(path), append=append)

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: the line cannot be written, e.g. the disk is full.
        """
        self._file.write_line(to_line(record))

    def close(self) -> None:
        self._file.close()

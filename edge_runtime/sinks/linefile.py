"""Files of lines that can be followed while they grow, and that begin anew when they are large."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import SinkError
from edge_runtime.options import number, split_options

log = logging.getLogger(__name__)

MB = 1_000_000


@dataclass(frozen=True)
class Rotation:
    """When a file of lines begins anew, and how many old ones stay."""

    max_mb: float = 0.0
    """Size that a file does not exceed, millions of bytes; 0: files are not rotated."""
    keep: int = 5
    """Old files that stay beside the current one: FILE.1 is the youngest."""


def parse_target(name: str, text: str, rotation: Rotation) -> tuple[str, Rotation]:
    """Path and rotation of `FILE[,max_mb=N][,keep=N]`; what the name leaves out is as `rotation` says.

    Raises:
        UsageError: an unknown option or a wrong value.
    """
    path, options = split_options(name, text, ("max_mb", "keep"))
    max_mb = number(name, options, "max_mb", rotation.max_mb, 0)
    return path, Rotation(max_mb, int(number(name, options, "keep", rotation.keep, 1)))


def rotation_of(settings: Mapping[str, object] | None) -> Rotation:
    """Rotation as a configuration's section has it."""
    return Rotation(**(settings or {}))  # type: ignore[arg-type]


class LineFile:
    """A file of lines that can be followed while it grows.

    Each line goes to the system in one write, so that a reader, or a second process that appends, never
    sees half a line; when a write fails, what it left of its line is cut off again. With a rotation, FILE
    becomes FILE.1 before it would grow too large, FILE.1 becomes FILE.2 and so on, each by a rename: a
    power cut between two of them leaves a gap in the numbers, which the next rotation fills, and no line
    is lost. Only one process may write a file that is rotated.
    """

    def __init__(self, path: Path, *, append: bool, rotation: Rotation | None = None) -> None:
        """
        Args:
            append: continue an existing file; otherwise a new one takes its place, and the old one is
                kept as FILE.1 where files are rotated.

        Raises:
            SinkError: the file cannot be opened.
        """
        # A link stays one: what it points at is renamed.
        self._path = Path(os.path.realpath(path)) if rotation else path
        self._keep = rotation.keep if rotation else 0
        self._limit = round(rotation.max_mb * MB) if rotation else 0
        self._descriptor = -1
        self._size = 0
        self._closed = False
        try:
            if self._limit and not append and _holds_something(self._path):
                self._shift()
            self._open(truncate=not append)
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                self._limit = 0
        except OSError as error:
            raise SinkError(f"{path}: cannot write the results there ({error.strerror})") from None
        self._rotate_at = self._limit

    def write_line(self, text: str) -> None:
        """Append a line that ends with its line end.

        Raises:
            SinkError: it cannot be written, e.g. the disk is full; it can be tried again.
        """
        line = text.encode()
        written = 0
        try:
            if self._rotate_at and self._size and self._size + len(line) > self._rotate_at:
                self._rotate()
            if self._descriptor < 0 and not self._closed:
                self._open(truncate=False)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            self._cut(written)
            raise SinkError(
                f"{self._path}: cannot write the results ({error.strerror}); "
                "the lines before this one are complete"
            ) from None
        self._size += written

    def close(self) -> None:
        self._closed = True
        self._release()

    def _open(self, *, truncate: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if truncate else 0)
        self._descriptor = os.open(self._path, flags, 0o644)
        self._end_last_line()
        self._size = os.fstat(self._descriptor).st_size

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _rotate(self) -> None:
        """Make room for a new file; a file that cannot be renamed goes on growing."""
        try:
            self._shift()
        except OSError as error:
            log.warning("%s: cannot be rotated (%s); it grows on", self._path, error.strerror)
            self._rotate_at = self._size + max(self._limit // 10, 1)
            return
        self._rotate_at = self._limit
        self._size = 0
        self._release()

    def _shift(self) -> None:
        """FILE -> FILE.1 -> FILE.2 … up to the first number that is free, or over the oldest file."""
        free = next((n for n in range(1, self._keep) if not self._numbered(n).exists()), self._keep)
        for n in range(free, 1, -1):
            self._numbered(n - 1).replace(self._numbered(n))
        # Somebody may have moved or deleted it: then there is nothing to rename, and a new one begins.
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(self._numbered(1))

    def _numbered(self, n: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{n}")

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


def _holds_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0

"""Source `folder:DIR,watch`: the pictures that others put into a folder, one frame each."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_runtime.errors import SourceError
from edge_runtime.sources.base import Frame
from edge_runtime.sources.folder import read_frame
from edge_runtime.sources.imagefile import SUFFIXES
from edge_runtime.sources.pause import pause

log = logging.getLogger(__name__)

MAX_SHARE = 0.1
"""Most of the time that is spent on looking: in a folder of very many files it is done less often."""
ASK_EVERY_S = 1.0
"""Between two questions whether a picture's results are written."""

Signature = tuple[int, int, int]
"""Inode, bytes and time of change: the same file with the same content."""


class WatchedFolder:
    """Yields each picture once it is written whole, those that are there at the start first.

    A picture counts as written when two looks in a row find the same file, size and time of change, so
    one that is moved in under its name is taken at the second look. Names that begin with a dot and other
    suffixes than pictures' are left alone: a program that writes slowly does so under such a name and
    renames at the end. Pictures of one look come by their time of change, then by name. A file that is
    replaced or changed afterwards is a new picture.

    Nothing is remembered across restarts: what lies in the folder is taken again, unless `done` names a
    folder into which every picture is moved after its results were delivered. Then a restart goes on
    where the run before ended; a picture in work when it was killed is taken again. While results cannot
    be delivered the next pictures are left in the folder, where nothing can get lost.
    """

    def __init__(
        self,
        folder: Path,
        *,
        color: bool = False,
        interval_s: float = 0.5,
        done: str = "",
        delivered: Callable[[], bool] | None = None,
        alive: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            interval_s: between two looks into the folder, above 0.
            done: where processed pictures go, relative to `folder`; made if it is not there; empty: they
                stay.
            delivered: whether all results so far are written; asked with `done`, again and again until
                they are. None: they are.
            alive: called after every look and while it waits, for a watchdog.

        Raises:
            SourceError: the folder cannot be listed, or `done` cannot be used.
        """
        self._folder = folder
        self._color = color
        self._interval_s = interval_s
        self._done = folder / done if done else None
        self._delivered = delivered
        self._alive = alive
        self._before: dict[str, Signature] = {}
        self._taken: dict[str, Signature] = {}
        self._missing = False
        self._closed = threading.Event()
        try:
            self._list()
        except OSError as error:
            raise SourceError(f"{folder}: cannot list the folder ({error.strerror})") from None
        if self._done is not None:
            _check_done(folder, self._done)
        self.description = f"folder {folder}, watched every {interval_s:g} s"

    def frames(self) -> Iterator[Frame]:
        """Yield pictures until closed; one that cannot be read is named once and passed over."""
        index = 0
        while not self._closed.is_set():
            started_s = time.monotonic()
            ready = self._look()
            looked_s = time.monotonic() - started_s
            for path, signature in ready:
                if self._closed.is_set():
                    return
                self._taken[path.name] = signature
                try:
                    frame = read_frame(path, index, color=self._color)
                except SourceError as error:
                    if path.exists():
                        log.warning("skipped: %s", error)
                    continue
                index += 1
                yield frame
                del frame
                if self._done is not None:
                    if not self._wait_for_delivery():
                        return
                    self._put_away(path, signature, self._done)
            pause(self._closed, max(self._interval_s, looked_s / MAX_SHARE), self._alive)

    def close(self) -> None:
        self._closed.set()

    def _look(self) -> list[tuple[Path, Signature]]:
        """Pictures that are whole and were not taken yet, in order."""
        try:
            now = self._list()
        except OSError as error:
            if not self._missing:
                log.warning("%s: cannot list the folder (%s); waiting for it", self._folder, error.strerror)
            self._missing = True
            return []
        if self._missing:
            log.warning("%s: the folder can be listed again", self._folder)
            self._missing = False
        ready = [
            (self._folder / name, signature)
            for name, signature in now.items()
            if self._before.get(name) == signature and self._taken.get(name) != signature
        ]
        self._before = now
        self._taken = {name: signature for name, signature in self._taken.items() if name in now}
        return sorted(ready, key=lambda item: (item[1][2], item[0].name))

    def _list(self) -> dict[str, Signature]:
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or Path(entry.name).suffix.lower() not in SUFFIXES:
                    continue
                signature = _signature(entry)
                if signature is not None:
                    found[entry.name] = signature
        return found

    def _wait_for_delivery(self) -> bool:
        """Wait until all results are written; False if it was closed before."""
        while self._delivered is not None and not self._delivered():
            if pause(self._closed, ASK_EVERY_S, self._alive):
                return False
        return True

    def _put_away(self, path: Path, signature: Signature, done: Path) -> None:
        """Move a processed picture, unless another has taken its name meanwhile."""
        try:
            if _signature(path) != signature:
                return
            # Another program may clear the folder out.
            done.mkdir(exist_ok=True)
            path.rename(_free_name(done / path.name))
        except OSError as error:
            log.warning("%s: cannot be moved to %s (%s)", path, done, error.strerror)


def _signature(file: os.DirEntry[str] | Path) -> Signature | None:
    """None for what is no file, is empty, or has gone."""
    try:
        if not file.is_file():
            return None
        status = file.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else None


def _check_done(folder: Path, done: Path) -> None:
    try:
        done.mkdir(exist_ok=True)
        same = done.stat().st_dev == folder.stat().st_dev
    except OSError as error:
        raise SourceError(f"{done}: cannot hold processed pictures ({error.strerror})") from None
    if done.resolve() == folder.resolve():
        raise SourceError(f"{done}: the watched folder itself cannot hold the processed pictures")
    if not same or not os.access(done, os.W_OK):
        raise SourceError(
            f"{done}: processed pictures cannot be moved there; choose a folder on the same file system "
            "that may be written"
        )


def _free_name(path: Path) -> Path:
    """The path, or one with a number before its suffix where something of that name is there."""
    free, n = path, 0
    while free.exists():
        n += 1
        free = path.with_name(f"{path.stem}-{n}{path.suffix}")
    return free

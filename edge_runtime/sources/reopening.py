"""Open a live source again when it fails, with growing pauses, and give up after some tries."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from edge_runtime.errors import SourceError
from edge_runtime.sources.base import Frame, FrameSource
from edge_runtime.sources.pause import pause

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class Reopening:
    """A live source that survives an unplugged cable.

    Frame numbers and the count of dropped frames go on across openings. After `tries` openings in a row
    that delivered nothing the last error is raised, so that a service manager sees the failure.
    """

    def __init__(
        self,
        open_: Callable[[], FrameSource],
        tries: int,
        at_close: Callable[[], None] | None = None,
        alive: Callable[[], None] | None = None,
    ) -> None:
        """
        Args:
            tries: openings after a failure; 0 gives up at once.
            at_close: called at the end, when the source is not opened again.
            alive: called while it waits to open again and after each try, for a watchdog; an opening
                that hangs does not call it.

        Raises:
            SourceError: the first opening failed: nothing is retried before it has worked once.
        """
        self._open = open_
        self._tries = tries
        self._at_close = at_close
        self._alive = alive
        self._source = open_()
        self._closed = threading.Event()
        self.description = self._source.description

    def frames(self) -> Iterator[Frame]:
        """Yield frames of one opening after the other.

        Raises:
            SourceError: it failed and could not be opened again.
        """
        offset = dropped_before = failures = 0
        while True:
            index, dropped = -1, 0
            try:
                for frame in self._source.frames():
                    failures = 0
                    index, dropped = frame.index, frame.dropped
                    yield replace(frame, index=offset + index, dropped=dropped_before + dropped)
                    del frame
                return
            except SourceError as error:
                if self._closed.is_set():
                    return
                failures += 1
                self._retire()
                if failures > self._tries:
                    raise
                log.warning("%s; opening it again (%d of %d)", error, failures, self._tries)
            offset += index + 1
            dropped_before += dropped
            failures = self._reopen(failures)
            if self._closed.is_set():
                return

    def close(self) -> None:
        self._closed.set()
        self._retire()
        if self._at_close is not None:
            self._at_close()

    def _retire(self) -> None:
        self._source.close()
        # picamera2 gives its buffers back when the last view of them is gone.
        gc.collect()

    def _reopen(self, failures: int) -> int:
        """Wait and open until it works; the number of failures so far."""
        while True:
            pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
            if pause(self._closed, pause_s, self._alive):
                return failures
            try:
                self._source = self._open()
            except SourceError as error:
                failures += 1
                if failures > self._tries:
                    raise
                log.warning("%s; trying again (%d of %d)", error, failures, self._tries)
            else:
                return failures
            finally:
                if self._alive is not None:
                    self._alive()

"""A sink that waits for room instead of ending a watch that runs for months."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edge_runtime.errors import SinkError
from edge_runtime.sinks.base import Writer

log = logging.getLogger(__name__)

Item = TypeVar("Item")

RETRY_EVERY_S = 1.0
"""Between two tries while a file cannot be written."""
MAX_WAITING = 5_000
"""Most records that wait: over three minutes at 25 frames/s, some 10 MB; the oldest give way."""


class PatientSink(Generic[Item]):
    """Keeps the records of a sink that cannot write for now, in order, and tries again.

    Meant for files of a live source: a full disk is said once, and what came meanwhile is written as soon
    as there is room. A sink behind it may be handed a record again whose writing failed.
    """

    def __init__(self, sink: Writer[Item], name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            name: as the user gave it, for the log.
            clock: seconds, monotonic.
        """
        self._sink = sink
        self._name = name
        self._clock = clock
        self._waiting: deque[Item] = deque()
        self._tried_s = 0.0
        self._lost = 0
        self._closed = False

    def write(self, record: Item) -> None:
        """Deliver a record now or later; does not raise SinkError."""
        if not self._waiting:
            try:
                self._sink.write(record)
            except SinkError as error:
                log.warning("%s; up to %d records wait in memory until it can", error, MAX_WAITING)
                self._tried_s = self._clock()
                self._waiting.append(record)
            return
        self._waiting.append(record)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self._lost += 1
        self.settle()

    def settle(self) -> bool:
        """Try again if it is time to; whether nothing waits any more."""
        if self._waiting and self._clock() - self._tried_s >= RETRY_EVERY_S:
            try:
                self._deliver()
            except SinkError:
                self._tried_s = self._clock()
        return not self._waiting

    def close(self) -> None:
        """
        Raises:
            SinkError: records still wait and cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._waiting:
                self._deliver()
        except SinkError as error:
            raise SinkError(f"{error}; {len(self._waiting) + self._lost} records are lost") from None
        finally:
            self._sink.close()

    def _deliver(self) -> None:
        waited = len(self._waiting)
        while self._waiting:
            self._sink.write(self._waiting[0])
            self._waiting.popleft()
        log.warning(
            "%s can be written again: %d records waited, %d gave way", self._name, waited, self._lost
        )
        self._lost = 0

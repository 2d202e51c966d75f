"""A reader thread and a slot that holds the newest frame.

A camera delivers at its own pace. Whoever reads it in the same thread as the work either waits for the
camera or gets frames that have queued up. Here a thread reads, each frame replaces the one before it in
the slot, and the worker takes what is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from edge_runtime.errors import SourceError, SourceStalledError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources.base import Frame

BUFFERS = 3
"""One that the thread fills, one in the slot, one that the worker holds."""

Read = Callable[["Buffer"], bool]


def _nothing() -> None:
    """A source that holds nothing."""


class Buffer:
    """One BGR picture and its luma, written in place."""

    def __init__(self) -> None:
        self.bgr: UInt8Array | None = None
        self.luma: UInt8Array | None = None
        self.t_capture_ns = 0
        self.index = 0

    def fill_luma(self) -> UInt8Array:
        """Luma (H, W) of `bgr`, into the memory of the frame before it."""
        assert self.bgr is not None
        if self.luma is None or self.luma.shape != self.bgr.shape[:2]:
            self.luma = np.empty(self.bgr.shape[:2], np.uint8)
        cv2.cvtColor(self.bgr, cv2.COLOR_BGR2GRAY, dst=self.luma)
        return self.luma


class NewestFrameReader:
    """Calls a blocking `read` in a thread and hands out the newest frame."""

    def __init__(
        self,
        read: Read,
        *,
        color: bool,
        stall_timeout_s: float,
        what: str,
        release: Callable[[], None] = _nothing,
    ) -> None:
        """
        Args:
            read: fills a buffer's `bgr` and `t_capture_ns`; False at the end of the source. Called in
                the thread alone. May raise SourceError.
            what: the source's name, for errors.
            release: gives the source back when no more is read: in the thread, because a thread that
                hangs in a read still holds the source, and releasing it under its feet would crash.
        """
        self._read = read
        self._color = color
        self._stall_timeout_s = stall_timeout_s
        self._what = what
        self._release = release
        self._changed = threading.Condition()
        self._free = [Buffer() for _ in range(BUFFERS)]
        self._slot: Buffer | None = None
        self._ended = False
        self._closing = False
        self._error: BaseException | None = None
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame until the source ends or is closed.

        Raises:
            SourceError: from `read`.
            SourceStalledError: no frame came within the timeout.
        """
        self._thread.start()
        held: Buffer | None = None
        while True:
            with self._changed:
                if held is not None:
                    self._free.append(held)
                    held = None
                there = self._changed.wait_for(
                    lambda: self._slot is not None or self._ended or self._closing,
                    timeout=self._stall_timeout_s,
                )
                held, self._slot = self._slot, None
                dropped = self._dropped
            if held is None:
                if self._error is not None:
                    raise self._error
                if not there:
                    raise SourceStalledError(
                        f"{self._what}: no frame for {self._stall_timeout_s:g} s; "
                        "check the cable and that no other program holds it"
                    )
                return
            luma = held.fill_luma()
            bgr = held.bgr if self._color else None
            yield Frame(held.index, held.t_capture_ns, luma, bgr, dropped)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Ask the thread to end and wait for it; whether it ended.

        A thread that hangs releases the source as soon as it hangs no more.
        """
        with self._changed:
            started = self._thread.ident is not None
            first = not self._closing
            self._closing = True
            self._changed.notify_all()
        if started:
            self._thread.join(timeout_s)
        elif first:
            self._release()
        return not self._thread.is_alive()

    def _run(self) -> None:
        index = 0
        try:
            while not self._closing:
                with self._changed:
                    buffer = self._free.pop()
                if not self._read(buffer):
                    break
                buffer.index = index
                index += 1
                with self._changed:
                    if self._slot is not None:
                        self._free.append(self._slot)
                        self._dropped += 1
                    self._slot = buffer
                    self._changed.notify_all()
        except SourceError as error:
            self._error = error
        except Exception as error:
            # Whatever a driver makes of a broken camera must not pass for the end of the film.
            reason = " ".join(str(error).split())[:200]
            self._error = SourceError(f"{self._what}: it cannot be read ({type(error).__name__}: {reason})")
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._release()

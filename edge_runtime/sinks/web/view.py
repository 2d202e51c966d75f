"""The live view: one JPEG per new frame for all who look, none when nobody does.

The pipeline's thread copies a frame's pixels, at most `rate_hz` times a second and only if the picture
before it has been made; a thread of lower priority draws and compresses; viewers get the newest picture
when they have taken the one before. Nothing queues up anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from edge_runtime.draw import annotate
from edge_runtime.preprocess import UInt8Array
from edge_runtime.records import FaceRecord, FrameRecord
from edge_runtime.sinks.web.newest import Newest
from edge_runtime.sources.base import Frame

JPEG_QUALITY = 75
MAX_WIDTH = 960
"""Wider frames are shrunk for the view."""


class LiveView:
    """`look` belongs to the pipeline's thread, `viewer` and `pictures` to the server's."""

    def __init__(self, rate_hz: float, work: ThreadPoolExecutor) -> None:
        """
        Args:
            rate_hz: most pictures per second.
            work: one thread, in which pictures are drawn and compressed.
        """
        self.pictures: Newest[bytes] = Newest()
        self.encoded = 0
        """JPEGs made so far."""
        self._interval_s = 1 / rate_hz
        self._work = work
        self._viewers = 0
        self._busy = threading.Event()
        self._due_s = 0.0
        self._pixels: UInt8Array | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def viewers(self) -> int:
        return self._viewers

    @contextlib.contextmanager
    def viewer(self) -> Iterator[None]:
        """Somebody looks, inside the block."""
        self._loop = asyncio.get_running_loop()
        self._viewers += 1
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._forget()

    @property
    def is_looking(self) -> bool:
        """Whether the next frame is wanted."""
        return bool(self._viewers) and not self._busy.is_set() and time.monotonic() >= self._due_s

    def look(self, frame: Frame, record: FrameRecord) -> None:
        """Copy a frame and have its picture made; gray where the source has no colour."""
        loop = self._loop
        if loop is None or self._busy.is_set():
            return
        pixels = frame.luma if frame.bgr is None else frame.bgr
        # The last viewer may leave, and have the buffer forgotten, at any moment.
        copy = self._pixels
        if copy is None or copy.shape != pixels.shape:
            copy = self._pixels = np.empty(pixels.shape, np.uint8)
        np.copyto(copy, pixels)
        # Half an interval early is on time: a camera's frames come when they come.
        self._due_s = max(self._due_s + self._interval_s, time.monotonic() + self._interval_s / 2)
        self._busy.set()
        try:
            self._work.submit(self._make, copy, record.faces, loop.call_soon_threadsafe)
        except RuntimeError:
            # The sink is being closed.
            self._busy.clear()

    def _make(
        self, pixels: UInt8Array, faces: tuple[FaceRecord, ...], in_loop: Callable[..., object]
    ) -> None:
        try:
            jpeg = encode(pixels, faces)
        finally:
            self._busy.clear()
        self.encoded += 1
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            in_loop(self._show, jpeg)

    def _show(self, jpeg: bytes) -> None:
        if self._viewers:
            self.pictures.put(jpeg)
        else:
            self._forget()

    def _forget(self) -> None:
        """Nobody looks any more: nothing of what was seen is kept."""
        self._pixels = None
        self.pictures.forget()


def encode(pixels: UInt8Array, faces: tuple[FaceRecord, ...]) -> bytes:
    """A JPEG of a gray (H, W) or BGR (H, W, 3) frame with boxes and labels."""
    image = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels
    drawn = annotate(image, faces, panels=False)  # type: ignore[arg-type]
    height, width = drawn.shape[:2]
    if width > MAX_WIDTH:
        size = (MAX_WIDTH, max(1, round(height * MAX_WIDTH / width)))
        drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()

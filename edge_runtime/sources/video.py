"""Source `video`: a file that OpenCV's FFmpeg can decode, animated GIF included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge_runtime.errors import SourceError
from edge_runtime.sources.base import Frame, FrameSource
from edge_runtime.sources.newest import Buffer, NewestFrameReader
from edge_runtime.sources.options import SourceOptions

FALLBACK_RATE_HZ = 25.0
"""Rate of a file that states none."""


def open_video(path: Path, options: SourceOptions) -> FrameSource:
    """Open a video file, as fast as it goes or in real time.

    Raises:
        SourceError: empty, not a video, or not one frame in it.
    """
    capture, first, rate_hz = _open(path)
    if options.realtime:
        return RealtimeVideoSource(path, capture, first, rate_hz, options)
    return VideoSource(path, capture, first, rate_hz, options)


def _open(path: Path) -> tuple[cv2.VideoCapture, Buffer, float]:
    try:
        if path.stat().st_size == 0:
            raise SourceError(f"{path}: the file is empty; give a video")
        with path.open("rb"):
            pass
    except OSError as error:
        raise SourceError(f"{path}: cannot read the video ({error.strerror})") from None
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # OpenCV takes names as UTF-8 and takes the process down with any other.
        raise SourceError(f"{path}: the name is not UTF-8; rename the video") from None
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    first = Buffer()
    if not capture.isOpened() or not _read(capture, first):
        capture.release()
        raise SourceError(
            f"{path}: not a video that OpenCV can decode, or truncated; "
            "try: ffmpeg -i FILE -c:v libx264 out.mp4"
        )
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return capture, first, rate_hz if 0 < rate_hz <= 1000 else FALLBACK_RATE_HZ


def _read(capture: cv2.VideoCapture, buffer: Buffer) -> bool:
    ok, image = capture.read(buffer.bgr)
    if ok:
        buffer.bgr = image  # type: ignore[assignment]
    return ok


def _describe(path: Path, first: Buffer, rate_hz: float) -> str:
    assert first.bgr is not None
    height, width = first.bgr.shape[:2]
    return f"video {path} {width}x{height} {rate_hz:.1f} frames/s"


class VideoSource:
    """Every frame of a file, as fast as it is asked for.

    Frames carry their time in the film, so that smoothing and tracking do not depend on how fast it is
    worked through.
    """

    def __init__(
        self, path: Path, capture: cv2.VideoCapture, first: Buffer, rate_hz: float, options: SourceOptions
    ) -> None:
        self.description = _describe(path, first, rate_hz)
        self._capture = capture
        self._buffer = first
        self._interval_ns = round(1e9 / rate_hz)
        self._color = options.color
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        buffer = self._buffer
        index = 0
        while not self._closed:
            if index and not _read(self._capture, buffer):
                return
            captured_ns = time.monotonic_ns()
            luma = buffer.fill_luma()
            bgr = buffer.bgr if self._color else None
            yield Frame(index, captured_ns, luma, bgr, t_scene_ns=index * self._interval_ns)
            index += 1

    def close(self) -> None:
        self._closed = True
        self._capture.release()


class RealtimeVideoSource:
    """A file that plays at its own rate; frames that come while the worker is busy are dropped."""

    def __init__(
        self, path: Path, capture: cv2.VideoCapture, first: Buffer, rate_hz: float, options: SourceOptions
    ) -> None:
        self.description = _describe(path, first, rate_hz) + " in real time"
        self._capture = capture
        self._first: Buffer | None = first
        self._interval_s = 1 / rate_hz
        self._due_s = 0.0
        self._reader = NewestFrameReader(
            self._read_when_due,
            color=options.color,
            stall_timeout_s=10.0,
            what=str(path),
            release=capture.release,
        )

    def _read_when_due(self, buffer: Buffer) -> bool:
        """Decode ahead, then wait until the frame is due: that is its moment of capture."""
        if self._first is not None:
            buffer.bgr = self._first.bgr
            self._first = None
            self._due_s = time.monotonic()
        elif not _read(self._capture, buffer):
            return False
        wait_s = self._due_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        self._due_s += self._interval_s
        buffer.t_capture_ns = time.monotonic_ns()
        return True

    def frames(self) -> Iterator[Frame]:
        return self._reader.frames()

    def close(self) -> None:
        self._reader.close()

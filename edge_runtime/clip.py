"""A few seconds of a source, kept in memory, so that different settings can be given the same frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2

from edge_runtime.errors import SourceError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources.base import Frame, FrameSource

MIN_FRAMES = 10

Tell = Callable[[str, float], None]
"""Told what is being done and which part of it is, 0..1."""


@dataclass(frozen=True)
class Clip:
    """Frames kept in memory."""

    luma: tuple[UInt8Array, ...]
    bgr: tuple[UInt8Array, ...]
    """As many as `luma`, or none."""
    rate_hz: float
    """At which they were taken."""
    capture_cpu_ms: float
    """CPU time per frame that the source itself took, decoding included."""

    @property
    def size_wh(self) -> tuple[int, int]:
        height, width = self.luma[0].shape
        return width, height

    def halved(self) -> Clip:
        """The same pictures at half their width and height."""
        return replace(self, luma=tuple(map(_half, self.luma)), bgr=tuple(map(_half, self.bgr)))


def _half(picture: UInt8Array) -> UInt8Array:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


class ClipSource:
    """Plays a clip: each frame at once, or in real time with late frames dropped."""

    description = "clip"

    def __init__(self, clip: Clip, rate_hz: float, frames: int | None = None, *, realtime: bool = False):
        self._clip = clip
        self._rate_hz = rate_hz
        self._frames = len(clip.luma) if frames is None else frames
        self._realtime = realtime

    def frames(self) -> Iterator[Frame]:
        started_ns = time.monotonic_ns()
        step_ns = round(1e9 / self._rate_hz)
        index = dropped = 0
        while index < self._frames:
            captured_ns = time.monotonic_ns()
            if self._realtime:
                late = (captured_ns - started_ns) // step_ns - index
                if late > 0:
                    dropped += late
                    index += late
                captured_ns = started_ns + index * step_ns
                time.sleep(max(0.0, (captured_ns - time.monotonic_ns()) / 1e9))
            place = index % len(self._clip.luma)
            bgr = self._clip.bgr[place] if self._clip.bgr else None
            yield Frame(
                index, captured_ns, self._clip.luma[place], bgr, dropped, t_scene_ns=index * step_ns
            )
            index += 1

    def close(self) -> None:
        """Nothing is held open."""


def record_clip(source: FrameSource, seconds: float, rate_hz: float, tell: Tell) -> Clip:
    """Keep the frames of the first seconds of a film or of a camera's time.

    Raises:
        SourceError: the source broke, or gave too few frames.
    """
    luma, bgr, scene_ns = [], [], []
    limit = max(1, round(seconds * rate_hz))
    cpu_started_ns = time.process_time_ns()
    for frame in source.frames():
        if frame.name:
            raise SourceError(
                f"{source.description}: pictures are no film; give a camera, a video or the demo"
            )
        luma.append(frame.luma.copy())
        if frame.bgr is not None:
            bgr.append(frame.bgr.copy())
        scene_ns.append(frame.scene_ns)
        tell("recording", len(luma) / limit)
        if len(luma) >= limit or frame.scene_ns - scene_ns[0] > seconds * 1e9:
            break
        del frame
    cpu_ms = (time.process_time_ns() - cpu_started_ns) / 1e6 / max(1, len(luma))
    if len(luma) < MIN_FRAMES or len({picture.shape for picture in luma}) > 1:
        raise SourceError(
            f"{source.description}: {len(luma)} frames of one film are too few to measure with; "
            "give a camera, a longer video or the demo"
        )
    lasted_s = (scene_ns[-1] - scene_ns[0]) / 1e9
    rate = (len(luma) - 1) / lasted_s if lasted_s > 0 else rate_hz
    return Clip(tuple(luma), tuple(bgr), rate, cpu_ms)

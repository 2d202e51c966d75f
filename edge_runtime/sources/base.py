"""The seam between edge-fer and whatever delivers pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Frame:
    """One picture with the time at which it was taken."""

    index: int
    """Position in the source's own sequence, from 0; gaps are dropped frames."""
    t_capture_ns: int
    """`time.monotonic_ns()` at capture: end of exposure where the camera tells, else arrival."""
    luma: npt.NDArray[np.uint8]
    """(H, W), full range 0..255. Valid until the next frame is asked for."""
    bgr: npt.NDArray[np.uint8] | None = None
    """(H, W, 3), present only if the source was opened with `color=True`."""
    dropped: int = 0
    """Frames that the source has dropped since it was opened, because newer ones had come."""
    name: str = ""
    """Path of the picture for image and folder sources, printable, else empty."""
    t_scene_ns: int | None = None
    """Time in the film, where that runs at another pace than the clock; None: the time of capture."""

    @property
    def scene_ns(self) -> int:
        """Time by which tracks age and probabilities are smoothed."""
        return self.t_capture_ns if self.t_scene_ns is None else self.t_scene_ns


class FrameSource(Protocol):
    """Delivers frames until it ends or is closed; single client."""

    description: str
    """For the log, e.g. `video webcam.mp4 640x480 25.0 frames/s`."""

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame available until the source ends or is closed.

        Raises:
            SourceError: the source broke while it was read.
            SourceStalledError: a live source delivered nothing for longer than its timeout.
        """
        ...

    def close(self) -> None:
        """Release the camera or file; idempotent, callable from another thread."""
        ...

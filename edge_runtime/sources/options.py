"""What a source is asked to deliver; holds no heavy import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.errors import UsageError

TURNS = (90, 180, 270)


@dataclass(frozen=True)
class Transform:
    """What is done to a frame, in this order: cut, turn, mirror."""

    region: tuple[int, int, int, int] | None = None
    """x, y, width, height of the part that is used, pixels of the camera's frame."""
    rotate: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    mirror: bool = False
    """Whether left and right are exchanged."""

    def __post_init__(self) -> None:
        if self.rotate not in (0, *TURNS):
            raise UsageError(f"rotate must be 0, 90, 180 or 270. Received: {self.rotate}")
        if self.region is not None and (min(self.region[:2]) < 0 or min(self.region[2:]) < 1):
            raise UsageError(f"region must be x,y,width,height within the frame. Received: {self.region}")

    @property
    def is_identity(self) -> bool:
        return self.region is None and self.rotate == 0 and not self.mirror


@dataclass(frozen=True)
class SourceOptions:
    """What a source is asked to deliver."""

    color: bool = False
    """Whether frames carry `bgr`; luma alone is cheaper."""
    color_wanted: Callable[[], bool] | None = None
    """Asked before `bgr` is computed where that costs something; None: always."""
    realtime: bool = False
    """Whether a video or the demo plays at its own rate and drops what comes too late."""
    seed: int = 0
    """Of the demo's motion and noise."""
    size_wh: tuple[int, int] = (640, 480)
    """Width and height that a camera is asked for, pixels."""
    rate_hz: float = 25.0
    """Frames per second that a camera is asked for."""
    stall_timeout_s: float = 2.0
    """A live source that delivers nothing for longer has failed."""
    reopen_tries: int = 5
    """How often a live source that failed is opened again."""
    transform: Transform = field(default_factory=Transform)
    """Cut, turn and mirror of every frame."""
    controls: Mapping[str, Any] = field(default_factory=dict)
    """libcamera controls by name for `picamera2`, e.g. {"AfMode": 2, "ExposureValue": 0.5}."""
    watch_s: float = 0.0
    """Seconds between two looks into a folder for new pictures; 0: it is read once."""
    done: str = ""
    """Folder, relative to the watched one, that takes its processed pictures; empty: they stay."""
    delivered: Callable[[], bool] | None = None
    """Whether all results so far are written; asked before a processed picture is moved. None: they are."""
    alive: Callable[[], None] | None = None
    """Called while a watched folder has nothing new and while a camera that failed is opened again, so that
    a watchdog does not take that for a hang."""

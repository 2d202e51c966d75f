"""The surface of picamera2 and libcamera that the source uses, with padded buffers and a stall switch."""

from __future__ import annotations

import time
import types
from typing import Any, ClassVar

import numpy as np


class Request:
    """A completed request over one buffer."""

    def __init__(self, camera: Picamera2, memory: np.ndarray, stamp_ns: int | None) -> None:
        self._camera = camera
        self.memory = memory
        self._stamp_ns = stamp_ns
        self.released = False

    def get_metadata(self) -> dict[str, Any]:
        return {} if self._stamp_ns is None else {"SensorTimestamp": self._stamp_ns}

    def release(self) -> None:
        assert not self.released, "released twice"
        self.released = True
        self._camera.outstanding -= 1


class MappedArray:
    def __init__(self, request: Request, stream: str, reshape: bool = True, write: bool = True) -> None:
        assert (stream, reshape, write) == ("main", False, False)
        self._request = request

    def __enter__(self) -> MappedArray:
        self.array = self._request.memory
        return self

    def __exit__(self, *_: object) -> None:
        del self.array


class Picamera2:
    """A camera whose frames are filled with their number."""

    cameras: ClassVar[list[dict[str, Any]]] = [{"Model": "imx708", "Id": "/base/cam", "Num": 0}]
    opened: ClassVar[list[Picamera2]] = []
    fail_with: ClassVar[BaseException | None] = None
    stride = 768
    pixel_format = "YUV420"
    frames_before_stall: ClassVar[list[int]] = []
    skip_after: ClassVar[int | None] = None

    def __init__(self, number: int) -> None:
        if Picamera2.fail_with is not None:
            raise Picamera2.fail_with
        self.outstanding = 0
        self.flushed = 0
        self.state = "open"
        self.count = 0
        self._limit = self.frames_before_stall.pop(0) if self.frames_before_stall else None
        Picamera2.opened.append(self)

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return cls.cameras

    def create_video_configuration(self, **arguments: Any) -> dict[str, Any]:
        self.arguments = arguments
        return arguments

    def configure(self, configuration: dict[str, Any]) -> None:
        self._size = configuration["main"]["size"]

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": {"size": self._size, "stride": self.stride, "format": self.pixel_format}}

    def start(self) -> None:
        self.state = "started"
        self._started_ns = time.monotonic_ns() - 5_000_000_000

    def capture_request(self, wait: float) -> Request:
        assert self.state == "started"
        assert self.outstanding == 0, "a request was not released"
        if self._limit is not None and self.count >= self._limit:
            raise TimeoutError
        _, height = self._size
        memory = np.full(self.stride * height * 3 // 2, 255, np.uint8)
        memory[: self.stride * height] = self.count
        memory[self.stride * height :] = 128
        stamp = self._started_ns + self.count * 40_000_000
        if self.skip_after is not None and self.count > self.skip_after:
            stamp += 80_000_000
        self.count += 1
        self.outstanding += 1
        return Request(self, memory, stamp)

    def cancel_all_and_flush(self) -> None:
        self.flushed += 1

    def stop(self) -> None:
        assert self.state == "started"
        self.state = "stopped"

    def close(self) -> None:
        assert self.outstanding == 0, "closed with a request in use"
        self.state = "closed"


def modules() -> tuple[types.ModuleType, types.ModuleType]:
    """Stand-ins for `picamera2` and `libcamera`, fresh for one test."""
    Picamera2.opened = []
    Picamera2.fail_with = None
    Picamera2.frames_before_stall = []
    Picamera2.skip_after = None
    Picamera2.stride = 768
    Picamera2.pixel_format = "YUV420"
    camera, library = types.ModuleType("picamera2"), types.ModuleType("libcamera")
    camera.Picamera2 = Picamera2  # type: ignore[attr-defined]
    camera.MappedArray = MappedArray  # type: ignore[attr-defined]
    library.ColorSpace = types.SimpleNamespace(Sycc=lambda: "sycc")  # type: ignore[attr-defined]
    return camera, library

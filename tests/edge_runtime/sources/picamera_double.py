"""The surface of picamera2 and libcamera that the source uses, with padded buffers and a stall switch.

Kept honest by tests/device/camera_contract.py, which runs on it and on the real one. Its clock is not that
of the machine: every capture is one frame later, and `elapse` lets more of them pass.
"""

from __future__ import annotations

import contextlib
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, ClassVar

import numpy as np

AGE_NS = 5_000_000_000
"""How long before the start of the camera its first frame was taken."""


class Request:
    """A completed request over one buffer."""

    def __init__(self, camera: Picamera2, memory: np.ndarray, stamp_ns: int) -> None:
        self._camera = camera
        self._generation = camera.generation
        self.memory = memory
        self._stamp_ns = stamp_ns
        self._references = 1

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": self._stamp_ns}

    def release(self) -> None:
        self._references -= 1
        if self._references < 0:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        self._camera._take_back(self.memory, self._generation)


class MappedArray:
    def __init__(self, request: Request, stream: str, reshape: bool = True, write: bool = True) -> None:
        assert (stream, reshape, write) == ("main", False, False)
        self._request = request

    def __enter__(self) -> MappedArray:
        self.array = self._request.memory[:]
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
    """Of the next cameras to be opened."""
    skip_after: ClassVar[int | None] = None
    stalled: ClassVar[bool] = False

    def __init__(self, camera_num: int = 0) -> None:
        if camera_num >= len(self.cameras):
            raise RuntimeError(f"No camera number {camera_num} found")
        if Picamera2.fail_with is not None:
            raise Picamera2.fail_with
        self.outstanding = 0
        """Requests that were handed out and not given back."""
        self.flushed = 0
        self.state = "open"
        self.generation = 0
        self.count = 0
        self._limit = self.frames_before_stall.pop(0) if self.frames_before_stall else None
        self._jobs: list[Future[Request]] = []
        self._free: list[np.ndarray] = []
        self._lock = threading.RLock()
        Picamera2.opened.append(self)

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.cameras

    def create_video_configuration(
        self,
        main: dict[str, Any],
        raw: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: dict[str, Any] | None = None,
        display: str | None = "main",
        encode: str | None = "main",
        queue: bool = True,
    ) -> dict[str, Any]:
        return {key: value for key, value in locals().items() if key != "self"}

    def configure(self, camera_config: dict[str, Any]) -> None:
        if self.state == "started":
            raise RuntimeError("Camera must be stopped before configuring")
        self.arguments = camera_config
        self._size = camera_config["main"]["size"]
        limits_us = (camera_config["controls"] or {}).get("FrameDurationLimits", (40_000, 40_000))
        self._interval_ns = limits_us[0] * 1000

    def camera_configuration(self) -> dict[str, Any]:
        main = {"size": self._size, "stride": self.stride, "format": self.pixel_format}
        return {**self.arguments, "main": main}

    def start(self) -> None:
        size = self.stride * self._size[1] * 3 // 2
        self._free = [np.empty(size, np.uint8) for _ in range(self.arguments["buffer_count"])]
        self._started_ns = time.monotonic_ns() - AGE_NS
        self.state = "started"

    def capture_request(self, wait: float) -> Request:
        job: Future[Request] = Future()
        with self._lock:
            self._jobs.append(job)
        self._work()
        return job.result(timeout=wait)

    def _work(self) -> None:
        """Give the waiting jobs what there is, oldest first; one that nobody waits for gets it as well."""
        with self._lock:
            while self._jobs and self._free and self._delivers():
                self._jobs.pop(0).set_result(self._expose(self._free.pop()))

    def _delivers(self) -> bool:
        used_up = self._limit is not None and self.count >= self._limit
        return self.state == "started" and not Picamera2.stalled and not used_up

    def _expose(self, memory: np.ndarray) -> Request:
        luma = self.stride * self._size[1]
        memory[:luma] = self.count % 256
        memory[luma:] = 128
        stamp_ns = self._started_ns + self.count * self._interval_ns
        if self.skip_after is not None and self.count > self.skip_after:
            stamp_ns += 2 * self._interval_ns
        self.count += 1
        self.outstanding += 1
        return Request(self, memory, stamp_ns)

    def _take_back(self, memory: np.ndarray, generation: int) -> None:
        """A released buffer; of no use any more where the camera was stopped since."""
        with self._lock:
            self.outstanding -= 1
            if generation == self.generation:
                self._free.append(memory)
        self._work()

    def cancel_all_and_flush(self) -> None:
        with self._lock:
            jobs, self._jobs = self._jobs, []
            self.flushed += 1
        for job in jobs:
            job.set_exception(CancelledError())

    def stop(self) -> None:
        if self.state == "started":
            self.state = "stopped"
            self.generation += 1

    def close(self) -> None:
        self.stop()
        self.state = "closed"


def elapse(frames: int) -> None:
    """Let frames pass in the cameras that are open."""
    for camera in Picamera2.opened:
        camera.count += frames


def stall(stalled: bool = True) -> None:
    """Pull the cable of every camera, or plug it in."""
    Picamera2.stalled = stalled
    for camera in Picamera2.opened:
        camera._work()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """While another program holds the camera."""
    Picamera2.fail_with = RuntimeError("Camera __init__ sequence did not complete.")
    yield
    Picamera2.fail_with = None


def modules() -> tuple[types.ModuleType, types.ModuleType]:
    """Stand-ins for `picamera2` and `libcamera`, fresh for one test."""
    Picamera2.opened = []
    Picamera2.fail_with = None
    Picamera2.frames_before_stall = []
    Picamera2.skip_after = None
    Picamera2.stride = 768
    Picamera2.pixel_format = "YUV420"
    Picamera2.stalled = False
    camera, library = types.ModuleType("picamera2"), types.ModuleType("libcamera")
    camera.Picamera2 = Picamera2  # type: ignore[attr-defined]
    camera.MappedArray = MappedArray  # type: ignore[attr-defined]
    library.ColorSpace = types.SimpleNamespace(Sycc=lambda: "sycc")  # type: ignore[attr-defined]
    return camera, library

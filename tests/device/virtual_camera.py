"""What libcamera's virtual camera lacks for an unmodified Picamera2, mended from outside.

The virtual pipeline of libcamera 0.4 plays JPEG files as an NV12 camera without any device node. It has
no raw stream, no clock and no DMA heap, and Picamera2 imports a display library that is not needed here.
Import this module before picamera2.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

YAML = Path("/usr/share/libcamera/pipeline/virtual/virtual.yaml")
SIZE_WH = (640, 480)
RATE_HZ = 30.0


def describe_camera(pictures: Path) -> None:
    """Tell libcamera of one camera that plays the folder's 0.jpg, 1.jpg, … Call before it is started."""
    width, height = SIZE_WH
    YAML.parent.mkdir(parents=True, exist_ok=True)
    YAML.write_text(
        f'"Faces":\n  supported_formats:\n  - width: {width}\n    height: {height}\n'
        f'    frame_rates:\n    - 30\n    - 60\n  frames:\n    path: "{pictures}/"\n  model: "virtual"\n'
    )


class Clock:
    """A camera whose requests are worked off one per tick, and not at all while `stalled`."""

    stalled = False
    """Of every camera: an unplugged cable."""

    def __init__(self, camera: Any) -> None:
        self._camera = camera
        self._waiting: deque[Any] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)

    def start(self, *controls: Any) -> None:
        self._camera.start(*controls)
        self._stop.clear()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._waiting.clear()
        self._camera.stop()

    def queue_request(self, request: Any) -> None:
        with self._lock:
            self._waiting.append(request)

    def _tick(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s += 1 / RATE_HZ
            if Clock.stalled:
                continue
            with self._lock:
                request = self._waiting.popleft() if self._waiting else None
            if request is not None:
                self._camera.queue_request(request)


def mend() -> Any:
    """Import picamera2 and mend it; returns the module."""
    sys.modules.setdefault("pykms", MagicMock())
    import libcamera
    import picamera2
    from picamera2 import picamera2 as core
    from picamera2.allocators.allocator import Allocator, Sync

    class MemfdSync(Sync):
        def __init__(self, allocator: Any, buffer: Any, write: bool) -> None:
            self._memory = allocator.mapped_buffers[buffer]

        def __enter__(self) -> Any:
            return self._memory

        def __exit__(self, *_: object) -> None:
            """The memory stays mapped until the next configuration."""

    class MemfdAllocator(Allocator):
        """NV12 buffers in anonymous memory, two planes each."""

        def __init__(self) -> None:
            super().__init__()
            self.sync = MemfdSync
            self.mapped_buffers: dict[Any, mmap.mmap] = {}
            self._buffers: dict[Any, list[Any]] = {}
            self._files: list[int] = []

        def allocate(self, libcamera_config: Any, _: Any) -> None:
            self.close()
            for stream_config in libcamera_config:
                luma_size = stream_config.stride * stream_config.size.height
                made = []
                for _index in range(stream_config.buffer_count):
                    file = os.memfd_create("virtual-camera")
                    os.ftruncate(file, luma_size * 3 // 2)
                    self._files.append(file)
                    planes = [libcamera.FrameBuffer.Plane() for _plane in range(2)]
                    for plane, offset, length in zip(
                        planes, (0, luma_size), (luma_size, luma_size // 2), strict=True
                    ):
                        plane.fd, plane.offset, plane.length = file, offset, length
                    buffer = libcamera.FrameBuffer(planes)
                    self.mapped_buffers[buffer] = mmap.mmap(file, luma_size * 3 // 2)
                    made.append(buffer)
                self._buffers[stream_config.stream] = made

        def buffers(self, stream: Any) -> list[Any]:
            return self._buffers[stream]

        def close(self) -> None:
            self.mapped_buffers.clear()
            self._buffers.clear()
            for file in self._files:
                os.close(file)
            self._files.clear()

        def __del__(self) -> None:
            self.close()

    def viewfinder_modes(camera: Any) -> list[dict[str, Any]]:
        roles = [libcamera.StreamRole.Viewfinder]
        formats = camera.camera.generate_configuration(roles).at(0).formats
        return [
            {"format": str(pixels), "size": (size.width, size.height)}
            for pixels in formats.pixel_formats
            for size in formats.sizes(pixels)
        ]

    grab = core.Picamera2._grab_camera
    core.DmaAllocator = MemfdAllocator
    core.Picamera2._get_raw_modes = viewfinder_modes
    core.Picamera2._grab_camera = lambda self, index: Clock(grab(self, index))
    return picamera2

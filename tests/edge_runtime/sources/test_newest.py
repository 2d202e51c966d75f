"""The newest-frame slot: no stale frame, no silent hang, errors cross the thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_runtime.errors import SourceError, SourceStalledError
from edge_runtime.sources.newest import Buffer, NewestFrameReader


class Camera:
    """Delivers a frame whenever the test lets it."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.count = 0
        self.go = threading.Semaphore(0)

    def read(self, buffer: Buffer) -> bool:
        self.go.acquire()
        if self.count >= self.frames:
            return False
        if buffer.bgr is None:
            buffer.bgr = np.empty((4, 6, 3), np.uint8)
        buffer.bgr[:] = self.count
        buffer.t_capture_ns = self.count
        self.count += 1
        return True


def make(camera: Camera, stall_timeout_s: float = 5.0) -> NewestFrameReader:
    return NewestFrameReader(camera.read, color=True, stall_timeout_s=stall_timeout_s, what="camera")


def test_worker_gets_the_newest_frame_and_the_count_of_the_others() -> None:
    camera = Camera(6)
    reader = make(camera)
    frames = reader.frames()
    camera.go.release()
    first = next(frames)
    assert (first.index, first.dropped) == (0, 0)
    held = first.luma.copy()
    camera.go.release(6)
    reader._thread.join(5)
    assert np.array_equal(first.luma, held)
    last = next(frames)
    assert (last.index, last.dropped) == (5, 4)
    assert last.luma[0, 0] == 5
    assert last.t_capture_ns == 5
    assert list(frames) == []


def test_a_camera_that_delivers_nothing_is_reported() -> None:
    camera = Camera(1)
    reader = make(camera, stall_timeout_s=0.05)
    with pytest.raises(SourceStalledError, match=r"no frame for 0\.05 s"):
        next(reader.frames())
    camera.go.release(2)
    assert reader.close()


def test_error_of_the_thread_reaches_the_worker() -> None:
    def broken(buffer: Buffer) -> bool:
        raise SourceError("unplugged")

    reader = NewestFrameReader(broken, color=False, stall_timeout_s=5, what="camera")
    with pytest.raises(SourceError, match="unplugged"):
        next(reader.frames())


def test_close_wakes_a_waiting_worker() -> None:
    camera = Camera(1)
    reader = make(camera, stall_timeout_s=30)
    result: list[int] = []
    worker = threading.Thread(target=lambda: result.extend(f.index for f in reader.frames()))
    worker.start()
    while not reader._thread.is_alive():
        pass
    threading.Timer(0.05, camera.go.release, (2,)).start()
    reader.close()
    worker.join(5)
    assert not worker.is_alive()

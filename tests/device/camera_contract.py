"""What the camera source relies on in Picamera2, as tests for the real one and for the double.

`Surface` holds the tests of Picamera2 itself, `Source` those of our source over it. A test module derives
its classes from them and gives a fixture `rig`. The real one runs in `tests/device/run picamera2`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import pytest

from edge_runtime.errors import SourceError, SourceStalledError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.sources.picamera import BUFFER_COUNT, Picamera2Source, import_picamera2

RATE_HZ = 30.0
SIZE_WH = (640, 480)
INTERVAL_NS = round(1e9 / RATE_HZ)
SHORT_S = 0.3
LONG_S = 30.0
OPTIONS = SourceOptions(size_wh=SIZE_WH, rate_hz=RATE_HZ, stall_timeout_s=1.0, reopen_tries=3)


class Rig(Protocol):
    """One camera, number 0, and what happens to it."""

    def stall(self) -> None:
        """Deliver no more; what is with the camera may still come."""

    def resume(self) -> None: ...

    def elapse(self, frames: int) -> None:
        """Let so many frames pass."""

    def held(self) -> AbstractContextManager[None]:
        """While another program holds the camera."""


def open_started() -> Any:
    """A camera as the source configures and starts it."""
    picamera2, libcamera = import_picamera2()
    camera = picamera2.Picamera2(0)
    duration_us = INTERVAL_NS // 1000
    camera.configure(
        camera.create_video_configuration(
            main={"size": SIZE_WH, "format": "YUV420"},
            raw=None,
            colour_space=libcamera.ColorSpace.Sycc(),
            buffer_count=BUFFER_COUNT,
            queue=False,
            display=None,
            encode=None,
            controls={"FrameDurationLimits": (duration_us, duration_us)},
        )
    )
    camera.start()
    return camera


def mapped(request: Any) -> Any:
    picamera2, _ = import_picamera2()
    return picamera2.MappedArray(request, "main", reshape=False, write=False)


def drain(camera: Any) -> None:
    """Capture from a stalled camera until a capture times out."""
    for _ in range(2 * BUFFER_COUNT):
        try:
            camera.capture_request(wait=SHORT_S).release()
        except TimeoutError:
            return
    raise AssertionError("the stalled camera goes on")


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start a thread; the list receives what the work returned or raised."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(work())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, ended


class Surface:
    """Picamera2 itself."""

    @pytest.fixture
    def camera(self, rig: Rig) -> Iterator[Any]:
        camera = open_started()
        yield camera
        rig.resume()
        camera.cancel_all_and_flush()
        camera.close()

    def test_cameras_are_listed(self, rig: Rig) -> None:
        picamera2, _ = import_picamera2()
        (camera,) = picamera2.Picamera2.global_camera_info()
        assert {"Model", "Num", "Id"} <= camera.keys()
        assert camera["Num"] == 0

    def test_number_out_of_range(self, rig: Rig) -> None:
        picamera2, _ = import_picamera2()
        with pytest.raises(RuntimeError, match="No camera number 3"):
            picamera2.Picamera2(3)

    def test_unknown_settings_are_refused(self, camera: Any) -> None:
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            camera.create_video_configuration(color_space=None)
        # A running camera cannot be configured.
        configuration = camera.create_video_configuration(main={"size": SIZE_WH, "format": "YUV420"})
        with pytest.raises(RuntimeError, match="must be stopped"):
            camera.configure(configuration)

    def test_configuration_is_told(self, camera: Any) -> None:
        main = camera.camera_configuration()["main"]
        assert tuple(main["size"]) == SIZE_WH
        assert main["stride"] >= SIZE_WH[0]
        assert main["format"] in ("YUV420", "NV12")
        assert camera.camera_configuration()["buffer_count"] == BUFFER_COUNT

    def test_buffer_is_a_flat_view(self, camera: Any) -> None:
        stride = camera.camera_configuration()["main"]["stride"]
        request = camera.capture_request(wait=LONG_S)
        with mapped(request) as array:
            assert array.array.dtype == np.uint8
            assert array.array.shape == (stride * SIZE_WH[1] * 3 // 2,)
            assert not array.array.flags.owndata
        with pytest.raises(AttributeError):
            _ = array.array
        request.release()

    def test_frames_are_stamped(self, camera: Any) -> None:
        stamps = []
        for _ in range(5):
            request = camera.capture_request(wait=LONG_S)
            stamps.append(request.get_metadata()["SensorTimestamp"])
            request.release()
        assert all(type(stamp) is int for stamp in stamps)
        assert stamps == sorted(set(stamps))
        assert 0 <= time.monotonic_ns() - stamps[-1] < 10_000_000_000

    def test_no_frame_from_the_past(self, camera: Any, rig: Rig) -> None:
        request = camera.capture_request(wait=LONG_S)
        before_ns = request.get_metadata()["SensorTimestamp"]
        request.release()
        rig.elapse(8)
        request = camera.capture_request(wait=LONG_S)
        after_ns = request.get_metadata()["SensorTimestamp"]
        request.release()
        assert after_ns - before_ns > 6.5 * INTERVAL_NS

    def test_a_request_is_released_once(self, camera: Any) -> None:
        request = camera.capture_request(wait=LONG_S)
        request.release()
        with pytest.raises(RuntimeError, match="ref_count"):
            request.release()

    def test_each_request_holds_a_buffer(self, camera: Any) -> None:
        requests = [camera.capture_request(wait=LONG_S) for _ in range(BUFFER_COUNT)]
        addresses = set()
        for request in requests:
            with mapped(request) as array:
                addresses.add(array.array.ctypes.data)
        assert len(addresses) == BUFFER_COUNT
        with pytest.raises(TimeoutError):
            camera.capture_request(wait=SHORT_S)
        camera.cancel_all_and_flush()
        for request in requests:
            request.release()
        camera.capture_request(wait=LONG_S).release()

    def test_a_timeout_leaves_its_job_in_the_queue(self, camera: Any, rig: Rig) -> None:
        rig.stall()
        drain(camera)
        for _ in range(BUFFER_COUNT - 1):
            with pytest.raises(TimeoutError):
                camera.capture_request(wait=SHORT_S)
        rig.resume()
        rig.elapse(4 * BUFFER_COUNT)
        # The four that nobody waits for have taken every buffer.
        with pytest.raises(TimeoutError):
            camera.capture_request(wait=2 * SHORT_S)

    def test_a_flush_after_each_timeout_saves_the_buffers(self, camera: Any, rig: Rig) -> None:
        rig.stall()
        drain(camera)
        camera.cancel_all_and_flush()
        for _ in range(BUFFER_COUNT):
            with pytest.raises(TimeoutError):
                camera.capture_request(wait=SHORT_S)
            camera.cancel_all_and_flush()
        rig.resume()
        for _ in range(2 * BUFFER_COUNT):
            camera.capture_request(wait=LONG_S).release()

    def test_a_flush_cancels_a_pending_capture(self, camera: Any, rig: Rig) -> None:
        rig.stall()
        drain(camera)
        camera.cancel_all_and_flush()
        thread, ended = in_thread(lambda: camera.capture_request(wait=LONG_S))
        time.sleep(SHORT_S)
        assert thread.is_alive()
        camera.cancel_all_and_flush()
        thread.join(LONG_S)
        assert [type(error) for error in ended] == [CancelledError]

    def test_stop_and_close_may_be_repeated(self, rig: Rig) -> None:
        camera = open_started()
        request = camera.capture_request(wait=LONG_S)
        camera.stop()
        camera.stop()
        request.release()
        camera.close()
        camera.close()
        again = open_started()
        again.capture_request(wait=LONG_S).release()
        again.close()

    def test_a_held_camera_cannot_be_opened(self, rig: Rig) -> None:
        picamera2, _ = import_picamera2()
        with rig.held(), pytest.raises(RuntimeError, match="did not complete"):
            picamera2.Picamera2(0)
        open_started().close()


def take(source: Any, count: int) -> list[tuple[int, int, UInt8Array, UInt8Array | None, int]]:
    """(index, dropped, luma, bgr, time of capture in ns) of the next frames, copied."""
    taken = []
    frames = source.frames()
    for frame in frames:
        bgr = None if frame.bgr is None else frame.bgr.copy()
        taken.append((frame.index, frame.dropped, frame.luma.copy(), bgr, frame.t_capture_ns))
        del frame
        if len(taken) == count:
            break
    frames.close()
    return taken


class Source:
    """Our source over it."""

    def test_frames_are_views_numbered_and_dated(self, rig: Rig) -> None:
        source = Picamera2Source(0, OPTIONS)
        frames = source.frames()
        seen = []
        for frame in frames:
            assert frame.luma.shape == SIZE_WH[::-1]
            assert not frame.luma.flags.owndata
            assert frame.bgr is None
            assert frame.t_capture_ns <= time.monotonic_ns()
            seen.append((frame.index, frame.dropped, frame.t_capture_ns))
            del frame
            if len(seen) == 10:
                break
        frames.close()  # type: ignore[attr-defined]
        source.close()
        assert all(index == position + dropped for position, (index, dropped, _) in enumerate(seen))
        stamps = [stamp for _, _, stamp in seen]
        assert stamps == sorted(set(stamps))

    def test_missed_frames_are_counted(self, rig: Rig) -> None:
        source = Picamera2Source(0, OPTIONS)
        frames = source.frames()
        first = next(frames)
        before, dropped = first.index, first.dropped
        del first
        rig.elapse(8)
        second = next(frames)
        assert second.dropped - dropped >= 5
        assert second.index - before == second.dropped - dropped + 1
        del second
        frames.close()  # type: ignore[attr-defined]
        source.close()

    def test_a_stall_is_told_and_the_camera_opens_again(self, rig: Rig) -> None:
        source = Picamera2Source(0, OPTIONS)
        take(source, 3)
        rig.stall()
        # What is with the camera already may still arrive.
        with pytest.raises(SourceStalledError, match="no frame for 1 s"):
            take(source, 10)
        source.close()
        rig.resume()
        again = Picamera2Source(0, OPTIONS)
        assert len(take(again, 5)) == 5
        again.close()

    def test_a_run_goes_on_after_a_stall(self, rig: Rig) -> None:
        source = open_source("picamera2", OPTIONS)
        frames = source.frames()
        before = [next(frames).index for _ in range(5)]
        rig.stall()
        timer = threading.Timer(1.5, rig.resume)
        timer.start()
        after = [next(frames).index for _ in range(15)]
        timer.join()
        frames.close()  # type: ignore[attr-defined]
        source.close()
        assert [*before, *after] == sorted({*before, *after})

    def test_a_held_camera_is_told(self, rig: Rig) -> None:
        with rig.held(), pytest.raises(SourceError, match="another program holds it"):
            Picamera2Source(0, OPTIONS)

    def test_an_absent_camera_is_told(self, rig: Rig) -> None:
        with pytest.raises(SourceError, match="no camera 3, libcamera sees 1"):
            open_source("picamera2:3", OPTIONS)

    def test_stop_during_a_pending_capture(self, rig: Rig) -> None:
        source = Picamera2Source(0, SourceOptions(rate_hz=RATE_HZ, stall_timeout_s=LONG_S))
        take(source, 2)
        rig.stall()
        thread, ended = in_thread(lambda: take(source, 50))
        time.sleep(2 * SHORT_S)
        source.close()
        thread.join(10)
        assert not thread.is_alive(), "the capture did not end"
        assert isinstance(ended[0], list | SourceError), repr(ended[0])
        rig.resume()
        again = Picamera2Source(0, OPTIONS)
        assert len(take(again, 1)) == 1
        again.close()

"""Source `picamera2`: the Raspberry Pi's camera, luma without a copy.

picamera2 and libcamera come from the system (apt), not from pip, and are imported when the source is
opened.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import cv2
import numpy as np

from edge_runtime.errors import SourceError, SourceStalledError, UsageError
from edge_runtime.numbers import whole_number
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources.base import Frame
from edge_runtime.sources.options import SourceOptions
from edge_runtime.sources.reopening import Reopening

BUFFER_COUNT = 4
MAX_AGE_NS = 10_000_000_000
"""A sensor's time stamp further back than this is of another clock and is not used."""

INSTALL = (
    "apt install python3-picamera2 --no-install-recommends, then make the environment with "
    "python3 -m venv --system-site-packages"
)


def open_picamera2(argument: str, options: SourceOptions) -> Reopening:
    """Open a camera by its number, 0 by default.

    Raises:
        UsageError: the argument is not a number.
        SourceError: picamera2 is not visible here, no such camera, or it is busy.
    """
    number = camera_number(argument)
    return Reopening(lambda: Picamera2Source(number, options), options.reopen_tries, alive=options.alive)


def camera_number(argument: str) -> int:
    """What `picamera2:` is followed by; 0 where nothing is.

    Raises:
        UsageError: not a number.
    """
    number = whole_number(argument or "0")
    if number is None:
        raise UsageError(f"picamera2:{argument}: give the camera's number, e.g. picamera2:0")
    return number


def import_picamera2() -> tuple[Any, Any]:
    """The modules picamera2 and libcamera.

    Raises:
        SourceError: they cannot be imported, with the way to mend it.
    """
    try:
        import libcamera
        import picamera2
    except ImportError as error:
        reason = str(error)
        if "libcamera._libcamera" in reason:
            fix = "use the system's own Python: python3 -m venv --system-site-packages"
        elif "pykms" in reason:
            fix = "apt install python3-kms++"
        else:
            fix = INSTALL
        raise SourceError(f"source 'picamera2' cannot work here ({reason}). {fix}") from None
    except ValueError as error:
        # numpy 2 beside modules that were built against numpy 1: "numpy.dtype size changed".
        raise SourceError(f"source 'picamera2': {error}. Install: pip install 'numpy<2'") from None
    return picamera2, libcamera


class Picamera2Source:
    """One opening of a camera: a YUV420 stream of full range, newest frame, timed captures."""

    def __init__(self, number: int, options: SourceOptions) -> None:
        """
        Raises:
            SourceError: picamera2 is not visible, no such camera, or it is busy.
        """
        picamera2, libcamera = import_picamera2()
        cameras = picamera2.Picamera2.global_camera_info()
        if number >= len(cameras):
            raise SourceError(
                f"no camera {number}, libcamera sees {len(cameras)}; check the ribbon cable and "
                "camera_auto_detect=1 in /boot/firmware/config.txt"
            )
        self._mapped_array = picamera2.MappedArray
        self._options = options
        self._interval_ns = round(1e9 / options.rate_hz)
        self._closed = False
        try:
            self._camera = picamera2.Picamera2(number)
        except (RuntimeError, IndexError) as error:
            raise SourceError(f"camera {number}: {_advice(error)}") from None
        try:
            self._configure(libcamera)
        except (RuntimeError, OSError) as error:
            self._camera.close()
            raise SourceError(f"camera {number}: {_advice(error)}") from None
        width, height = self._size_wh
        self.description = (
            f"picamera2 {cameras[number].get('Model', number)} {width}x{height} "
            f"{options.rate_hz:g} frames/s {self._format}"
        )

    def _configure(self, libcamera: Any) -> None:
        duration_us = self._interval_ns // 1000
        configuration = self._camera.create_video_configuration(
            main={"size": self._options.size_wh, "format": "YUV420"},
            raw=None,
            # The default for video is limited range, Y 16..235; the models were trained on 0..255.
            colour_space=libcamera.ColorSpace.Sycc(),
            buffer_count=BUFFER_COUNT,
            queue=False,
            display=None,
            encode=None,
            controls={"FrameDurationLimits": (duration_us, duration_us), **self._options.controls},
        )
        self._camera.configure(configuration)
        main = self._camera.camera_configuration()["main"]
        self._size_wh: tuple[int, int] = tuple(main["size"])
        self._stride = int(main["stride"])
        self._format = str(main["format"])
        self._camera.start()

    def frames(self) -> Iterator[Frame]:
        """Yield frames whose luma is a view of the camera's own memory.

        Raises:
            SourceStalledError: no frame within the stall timeout.
        """
        index = dropped = 0
        before_ns: int | None = None
        while not self._closed:
            request = self._capture()
            if request is None:
                return
            try:
                captured_ns = _capture_time_ns(request.get_metadata())
                if before_ns is not None:
                    missed = max(0, round((captured_ns - before_ns) / self._interval_ns) - 1)
                    dropped += missed
                    index += missed
                before_ns = captured_ns
                with self._mapped_array(request, "main", reshape=False, write=False) as mapped:
                    luma, bgr = self._planes(mapped.array)
                    yield Frame(index, captured_ns, luma, bgr, dropped)
                    del luma, bgr
                index += 1
            finally:
                request.release()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # A view that is still alive keeps the camera's buffers mapped.
        gc.collect()
        with contextlib.suppress(RuntimeError, OSError):
            self._camera.cancel_all_and_flush()
            self._camera.stop()
        with contextlib.suppress(RuntimeError, OSError, BufferError):
            self._camera.close()

    def _capture(self) -> Any:
        """The next request; None if `close` from another thread cancelled the wait."""
        try:
            return self._camera.capture_request(wait=self._options.stall_timeout_s)
        except TimeoutError:
            # The job that timed out stays queued and would eat a buffer later.
            self._camera.cancel_all_and_flush()
            raise SourceStalledError(
                f"{self.description}: no frame for {self._options.stall_timeout_s:g} s; "
                "check the camera's cable"
            ) from None
        except CancelledError:
            return None
        except RuntimeError as error:
            raise SourceError(f"{self.description}: {_advice(error)}") from None

    def _planes(self, memory: UInt8Array) -> tuple[UInt8Array, UInt8Array | None]:
        width, height = self._size_wh
        luma = luma_plane(memory, self._size_wh, self._stride)
        wanted = self._options.color_wanted
        if not self._options.color or (wanted is not None and not wanted()):
            return luma, None
        chroma = memory[self._stride * height :]
        return luma, to_bgr(luma, *chroma_planes(chroma, (width, height), self._stride, self._format))


def luma_plane(memory: UInt8Array, size_wh: tuple[int, int], stride: int) -> UInt8Array:
    """The luma (H, W) of a YUV420 or NV12 buffer, as a view; rows are `stride` bytes apart."""
    width, height = size_wh
    return memory[: stride * height].reshape(height, stride)[:, :width]


def chroma_planes(
    memory: UInt8Array, size_wh: tuple[int, int], stride: int, pixel_format: str
) -> tuple[UInt8Array, UInt8Array]:
    """Views of U and V, (H/2, W/2) each, of the bytes that follow the luma plane."""
    width, height = size_wh[0] // 2, size_wh[1] // 2
    if pixel_format == "NV12":
        pairs = memory[: stride * height].reshape(height, stride)[:, : 2 * width]
        return pairs[:, 0::2], pairs[:, 1::2]
    half = stride // 2
    size = half * height
    u = memory[:size].reshape(height, half)[:, :width]
    v = memory[size : 2 * size].reshape(height, half)[:, :width]
    return u, v


def to_bgr(luma: UInt8Array, u: UInt8Array, v: UInt8Array) -> UInt8Array:
    """BGR (H, W, 3) of full-range BT.601 planes; OpenCV's own YUV420 conversion assumes limited range."""
    size = (luma.shape[1], luma.shape[0])
    red, blue = (
        cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_LINEAR) for plane in (v, u)
    )
    return cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2BGR)  # type: ignore[return-value]


def _capture_time_ns(metadata: dict[str, Any]) -> int:
    """End of exposure as the sensor tells it, else now."""
    now_ns = time.monotonic_ns()
    stamp = metadata.get("SensorTimestamp")
    if isinstance(stamp, int) and 0 <= now_ns - stamp < MAX_AGE_NS:
        return stamp
    return now_ns


def _advice(error: BaseException) -> str:
    reason = " ".join(str(error).split())
    if "busy" in reason.lower() or "acquire" in reason.lower() or "did not complete" in reason:
        return f"another program holds it ({reason}); stop that program, or the edge-fer service"
    return reason

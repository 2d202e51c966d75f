"""Live sources that OpenCV reads: USB cameras (`v4l2:`) and network streams (`rtsp://`, `http://`)."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.sources.base import Frame
from edge_runtime.sources.claim import Claim
from edge_runtime.sources.newest import Buffer, NewestFrameReader
from edge_runtime.sources.options import SourceOptions
from edge_runtime.sources.reopening import Reopening

OPEN_TIMEOUT_S = 10.0
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*:/+)(?:.*@)?([^?#]*)", re.IGNORECASE | re.DOTALL)
"""Scheme; everything up to the last @, which a password may hold as well; host and path."""
GRAB_TRIES = 5
"""Failed reads in a row after which a camera is gone; single ones happen on a loaded USB bus."""


class CaptureSource:
    """Reads an opened `cv2.VideoCapture` in a thread and hands out the newest frame."""

    def __init__(self, capture: cv2.VideoCapture, description: str, options: SourceOptions) -> None:
        self.description = description
        self._capture = capture
        self._reader = NewestFrameReader(
            self._read,
            color=options.color,
            stall_timeout_s=options.stall_timeout_s,
            what=description,
            release=capture.release,
        )

    def frames(self) -> Iterator[Frame]:
        return self._reader.frames()

    def close(self) -> None:
        self._reader.close()

    def _read(self, buffer: Buffer) -> bool:
        complaint = "it ended or was unplugged; check the cable or the network"
        for _ in range(GRAB_TRIES):
            if self._capture.grab():
                buffer.t_capture_ns = time.monotonic_ns()
                try:
                    ok, image = self._capture.retrieve(buffer.bgr)
                except cv2.error:
                    ok, image = False, None
                if ok and _is_picture(image):
                    buffer.bgr = image  # type: ignore[assignment]
                    return True
                complaint = "it delivers no pictures that can be decoded; check the cable"
        raise SourceError(f"{self.description}: {complaint}")


def _is_picture(image: object) -> bool:
    """Whether it is BGR (H, W, 3) uint8: a driver that has lost its camera delivers all sorts of things."""
    return (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size > 0
    )


def open_v4l2(argument: str, options: SourceOptions) -> Reopening:
    """Open a USB camera by its number, or by its path such as /dev/v4l/by-id/….

    Raises:
        SourceError: no such camera, no permission, busy, or another edge-fer uses it.
    """
    path = Path(argument if argument.startswith("/") else f"/dev/video{argument or 0}")
    claim = Claim(path.resolve())
    try:
        return Reopening(
            lambda: _open_camera(path, options), options.reopen_tries, claim.close, options.alive
        )
    except BaseException:
        claim.close()
        raise


def open_stream(url: str, options: SourceOptions) -> Reopening:
    """Open a network stream by its address.

    Raises:
        SourceError: it cannot be reached or decoded.
    """
    return Reopening(lambda: _open_address(url, options), options.reopen_tries, alive=options.alive)


def _open_camera(path: Path, options: SourceOptions) -> CaptureSource:
    if not path.exists():
        there = ", ".join(sorted(str(device) for device in Path("/dev").glob("video*"))) or "none"
        raise SourceError(
            f"no camera {path} (video devices here: {there}); plug it in, or list the sources with: "
            "edge-fer sources"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceError(f"{path}: no permission; add the user to the group video and log in again")
    width, height = options.size_wh
    # MJPG is asked for first: uncompressed YUYV fills USB 2 at 640x480 and 30 frames/s.
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    if capture.isOpened():
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        capture.set(cv2.CAP_PROP_FPS, options.rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return _checked(
        capture, f"camera {path}", f"{path}: busy, or not a camera; close other programs", options
    )


def _open_address(url: str, options: SourceOptions) -> CaptureSource:
    # UDP loses packets on a busy network and the decoder then shows smeared faces.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(OPEN_TIMEOUT_S * 1000)]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(options.stall_timeout_s * 1000)]
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    name = without_password(url)
    return _checked(
        capture, f"stream {name}", f"{name}: cannot be reached or is no video; try it with ffplay", options
    )


def _checked(
    capture: cv2.VideoCapture, description: str, complaint: str, options: SourceOptions
) -> CaptureSource:
    if not capture.isOpened():
        capture.release()
        raise SourceError(complaint)
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return CaptureSource(capture, f"{description} {width:.0f}x{height:.0f} {rate_hz:.1f} frames/s", options)


def without_password(url: str) -> str:
    """The address as it may stand in a log: without user, password and query; other names as they are."""
    address = ADDRESS.match(url)
    return address[1] + address[2] if address else url

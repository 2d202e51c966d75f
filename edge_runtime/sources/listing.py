"""What `--source` can be here."""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeFerError
from edge_runtime.numbers import whole_number

DEVICES = Path("/dev")
BY_ID = Path("/dev/v4l/by-id")

VIDIOC_QUERYCAP = 0x80685600
CAPABILITY_BYTES = 104
CAP_VIDEO_CAPTURE = 0x1
CAP_DEVICE_CAPS = 0x80000000
"""Of linux/videodev2.h."""


@dataclass(frozen=True)
class FoundSource:
    """One possible `--source`."""

    source: str
    """The word for `--source`."""
    usable: bool
    description: str
    """What it is, or why it cannot be used."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_sources() -> list[FoundSource]:
    """Cameras of libcamera, USB cameras and the demo; opens no camera for capture."""
    return [*_picamera2(), *_v4l2(), *_demo()]


def _picamera2() -> list[FoundSource]:
    from edge_runtime.sources.picamera import import_picamera2

    try:
        picamera2, _ = import_picamera2()
        cameras = picamera2.Picamera2.global_camera_info()
    except (EdgeFerError, RuntimeError) as error:
        return [FoundSource("picamera2", False, str(error))]
    if not cameras:
        return [FoundSource("picamera2", False, "libcamera sees no camera")]
    return [
        FoundSource(
            f"picamera2:{number}", True, f"{info.get('Model', 'camera')} {info.get('Id', '')}".strip()
        )
        for number, info in enumerate(cameras)
    ]


def _v4l2() -> list[FoundSource]:
    ids = {link.resolve(): link for link in sorted(BY_ID.glob("*"))} if BY_ID.is_dir() else {}
    found = []
    for path in sorted(DEVICES.glob("video*"), key=lambda device: (len(device.name), device.name)):
        number = path.name.removeprefix("video")
        if whole_number(number) is None:
            continue
        try:
            name, captures = query_capability(path)
        except PermissionError:
            found.append(FoundSource(f"v4l2:{number}", False, "no permission; join the group video"))
            continue
        except OSError as error:
            found.append(FoundSource(f"v4l2:{number}", False, str(error.strerror)))
            continue
        if captures:
            link = ids.get(path.resolve())
            also = f", also v4l2:{link}" if link else ""
            found.append(FoundSource(f"v4l2:{number}", True, f"{name}{also}"))
    return found


def query_capability(path: Path) -> tuple[str, bool]:
    """Name of a video device and whether it captures pictures.

    Raises:
        OSError: it cannot be opened or is no video device.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, bytes(CAPABILITY_BYTES))
    finally:
        os.close(descriptor)
    return parse_capability(answer)


def parse_capability(answer: bytes) -> tuple[str, bool]:
    """Name and whether it captures, of a `struct v4l2_capability`."""
    _, card, _, _, capabilities, of_device = struct.unpack_from("<16s32s32sIII", answer)
    flags = of_device if capabilities & CAP_DEVICE_CAPS else capabilities
    return card.split(b"\0")[0].decode(errors="replace"), bool(flags & CAP_VIDEO_CAPTURE)


def _demo() -> list[FoundSource]:
    from edge_runtime.sources.demo import open_demo
    from edge_runtime.sources.options import SourceOptions

    try:
        return [FoundSource("demo", True, open_demo("1", SourceOptions()).description)]
    except EdgeFerError as error:
        return [FoundSource("demo", False, str(error))]

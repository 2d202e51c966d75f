"""Source `demo`: a real photograph that moves before a virtual camera.

For a machine without a camera: the same detector, crop and inference as with one. The photograph is a
public-domain portrait that an installed package ships; edge-fer ships none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.numbers import whole_number
from edge_runtime.preprocess import UInt8Array, to_luma
from edge_runtime.sources.base import Frame
from edge_runtime.sources.imagefile import read_image
from edge_runtime.sources.options import SourceOptions

FRAME_HW = (480, 640)
RATE_HZ = 25.0
DEFAULT_FRAMES = 250
NOISE_SIGMA = 4.0
"""Standard deviation of the sensor noise, gray levels."""
NOISE_PICTURES = 8


@dataclass(frozen=True)
class Portrait:
    """A photograph inside an installed package."""

    package: str
    path: str
    """Below the package's folder."""
    face: tuple[float, float, float]
    """Centre x, centre y and height of the face, pixels of the photograph."""
    who: str


PORTRAITS = (
    Portrait("skimage", "data/astronaut.png", (223.0, 121.0, 110.0), "astronaut Eileen Collins (NASA)"),
    Portrait(
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        (258.0, 190.0, 190.0),
        "Rear Admiral Grace Hopper (US Navy)",
    ),
)
"""In order of preference. `find_spec` locates the package without importing it."""


def open_demo(argument: str, options: SourceOptions) -> DemoSource:
    """Open the demo; `argument` is its number of frames, empty for the default, 0 for no end.

    Raises:
        UsageError: the argument is not a number of frames.
        SourceError: no package with a portrait is installed.
    """
    frames = frame_count(argument)
    portrait, path = _find_portrait()
    return DemoSource(read_image(path), portrait, frames, options)


def frame_count(argument: str) -> int:
    """What `demo:` is followed by, frames; the default where nothing is.

    Raises:
        UsageError: not a number of frames.
    """
    frames = whole_number(argument) if argument else DEFAULT_FRAMES
    if frames is None:
        raise UsageError(f"demo:{argument}: give a number of frames, 0 for no end, e.g. demo:100")
    return frames


def _find_portrait() -> tuple[Portrait, Path]:
    for portrait in PORTRAITS:
        spec = find_spec(portrait.package)
        if spec is None or spec.origin is None:
            continue
        path = Path(spec.origin).parent / portrait.path
        if path.exists():
            return portrait, path
    raise SourceError("the demo needs a portrait. Install: pip install 'edge-fer[demo]'")


class DemoSource:
    """Pans, zooms, turns and darkens a photograph; the same frames for the same seed."""

    def __init__(self, photo: UInt8Array, portrait: Portrait, frames: int, options: SourceOptions) -> None:
        """
        Args:
            photo: BGR (H, W, 3).
            frames: number of frames, 0 for no end.
        """
        height, width = FRAME_HW
        self.description = f"demo {width}x{height}: {portrait.who}, from the package {portrait.package}"
        self._photo = photo
        self._portrait = portrait
        self._frames = frames
        self._options = options
        rng = np.random.default_rng(options.seed)
        self._phases = rng.uniform(0, 2 * math.pi, 5)
        # A few pictures of noise taken in turn look like a sensor's and cost a thousandth of fresh ones.
        self._noise = [
            np.repeat(np.rint(rng.normal(0, NOISE_SIGMA, (height, width, 1))), 3, axis=2).astype(np.int16)
            for _ in range(NOISE_PICTURES)
        ]
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        started_s = time.monotonic()
        index = dropped = 0
        while not self._closed and (not self._frames or index < self._frames):
            if self._options.realtime:
                due_s = started_s + index / RATE_HZ
                late = int((time.monotonic() - due_s) * RATE_HZ)
                if late > 0:
                    dropped += late
                    index += late
                    continue
                time.sleep(max(0.0, due_s - time.monotonic()))
            captured_ns = time.monotonic_ns()
            image = self.render(index)
            bgr = image if self._options.color else None
            scene_ns = round(index * 1e9 / RATE_HZ)
            yield Frame(index, captured_ns, to_luma(image), bgr, dropped, t_scene_ns=scene_ns)
            index += 1

    def render(self, index: int) -> UInt8Array:
        """The picture BGR (480, 640, 3) that the virtual camera sees at a frame's time."""
        height, width = FRAME_HW
        t = 2 * math.pi * index / RATE_HZ
        pan_x, pan_y, zoom, turn, light = map(float, self._phases)
        center_x, center_y, face_px = self._portrait.face
        face_height_px = 170 + 45 * math.sin(t / 7 + zoom)
        scale = face_height_px / face_px
        target_x = width / 2 + 110 * math.sin(t / 5 + pan_x)
        target_y = height / 2 + 35 * math.sin(t / 3 + pan_y)
        matrix = cv2.getRotationMatrix2D((center_x, center_y), 6 * math.sin(t / 4 + turn), scale)
        matrix[0, 2] += target_x - center_x
        matrix[1, 2] += target_y - center_y
        image = cv2.warpAffine(
            self._photo, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        gain = 0.9 + 0.15 * math.sin(t / 6 + light)
        lit = cv2.convertScaleAbs(image, alpha=gain)
        noise = self._noise[index % NOISE_PICTURES]
        return cv2.add(lit, noise, dtype=cv2.CV_8U)  # type: ignore[return-value]

    def close(self) -> None:
        self._closed = True

"""Detector `haar`: OpenCV's frontal-face cascade (Viola & Jones 2001; Lienhart & Maydt 2002).

Needs no model of its own and finds upright frontal faces; OpenCV 5 no longer has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_runtime.detectors.base import Detection
from edge_runtime.errors import DetectorUnavailableError
from edge_runtime.preprocess import Box, UInt8Array

CASCADE = "haarcascade_frontalface_default.xml"
SYSTEM_FOLDERS = ("/usr/share/opencv4/haarcascades", "/usr/local/share/opencv4/haarcascades")
"""Where Debian's and a hand-built OpenCV keep the cascades: apt's python3-opencv has no `cv2.data`."""


MAX_COVERED = 0.6
"""Of two boxes that share more than this part of the smaller one, that with more hits is the face."""


MIN_CASCADE_PX = 24
"""Side of the cascade's own window."""

NEAR_FACE_PX = 72.0
"""Size to which a followed face is shrunk before its neighbourhood is searched."""
NEAR_SCALE_FACTOR = 1.2
NEAR_SMALLER, NEAR_LARGER = 0.75, 1.35
"""Sizes searched in a neighbourhood, of the face's size in the frame before."""
NEAR_REACH = 0.3
"""How far around a followed face is searched, fraction of its size on each side."""


@dataclass(frozen=True)
class HaarSettings:
    """Settings of the cascade; the defaults were chosen by measurement, see docs/cropping.md."""

    scale_factor: float = 1.2
    """Step between the sizes that are searched."""
    min_neighbors: int = 4
    """Overlapping hits that make a face."""
    min_size_px: int = 30
    """Smallest face, pixels of the picture that is searched: 48 in a frame of 640, FER2013's size."""
    max_side_px: int = 400
    """Larger frames are shrunk to this before they are searched."""


class HaarDetector:
    """Finds frontal faces in luma."""

    name = "haar"

    def __init__(self, settings: HaarSettings | None = None) -> None:
        """
        Raises:
            DetectorUnavailableError: OpenCV without the class or without the cascade's file.
        """
        self.settings = settings or HaarSettings()
        if not hasattr(cv2, "CascadeClassifier"):
            raise DetectorUnavailableError(
                f"detector 'haar' needs OpenCV 4; this is OpenCV {cv2.__version__}, which has no "
                "CascadeClassifier. Install: pip install 'opencv-python-headless>=4.10,<5'"
            )
        path = find_cascade()
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise DetectorUnavailableError(f"{path}: OpenCV cannot read the cascade; reinstall OpenCV")

    def detect(self, luma: UInt8Array) -> list[Detection]:
        settings = self.settings
        shrink = settings.max_side_px / max(luma.shape)
        if shrink < 1:
            luma = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        else:
            shrink = 1.0
        found, hits = self._cascade.detectMultiScale2(
            luma,
            scaleFactor=settings.scale_factor,
            minNeighbors=settings.min_neighbors,
            minSize=(settings.min_size_px, settings.min_size_px),
        )
        boxes: list[Box] = []
        for _, sides in sorted(zip(hits, found, strict=True), key=lambda pair: -pair[0]):
            x, y, w, h = (float(side) / shrink for side in sides)
            box = Box(x, y, w, h)
            if all(_covered(box, kept) < MAX_COVERED for kept in boxes):
                boxes.append(box)
        # The cascade has no confidence that means the same from one face to the next.
        return [Detection(box, 1.0) for box in sorted(boxes, key=lambda box: -box.w)]

    def detect_near(self, luma: UInt8Array, box: Box) -> Detection | None:
        left = max(0, int(box.x - NEAR_REACH * box.w))
        top = max(0, int(box.y - NEAR_REACH * box.h))
        right = int(box.x + (1 + NEAR_REACH) * box.w)
        bottom = int(box.y + (1 + NEAR_REACH) * box.h)
        part = luma[top:bottom, left:right]
        if min(part.shape) < MIN_CASCADE_PX:
            return None
        shrink = min(1.0, NEAR_FACE_PX / box.w)
        if shrink < 1:
            part = cv2.resize(part, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        smallest = max(MIN_CASCADE_PX, round(NEAR_SMALLER * shrink * box.w))
        largest = max(smallest, round(NEAR_LARGER * shrink * box.w))
        found = self._cascade.detectMultiScale(
            part,
            scaleFactor=NEAR_SCALE_FACTOR,
            minNeighbors=self.settings.min_neighbors,
            minSize=(smallest, smallest),
            maxSize=(largest, largest),
        )
        boxes = [
            Box(left + x / shrink, top + y / shrink, w / shrink, h / shrink)
            for x, y, w, h in (map(float, sides) for sides in found)
        ]
        best = max(boxes, key=box.iou, default=None)
        return None if best is None else Detection(best, 1.0)


def _covered(box: Box, other: Box) -> float:
    """Part of the smaller box that both share, 0..1."""
    across = min(box.x + box.w, other.x + other.w) - max(box.x, other.x)
    down = min(box.y + box.h, other.y + other.h) - max(box.y, other.y)
    return max(0.0, across) * max(0.0, down) / min(box.w * box.h, other.w * other.h)


def load() -> HaarDetector:
    """
    Raises:
        DetectorUnavailableError: as `HaarDetector`.
    """
    return HaarDetector()


def find_cascade() -> Path:
    """The cascade's file, with OpenCV or where the system keeps it.

    Raises:
        DetectorUnavailableError: it is nowhere.
    """
    folders = [*([cv2.data.haarcascades] if hasattr(cv2, "data") else []), *SYSTEM_FOLDERS]
    for folder in folders:
        path = Path(folder) / CASCADE
        if path.exists():
            return path
    raise DetectorUnavailableError(
        f"detector 'haar': OpenCV {cv2.__version__} came without {CASCADE}. "
        "Install: apt install opencv-data, or pip install 'opencv-python-headless>=4.10,<5'"
    )

"""Detector `yunet:FILE`: YuNet through OpenCV's `FaceDetectorYN`; the user brings the ONNX file.

Wu et al., YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.detectors.base import Detection
from edge_runtime.errors import DetectorUnavailableError
from edge_runtime.preprocess import Box, UInt8Array

SCORE_THRESHOLD = 0.7
MAX_SIDE_PX = 320
"""Larger frames are shrunk to this before they are searched."""

SIDE_OF_WIDTH = 1.2
"""Side of the project's square box, in widths of YuNet's box (which ends at the temples)."""
SIDE_OF_EYE_TO_MOUTH = 2.6
"""Side of the square by the distance from the eyes' middle to the mouth's, for upright faces."""
CENTER_BELOW_EYES = 0.3
"""Centre of the square below the eyes' middle, fraction of its side."""


class YunetDetector:
    """Finds faces with five landmarks, from which the project's box is made."""

    name = "yunet"

    def __init__(self, path: Path) -> None:
        """
        Raises:
            DetectorUnavailableError: no such file, or OpenCV cannot run it.
        """
        if not path.is_file():
            raise DetectorUnavailableError(f"{path}: no such file; give YuNet's .onnx as yunet:FILE")
        if not hasattr(cv2, "FaceDetectorYN"):
            raise DetectorUnavailableError(
                f"detector 'yunet' needs OpenCV 4.5.4 or later; this is OpenCV {cv2.__version__}"
            )
        try:
            self._net = cv2.FaceDetectorYN.create(
                str(path), "", (MAX_SIDE_PX, MAX_SIDE_PX), score_threshold=SCORE_THRESHOLD
            )
        except cv2.error:
            raise DetectorUnavailableError(
                f"{path}: OpenCV {cv2.__version__} cannot run this as YuNet; "
                "fetch face_detection_yunet_2023mar.onnx from OpenCV's model zoo"
            ) from None

    def detect(self, luma: UInt8Array) -> list[Detection]:
        shrink = min(1.0, MAX_SIDE_PX / max(luma.shape))
        small = luma
        if shrink < 1:
            small = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        self._net.setInputSize((small.shape[1], small.shape[0]))
        try:
            _, faces = self._net.detect(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
        except cv2.error as error:
            raise DetectorUnavailableError(f"yunet failed: {' '.join(str(error).split())[:200]}") from None
        if faces is None:
            return []
        detections = [Detection(_to_box(row / shrink), float(row[-1])) for row in faces]
        return sorted(detections, key=lambda found: (-found.score, -found.box.w))


def load(file: str) -> YunetDetector:
    """
    Raises:
        DetectorUnavailableError: as `YunetDetector`.
    """
    return YunetDetector(Path(file))


def _to_box(row: np.ndarray) -> Box:
    """The project's square from YuNet's box (x, y, w, h) and its eyes, nose and mouth corners."""
    eyes = (row[4:6] + row[6:8]) / 2
    mouth = (row[10:12] + row[12:14]) / 2
    side = max(SIDE_OF_WIDTH * row[2], SIDE_OF_EYE_TO_MOUTH * float(np.hypot(*(mouth - eyes))))
    center_x = row[0] + row[2] / 2
    center_y = eyes[1] + CENTER_BELOW_EYES * side
    return Box(float(center_x - side / 2), float(center_y - side / 2), float(side), float(side))

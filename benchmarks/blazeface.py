"""BlazeFace (Bazarevsky et al. 2019, arXiv 1907.05047) as a peer: the .tflite files of MediaPipe's package.

They run in the project's interpreter, on luma in all three channels. Anchors are those of MediaPipe's
graphs: of one size, at the centres of the cells; box and centre are offsets in fractions of the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.backends import load_backend
from edge_runtime.boxmap import BoxMap
from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE
from edge_runtime.detectors import Detection
from edge_runtime.detectors.decoding import cell_centers
from edge_runtime.detectors.suppression import merge_overlapping
from edge_runtime.errors import DetectorUnavailableError
from edge_runtime.preprocess import Box, UInt8Array

THRESHOLD = 0.5
"""MediaPipe's own default."""
NMS_IOU = 0.3


@dataclass(frozen=True)
class _Anchors:
    side_px: int
    strides: tuple[tuple[int, int], ...]
    """Stride in pixels and anchors per cell, in the order of the outputs."""
    full_face: BoxMap
    """From its boxes to the full face: medians over 395 (short range) and 381 (full range) desk and
    portrait faces of the Training split."""

    def centers(self) -> npt.NDArray[np.float32]:
        """(anchors, 2) x, y in input pixels."""
        hw = (self.side_px, self.side_px)
        return np.concatenate(
            [
                np.repeat(cell_centers(hw, stride).reshape(-1, 2), count, axis=0)
                for stride, count in self.strides
            ]
        )


ANCHORS = {
    896: _Anchors(128, ((8, 2), (16, 6)), BoxMap(dy=-0.09, scale_w=1.06, scale_h=1.23)),
    2304: _Anchors(192, ((4, 1),), BoxMap(dy=-0.035, scale_w=1.01, scale_h=1.21)),
}
"""Short range and full range, by number of anchors."""


class BlazeFaceDetector:
    """One BlazeFace file; satisfies `edge_runtime.detectors.Detector`."""

    name = "blazeface"

    def __init__(self, path: Path, score_threshold: float = THRESHOLD) -> None:
        """
        Raises:
            DetectorUnavailableError: no such file, or it is no BlazeFace.
        """
        try:
            self._backend = load_backend(path.read_bytes(), "auto", 1)
        except OSError as error:
            raise DetectorUnavailableError(f"{path}: cannot be read ({error.strerror})") from None
        shapes = [info.shape for info in self._backend.outputs]
        counts = {shape[1] for shape in shapes if len(shape) == 3}
        if len(counts) != 1 or not counts <= ANCHORS.keys() or {shape[-1] for shape in shapes} != {1, 16}:
            raise DetectorUnavailableError(
                f"{path}: outputs {shapes} are not BlazeFace's; give face_detection_short_range.tflite "
                "or face_detection_full_range_sparse.tflite of the package mediapipe"
            )
        anchors = ANCHORS[counts.pop()]
        self._side = anchors.side_px
        self._centers = anchors.centers()
        self._box_map = anchors.full_face.then(BOX_FROM_FULL_FACE)
        self._scores_at = next(index for index, shape in enumerate(shapes) if shape[-1] == 1)
        self._threshold = score_threshold
        self.description = f"{path.name}, {self._backend.description}"

    def detect(self, luma: UInt8Array) -> list[Detection]:
        scale = self._side / max(luma.shape)
        size = (max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale)))
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        left, top = (self._side - size[0]) // 2, (self._side - size[1]) // 2
        pixels = np.zeros((self._side, self._side), np.float32)
        pixels[top : top + size[1], left : left + size[0]] = cv2.resize(
            luma, size, interpolation=interpolation
        )
        tensor = np.repeat((pixels / 127.5 - 1)[None, :, :, None], 3, axis=-1)
        outputs = self._backend.invoke(tensor)
        logits = np.clip(outputs[self._scores_at].reshape(-1), -80, 80)
        scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
        chosen = np.flatnonzero(scores >= self._threshold)
        if not len(chosen):
            return []
        values = outputs[1 - self._scores_at].reshape(-1, 16)[chosen, :4]
        middle, half = self._centers[chosen] + values[:, :2], values[:, 2:] / 2
        corners, kept = merge_overlapping(
            np.concatenate([middle - half, middle + half], axis=1), scores[chosen], NMS_IOU
        )
        corners = (corners - np.array([left, top, left, top], np.float32)) / np.float32(scale)
        corners[:, 2:] -= corners[:, :2]
        boxes = self._box_map.apply(corners).tolist()
        return [Detection(Box(*box), score) for box, score in zip(boxes, kept.tolist(), strict=True)]

    def close(self) -> None:
        self._backend.close()

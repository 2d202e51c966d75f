"""Face detectors with a score for every face, so that precision-recall curves can be drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.blazeface import THRESHOLD, BlazeFaceDetector
from edge_runtime.detectors import Detection, load_detector
from edge_runtime.detectors.edge import DEFAULT_MODEL, EdgeDetector
from edge_runtime.detectors.haar import HaarDetector, HaarSettings, find_cascade
from edge_runtime.errors import UsageError
from edge_runtime.preprocess import UInt8Array

LEAST_SCORE = 0.02
"""Answers of `edge` below it do not enter a curve."""
REFERENCE_HAAR = HaarSettings(scale_factor=1.1, min_neighbors=5, min_size_px=48, max_side_px=1 << 14)
"""What CPU times are divided by: the settings of most tutorials, on the full frame."""
REFERENCE_NAME = "haar:1.1/5/48"

Scored = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Boxes (N, 4) x, y, w, h in the convention of `edge_runtime.preprocess.Box`, scores (N,)."""


class Timed(Protocol):
    """What is timed: a detector as the device runs it."""

    def detect(self, luma: UInt8Array) -> list[Detection]: ...


@dataclass(frozen=True)
class Candidate:
    name: str
    device: Timed
    """As the device runs it, with its own threshold."""
    scored: Callable[[UInt8Array], Scored]
    """All answers, down to a low score."""
    threshold: float
    """Score at which the device accepts an answer."""
    description: str

    def deliver(self, luma: UInt8Array) -> npt.NDArray[np.float64]:
        """Boxes (N, 4) that the device would report."""
        return _boxes(self.device.detect(luma))


def make_candidate(name: str) -> Candidate:
    """A detector by name: `edge`, `edge:FILE`, `haar`, `haar:SCALE/NEIGHBOURS/SIZE`, `yunet:FILE` or
    `blazeface:FILE`.

    Raises:
        UsageError: unknown name or settings.
        EdgeFerError: the detector cannot work here.
    """
    kind, _, rest = name.partition(":")
    if kind == "edge":
        device = EdgeDetector.load(rest or DEFAULT_MODEL)
        device.self_test()
        low = EdgeDetector.load(rest or DEFAULT_MODEL, score_threshold=LEAST_SCORE)
        about = f"{device.contract.name}, {device.backend.description}"
        return Candidate(name, device, _of_detections(low), device.decoding.score_threshold, about)
    if kind == "haar":
        settings = _haar_settings(rest)
        scale, neighbours, size = settings.scale_factor, settings.min_neighbors, settings.min_size_px
        about = f"OpenCV {cv2.__version__}, step {scale}, {neighbours} neighbours, from {size} px"
        return Candidate(name, HaarDetector(settings), ScoredHaar(settings), -np.inf, about)
    if kind == "blazeface":
        peer = BlazeFaceDetector(Path(rest))
        all_answers = _of_detections(BlazeFaceDetector(Path(rest), LEAST_SCORE))
        return Candidate(name, peer, all_answers, THRESHOLD, peer.description)
    if kind == "none":
        raise UsageError("detector 'none' finds no faces that could be counted; leave it out")
    other = load_detector(name)
    return Candidate(name, other, _of_detections(other), 0.0, f"OpenCV {cv2.__version__}")


class ScoredHaar:
    """The cascade with the sum of its last stage as score.

    Its own answers have no score; `detectMultiScale3` tells by how much each passed the last stage,
    which traces a curve through and around the settings' own point.
    """

    def __init__(self, settings: HaarSettings) -> None:
        self._settings = settings
        self._cascade = cv2.CascadeClassifier(str(find_cascade()))

    def __call__(self, luma: UInt8Array) -> Scored:
        settings = self._settings
        shrink = min(1.0, settings.max_side_px / max(luma.shape))
        if shrink < 1:
            luma = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        boxes, _, weights = self._cascade.detectMultiScale3(
            luma,
            scaleFactor=settings.scale_factor,
            minNeighbors=settings.min_neighbors,
            minSize=(settings.min_size_px, settings.min_size_px),
            outputRejectLevels=True,
        )
        found = np.asarray(boxes, np.float64).reshape(-1, 4) / shrink
        return found, np.asarray(weights, np.float64).reshape(-1)


def _of_detections(detector: Timed) -> Callable[[UInt8Array], Scored]:
    def scored(luma: UInt8Array) -> Scored:
        found = detector.detect(luma)
        return _boxes(found), np.array([item.score for item in found])

    return scored


def _boxes(found: list[Detection]) -> npt.NDArray[np.float64]:
    sides = [(item.box.x, item.box.y, item.box.w, item.box.h) for item in found]
    return np.array(sides, np.float64).reshape(-1, 4)


def _haar_settings(text: str) -> HaarSettings:
    if not text:
        return HaarSettings()
    try:
        scale, neighbours, size = text.split("/")
        settings = HaarSettings(float(scale), int(neighbours), int(size), REFERENCE_HAAR.max_side_px)
    except ValueError:
        raise UsageError(
            f"haar settings are SCALE/NEIGHBOURS/SIZE, e.g. 1.1/5/48. Received: {text!r}"
        ) from None
    if not 1 < settings.scale_factor < 3 or settings.min_neighbors < 0 or settings.min_size_px < 1:
        raise UsageError(f"haar settings out of range. Received: {text!r}")
    return settings

"""No old results: faces that come, stay and go in a film, at the default settings, by the film's time.

Time in the film leaves out how fast this machine is; a frame's age comes on top of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.classifier import Classifier
from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE
from edge_runtime.detectors import load_detector
from edge_runtime.pipeline import Pipeline
from edge_runtime.preprocess import Box, UInt8Array
from edge_runtime.records import FrameRecord
from edge_runtime.sources.base import Frame

RATE_HZ = 25
APPEARS_WITHIN_S = 0.3
LEAVES_WITHIN_S = 0.5
MIN_IOU = 0.5
DRAWN = json.loads((Path(__file__).parents[1] / "data" / "video_faces.json").read_text())

pytestmark = pytest.mark.parametrize("detector", ["haar", "edge"])


class Film:
    """Pictures at 25 frames/s of film time."""

    description = "film"

    def __init__(self, pictures: Sequence[UInt8Array]) -> None:
        self._pictures = pictures

    def frames(self) -> Iterator[Frame]:
        for index, luma in enumerate(self._pictures):
            yield Frame(index, time.monotonic_ns(), luma, t_scene_ns=round(index * 1e9 / RATE_HZ))

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture(scope="module")
def webcam(media: Path) -> list[UInt8Array]:
    return read_video(media / "webcam.mp4")


@pytest.fixture(scope="module")
def empty(webcam: list[UInt8Array]) -> UInt8Array:
    """The room without the face: its place is filled in from around it."""
    x, y, w, h = DRAWN["webcam.mp4"]["0"][0]
    grown = round(0.35 * w)
    mask = np.zeros_like(webcam[0])
    mask[max(0, y - grown) : y + h + grown, max(0, x - grown) : x + w + grown] = 255
    return cv2.inpaint(webcam[0], mask, 5, cv2.INPAINT_TELEA)  # type: ignore[return-value]


def read_video(path: Path) -> list[UInt8Array]:
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while True:
        more, image = capture.read()
        if not more:
            capture.release()
            return pictures
        pictures.append(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def watch(pictures: Sequence[UInt8Array], detector: str, model: Path) -> list[FrameRecord]:
    pipeline = Pipeline(Film(pictures), load_detector(detector), Classifier.load(str(model)))
    return [record for _, record in pipeline.records()]


@pytest.mark.data
# One after the other, the face comes at every place between two searches of the whole frame.
@pytest.mark.parametrize("before", range(10, 16))
def test_face_that_comes_and_goes(
    webcam: list[UInt8Array], empty: UInt8Array, tiny_model: Path, detector: str, before: int
) -> None:
    there = webcam[300:325]
    film = [empty] * before + there + [empty] * RATE_HZ
    reported = [bool(record.faces) for record in watch(film, detector, tiny_model)]
    assert not any(reported[:before])
    first = reported.index(True)
    assert (first - before) / RATE_HZ <= APPEARS_WITHIN_S
    gone = before + len(there)
    assert all(reported[first:gone])
    last = max(index for index, face in enumerate(reported) if face)
    assert (last + 1 - gone) / RATE_HZ <= LEAVES_WITHIN_S


@pytest.mark.data
@pytest.mark.parametrize("video", ["webcam.mp4", "desk_male.gif"])
def test_boxes_overlap_the_drawn_ones(media: Path, tiny_model: Path, detector: str, video: str) -> None:
    records = watch(read_video(media / video), detector, tiny_model)
    overlaps = {}
    for frame, (drawn,) in DRAWN[video].items():
        boxes = [(face.box.x, face.box.y, face.box.w, face.box.h) for face in records[int(frame)].faces]
        full = BOX_FROM_FULL_FACE.inverse().apply(np.array(boxes, np.float64).reshape(-1, 4))
        overlaps[frame] = max((Box(*box).iou(Box(*drawn)) for box in full.tolist()), default=0.0)
    assert {frame: overlap for frame, overlap in overlaps.items() if overlap < MIN_IOU} == {}


@pytest.mark.data
def test_boxes_follow_a_face_that_moves(webcam: list[UInt8Array], tiny_model: Path, detector: str) -> None:
    """The picture is pushed by four pixels a frame: a box from five frames ago would lie 20 pixels off."""
    film = [np.roll(webcam[300], 4 * step, axis=1) for step in range(25)]
    records = watch(film, detector, tiny_model)
    start = records[0].faces[0].box
    for step, record in enumerate(records):
        moved = Box(start.x + 4 * step, start.y, start.w, start.h)
        assert max(face.box.iou(moved) for face in record.faces) > 0.75

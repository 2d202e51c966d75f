"""How the boxes of two detectors lie to each other on photographs, where nobody says what is expressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.detection import to_frame
from benchmarks.progress import track
from edge_runtime.classifier import Classifier
from edge_runtime.datasets import yolo
from edge_runtime.detectors import load_detector
from edge_runtime.errors import DataError
from edge_runtime.pipeline import FaceReader
from edge_runtime.preprocess import Box, UInt8Array

FRAME_HW = (480, 640)
SPLIT = "Training"
MIN_IOU = 0.3
"""Boxes that overlap less are of different faces, or one of them is of none."""


@dataclass(frozen=True)
class Relation:
    """Boxes of one detector in units of another's, over the faces that both find: median and quartiles."""

    detector: str
    reference: str
    split: str
    pictures: int
    faces: int
    width: tuple[float, float, float]
    height: tuple[float, float, float]
    offset_x: tuple[float, float, float]
    """From the reference's centre, fraction of the reference's side, to the right."""
    offset_y: tuple[float, float, float]
    """The same, downward."""
    same_answer: float | None
    """Share of faces of which a classifier says the same, whichever box it is given; `None` without one."""


def relate(
    path: Path, names: Sequence[str], limit: int, seed: int, classifier: Classifier | None
) -> list[Relation]:
    """Relations of every detector to the first, on pictures in YOLO layout with one labelled face each.

    Raises:
        DataError: not such data, or no face that both find.
    """
    data = yolo.read(path).split(SPLIT)
    data = data.select([len(boxes) == 1 for boxes in data.boxes])
    data = data.select(np.sort(np.random.default_rng(seed).permutation(len(data))[:limit]))
    frames = [to_frame(image, FRAME_HW)[0] for image in data.images]
    found = {name: _boxes(frames, name) for name in names}
    reference, *others = names
    return [
        _relation(frames, found[name], found[reference], (name, reference), classifier) for name in others
    ]


def _boxes(frames: Sequence[UInt8Array], name: str) -> list[list[Box]]:
    detector = load_detector(name)
    return [[item.box for item in detector.detect(frame)] for frame in track(frames, name, len(frames))]


def _relation(
    frames: Sequence[UInt8Array],
    found: Sequence[Sequence[Box]],
    reference: Sequence[Sequence[Box]],
    names: tuple[str, str],
    classifier: Classifier | None,
) -> Relation:
    reader = FaceReader(classifier) if classifier else None
    rows: list[tuple[float, ...]] = []
    same = []
    for frame, boxes, others in zip(frames, found, reference, strict=True):
        for other in others:
            box = max(boxes, key=other.iou, default=None)
            if box is None or box.iou(other) < MIN_IOU:
                continue
            rows.append(_in_units_of(other, box))
            if reader is not None:
                answers = [
                    int(np.argmax(reader.read(frame, None, each, {"preprocess": 0, "infer": 0})))
                    for each in (box, other)
                ]
                same.append(answers[0] == answers[1])
    if not rows:
        raise DataError(f"{names[0]} and {names[1]} find no face together")
    width, height, offset_x, offset_y = map(_quartiles, zip(*rows, strict=True))
    return Relation(
        *names,
        split=SPLIT,
        pictures=len(frames),
        faces=len(rows),
        width=width,
        height=height,
        offset_x=offset_x,
        offset_y=offset_y,
        same_answer=round(float(np.mean(same)), 4) if same else None,
    )


def _quartiles(values: tuple[float, ...]) -> tuple[float, float, float]:
    middle, low, high = np.percentile(values, [50, 25, 75]).round(3).tolist()
    return middle, low, high


def _in_units_of(unit: Box, box: Box) -> tuple[float, float, float, float]:
    return (
        box.w / unit.w,
        box.h / unit.h,
        (box.x + box.w / 2 - unit.x - unit.w / 2) / unit.w,
        (box.y + box.h / 2 - unit.y - unit.h / 2) / unit.h,
    )

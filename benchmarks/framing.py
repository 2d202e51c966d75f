"""Where a face detector's box lies in pictures that are face crops already.

The difference between the box and the picture is the crop that frames a detected face as the training
pictures frame it: `margin` and `offset_y` of a contract's `crop`. Only the Training split is looked at.
`--photographs` compares the boxes of detectors on whole pictures instead.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.framing_photos import Relation, relate
from benchmarks.latency import check_counts
from edge_runtime.classifier import Classifier
from edge_runtime.contract import CropSpec
from edge_runtime.datasets import load_dataset
from edge_runtime.datasets.base import LabeledImages
from edge_runtime.detectors import Detector, load_detector
from edge_runtime.detectors.haar import HaarDetector, HaarSettings
from edge_runtime.errors import DataError, UsageError
from edge_runtime.preprocess import Box, UInt8Array, crop_face, crop_region

SPLIT = "Training"
SCALE = 4
"""Growth of a picture before it is searched; the cascade sees no face under 24 pixels."""
BORDER = 1 / 3
"""Repeated border on each side, fraction of the picture, so that a box may be larger than the picture."""
SCALE_FACTOR = 1.05
"""Finer steps than on the device, so that the boxes' sizes are not rounded to a few values."""


@dataclass(frozen=True)
class Framing:
    """Medians over the pictures in which exactly one face was found."""

    detector: str
    split: str
    pictures: int
    measured: int
    """Pictures with exactly one face found."""
    margin: float
    """Growth of the box per side that makes it as wide as the picture, fraction of the box."""
    offset_x: float
    """From the box's centre to the picture's, fraction of the box, to the right."""
    offset_y: float
    """The same, downward."""
    margin_quartiles: tuple[float, float]
    offset_y_quartiles: tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """What a classifier says of crops by a detector's box, on pictures in which every detector found
    exactly one face."""

    detector: str
    model: str
    pictures: int
    accuracy_uncropped: float | None
    """Of the pictures as they are; `None` without labels. The classifier may have been trained on them:
    only differences mean something."""
    accuracy: float | None
    accuracy_refitted: float | None
    """With the margin and offset that this detector's own boxes need on these pictures (`Framing`), so that
    only their scatter is left."""
    same_answer_as_uncropped: float
    same_answer_as_first: float
    """Share of pictures with the answer that the first detector's crop gets."""


Result = Framing | Agreement | Relation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", metavar="PATH", help="labelled pictures, square face crops")
    what.add_argument(
        "--photographs",
        type=Path,
        metavar="PATH",
        help="pictures in YOLO layout instead: how the boxes of the other detectors lie to the first's",
    )
    parser.add_argument(
        "--limit", type=int, default=4000, metavar="N", help="pictures (default: %(default)s)"
    )
    parser.add_argument(
        "--detectors",
        default="haar",
        metavar="LIST",
        help="haar, edge or edge:FILE, with commas between (default: haar)",
    )
    parser.add_argument(
        "--model", metavar="NAME|FILE", help="classifier that is asked about the crops of every detector"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the framing.

    Raises:
        DataError: no such data, or no face was found.
        DetectorUnavailableError: OpenCV without the cascade.
    """
    check_counts(limit=arguments.limit)
    names = [name for name in arguments.detectors.split(",") if name]
    if not names:
        raise UsageError("--detectors names no detector")
    measured = _photographs if arguments.photographs else _crops
    results = measured(arguments, names)
    if arguments.format == "json":
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        for result in results:
            for key, value in asdict(result).items():
                print(f"{key + ':':<26}{value}")
    return 0


def _photographs(arguments: argparse.Namespace, names: Sequence[str]) -> Sequence[Result]:
    if len(names) < 2:
        raise UsageError("--photographs compares detectors; name two or more with --detectors")
    classifier = Classifier.load(arguments.model) if arguments.model else None
    return relate(arguments.photographs, names, arguments.limit, arguments.seed, classifier)


def _crops(arguments: argparse.Namespace, names: Sequence[str]) -> Sequence[Result]:
    data = load_dataset(arguments.data).split(SPLIT)
    chosen = np.random.default_rng(arguments.seed).permutation(len(data.images))[: arguments.limit]
    data = data.select(np.sort(chosen))
    pictures = list(data.images)
    found = {name: find_boxes(pictures, make_detector(name, pictures)) for name in names}
    framings = [measure(pictures, boxes, name) for name, boxes in found.items()]
    results: list[Result] = list(framings)
    if arguments.model:
        results.extend(agreement(Classifier.load(arguments.model), data, found, framings))
    return results


def make_detector(name: str, pictures: list[UInt8Array]) -> Detector:
    """A detector for enlarged pictures of one size; the cascade looks for large faces in fine steps."""
    if name != "haar":
        return load_detector(name)
    side = max(pictures[0].shape[:2]) * SCALE
    return HaarDetector(
        HaarSettings(scale_factor=SCALE_FACTOR, min_neighbors=5, min_size_px=side // 2, max_side_px=1 << 16)
    )


def find_boxes(pictures: list[UInt8Array], detector: Detector) -> list[Box | None]:
    """The box of each picture (H, W) with exactly one face, in pixels of the picture."""
    boxes: list[Box | None] = []
    for picture in pictures:
        found = detector.detect(_with_border(picture))
        boxes.append(_in_picture(found[0].box, picture) if len(found) == 1 else None)
    return boxes


def measure(pictures: list[UInt8Array], boxes: list[Box | None], detector: str = "haar") -> Framing:
    """Medians over the pictures that have a box.

    Raises:
        DataError: not one picture with exactly one face.
    """
    rows = [_values(box, picture) for box, picture in zip(boxes, pictures, strict=True) if box is not None]
    if not rows:
        raise DataError(
            "no picture with exactly one face; framing needs square face crops of 40 pixels or more"
        )
    values = np.array(rows)
    margin, offset_x, offset_y = np.median(values, axis=0).round(4).tolist()
    low, high = np.percentile(values, [25, 75], axis=0).round(4).tolist()
    return Framing(
        detector=detector,
        split=SPLIT,
        pictures=len(pictures),
        measured=len(rows),
        margin=margin,
        offset_x=offset_x,
        offset_y=offset_y,
        margin_quartiles=(low[0], high[0]),
        offset_y_quartiles=(low[2], high[2]),
    )


def agreement(
    classifier: Classifier,
    data: LabeledImages,
    found: dict[str, list[Box | None]],
    framings: Sequence[Framing],
) -> list[Agreement]:
    """Ask the classifier about the crop of every detector's box.

    Args:
        found: boxes of every picture by detector.
        framings: of the detectors in the same order.

    Raises:
        DataError: there is no picture in which all of them found one face.
    """
    common = [row for row in range(len(data.images)) if all(boxes[row] for boxes in found.values())]
    if not common:
        raise DataError("no picture in which every detector finds exactly one face")
    contract = classifier.contract
    uncropped = _answers(classifier, [data.images[row] for row in common])
    truth = [data.class_names[data.labels[row]] if data.labels[row] >= 0 else "" for row in common]
    results: list[Agreement] = []
    first: list[str] = []

    def read(boxes: list[Box | None], spec: CropSpec) -> list[str]:
        crops = [
            crop_face(data.images[row], crop_region(box, spec), contract.input)
            for row, box in ((row, boxes[row]) for row in common)
            if box is not None
        ]
        return _answers(classifier, crops)

    for (name, boxes), framing in zip(found.items(), framings, strict=True):
        answers = read(boxes, contract.crop)
        refitted = read(boxes, replace(contract.crop, margin=framing.margin, offset_y=framing.offset_y))
        first = first or answers
        results.append(
            Agreement(
                detector=name,
                model=contract.name,
                pictures=len(common),
                accuracy_uncropped=_share(uncropped, truth) if any(truth) else None,
                accuracy=_share(answers, truth) if any(truth) else None,
                accuracy_refitted=_share(refitted, truth) if any(truth) else None,
                same_answer_as_uncropped=_share(answers, uncropped),
                same_answer_as_first=_share(answers, first),
            )
        )
    return results


def _answers(classifier: Classifier, faces: list[UInt8Array]) -> list[str]:
    labels = classifier.contract.labels
    return [labels[int(np.argmax(classifier.predict(face)))] for face in faces]


def _share(answers: list[str], others: list[str]) -> float:
    return round(float(np.mean([one == other for one, other in zip(answers, others, strict=True)])), 4)


def _with_border(picture: UInt8Array) -> UInt8Array:
    grown = cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    edge = round(BORDER * grown.shape[0])
    return cv2.copyMakeBorder(grown, edge, edge, edge, edge, cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _in_picture(box: Box, picture: UInt8Array) -> Box:
    edge = round(BORDER * SCALE * picture.shape[0])
    return Box((box.x - edge) / SCALE, (box.y - edge) / SCALE, box.w / SCALE, box.h / SCALE)


def _values(box: Box, picture: UInt8Array) -> tuple[float, float, float]:
    height, width = picture.shape[:2]
    side = max(box.w, box.h)
    return (
        (width - side) / 2 / side,
        (width / 2 - box.x - box.w / 2) / side,
        (height / 2 - box.y - box.h / 2) / box.h,
    )

"""Where a face detector's box lies in pictures that are face crops already.

The difference between the box and the picture is the crop that frames a detected face as the training
pictures frame it: `margin` and `offset_y` of a contract's `crop`. Only the Training split is looked at.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from edge_runtime.datasets import load_dataset
from edge_runtime.detectors.haar import HaarDetector, HaarSettings
from edge_runtime.errors import DataError
from edge_runtime.preprocess import Box, UInt8Array

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", required=True, metavar="PATH", help="labelled pictures, square face crops"
    )
    parser.add_argument(
        "--limit", type=int, default=4000, metavar="N", help="pictures (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pictures")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the framing.

    Raises:
        DataError: no such data, or no face was found.
        DetectorUnavailableError: OpenCV without the cascade.
    """
    data = load_dataset(arguments.data).split(SPLIT)
    chosen = np.random.default_rng(arguments.seed).permutation(len(data.images))[: arguments.limit]
    framing = measure([data.images[index] for index in sorted(chosen)])
    if arguments.format == "json":
        print(json.dumps([asdict(framing)], indent=1))
    else:
        for key, value in asdict(framing).items():
            print(f"{key + ':':<20}{value}")
    return 0


def measure(pictures: list[UInt8Array]) -> Framing:
    """Search each picture (H, W) and take the medians.

    Raises:
        DataError: not one picture with exactly one face.
    """
    side = max(pictures[0].shape[:2]) * SCALE
    settings = HaarSettings(
        scale_factor=SCALE_FACTOR, min_neighbors=5, min_size_px=side // 2, max_side_px=1 << 16
    )
    detector = HaarDetector(settings)
    boxes = []
    for picture in pictures:
        found = detector.detect(_with_border(picture))
        if len(found) == 1:
            boxes.append(_values(found[0].box, picture))
    if not boxes:
        raise DataError(
            "no picture with exactly one face; framing needs square face crops of 40 pixels or more"
        )
    values = np.array(boxes)
    margin, offset_x, offset_y = np.median(values, axis=0).round(4).tolist()
    low, high = np.percentile(values, [25, 75], axis=0).round(4).tolist()
    return Framing(
        split=SPLIT,
        pictures=len(pictures),
        measured=len(boxes),
        margin=margin,
        offset_x=offset_x,
        offset_y=offset_y,
        margin_quartiles=(low[0], high[0]),
        offset_y_quartiles=(low[2], high[2]),
    )


def _with_border(picture: UInt8Array) -> UInt8Array:
    grown = cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    edge = round(BORDER * grown.shape[0])
    return cv2.copyMakeBorder(grown, edge, edge, edge, edge, cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _values(box: Box, picture: UInt8Array) -> tuple[float, float, float]:
    height, width = (size * SCALE for size in picture.shape[:2])
    edge = round(BORDER * height)
    center_x, center_y = box.x + box.w / 2 - edge, box.y + box.h / 2 - edge
    return (
        (width - box.w) / 2 / box.w,
        (width / 2 - center_x) / box.w,
        (height / 2 - center_y) / box.h,
    )

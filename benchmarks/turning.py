"""What turning crops upright could bring: answers to pictures that were turned, and how tilted faces are.

Every picture is turned by each angle to either side. What a classifier loses by that is the most that a
crop turned upright by landmarks could win back for a face tilted so. With `--landmarks`, pictures of faces
with 68 landmarks tell how tilted faces are, and how often the answer changes when they are turned upright.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.accuracy import predict_all, prepare_task
from benchmarks.progress import track
from edge_runtime.classifier import Classifier
from edge_runtime.datasets import load_for_model, yolo
from edge_runtime.detectors import load_detector
from edge_runtime.errors import DataError, UsageError
from edge_runtime.metrics import Interval, bootstrap
from edge_runtime.modelfile import ZIP_ERRORS
from edge_runtime.preprocess import UInt8Array, crop_face, crop_region

LANDMARKS_NAME = "landmarks68.csv"
EYES = (slice(36, 42), slice(42, 48))
"""Of the 68 landmarks of "300 Faces in-the-Wild" (Sagonas et al. 2013); first the picture's left one."""
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Turned:
    """Answers to pictures turned by an angle, to both sides."""

    degrees: float
    pictures: int
    top1: float
    """Mean of both sides, 0..1."""
    loss: float
    """Top-1 of the pictures as they are, less this one."""
    loss_interval: tuple[float, float]
    """95 %, paired by picture (bootstrap)."""


@dataclass(frozen=True)
class Tilt:
    """How tilted faces with landmarks are, and what turning them upright changes."""

    faces: int
    quantiles: Mapping[str, float]
    """Of the angle between the line through the eyes and the picture's rows, degrees, unsigned."""
    loss: float
    """Mean over these faces of the loss at their angle, interpolated: the most that upright crops could
    win."""
    found: int
    """Pictures in which the detector finds exactly one face."""
    changed: float
    """Share of those of which the classifier says something else when they are turned upright first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="labelled face crops")
    parser.add_argument("--split", metavar="NAME", help="rows to use, e.g. PublicTest; default: all rows")
    parser.add_argument("--model", default="edge-fer-small", metavar="FILE|NAME")
    parser.add_argument(
        "--degrees", default="5,10,15,20,30", metavar="LIST", help="angles (default: %(default)s)"
    )
    parser.add_argument(
        "--landmarks",
        type=Path,
        metavar="PATH",
        help=f"zip archive of pictures in YOLO layout with {LANDMARKS_NAME}; its Training split is used",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print a row per angle, then the tilt.

    Raises:
        UsageError: an angle that is none.
        DataError: no such data, or no landmarks.
    """
    angles = _angles(arguments.degrees)
    classifier = Classifier.load(arguments.model)
    contract = classifier.contract
    data = prepare_task(
        load_for_model(arguments.data, contract.input, contract.labels), arguments.split, None
    ).data
    turned = measure(classifier, data.images, data.labels_for(contract.labels), angles)
    tilt = measure_tilt(arguments.landmarks, classifier, turned) if arguments.landmarks else None
    classifier.close()
    if arguments.format == "json":
        document = {
            "model": contract.name,
            "turned": [asdict(row) for row in turned],
            "tilt": asdict(tilt) if tilt else None,
        }
        print(json.dumps(document, indent=1))
    else:
        print(_as_text(contract.name, turned, tilt))
    return 0


def measure(
    classifier: Classifier, images: UInt8Array, truth: npt.NDArray[np.int64], angles: Sequence[float]
) -> list[Turned]:
    """A row per angle, that of no angle first.

    Args:
        images: uint8 (N, H, W) luma or (N, H, W, 3) RGB.
        truth: (N,) index into the model's labels.
    """
    upright = predict_all(classifier, images).argmax(axis=1) == truth
    rows = [Turned(0.0, len(images), float(upright.mean()), 0.0, (0.0, 0.0))]
    for angle in angles:
        sides = [
            predict_all(classifier, np.stack([turn(image, side) for image in images])).argmax(axis=1)
            for side in (-angle, angle)
        ]
        right = np.mean([side == truth for side in sides], axis=0)
        losses = upright - right
        interval: Interval = bootstrap(losses, lambda drawn: drawn.mean(axis=1))
        rows.append(
            Turned(
                angle, len(images), float(right.mean()), float(losses.mean()), (interval.low, interval.high)
            )
        )
    return rows


def turn(image: UInt8Array, degrees: float, center: tuple[float, float] | None = None) -> UInt8Array:
    """The picture turned about a point (x, y), its middle by default; its border is repeated.

    Args:
        degrees: counterclockwise.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(center or ((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned: UInt8Array = cv2.warpAffine(  # type: ignore[assignment]
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return turned


def roll(landmarks: npt.NDArray[np.float64]) -> float:
    """Angle of the line through the eyes' centres of 68 landmarks (68, 2), degrees, positive where the
    right one in the picture lies lower."""
    left, right = (landmarks[eye].mean(axis=0) for eye in EYES)
    across, down = right - left
    return math.degrees(math.atan2(down, across))


def read_landmarks(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Landmarks (68, 2) of the pictures of an archive by `split/name`.

    Raises:
        DataError: no archive, or no landmarks in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            rows = list(csv.reader(io.TextIOWrapper(archive.open(LANDMARKS_NAME), "utf-8")))
        # Each row: name, x0, y0, x1, …; a row with more or fewer numbers is none of 68 landmarks.
        return {row[0]: np.array(row[1:], np.float64).reshape(68, 2) for row in rows if row}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except KeyError:
        raise DataError(f"{path}: no {LANDMARKS_NAME} in this archive") from None
    except (*ZIP_ERRORS, csv.Error, ValueError) as error:
        raise DataError(f"{path}: {LANDMARKS_NAME} cannot be read ({error})") from None


def measure_tilt(path: Path, classifier: Classifier, turned: Sequence[Turned]) -> Tilt:
    """Tilt of the faces of the Training split with landmarks."""
    landmarks = read_landmarks(path)
    angles = {
        Path(name).stem: roll(points) for name, points in landmarks.items() if name.startswith("train/")
    }
    data = yolo.read(path).split("Training")
    data = data.select([name in angles for name in data.names])
    if not len(data):
        raise DataError(f"{path}: {LANDMARKS_NAME} names no picture of the Training split")
    rolls = np.array([angles[name] for name in data.names])
    loss = np.interp(np.abs(rolls), [row.degrees for row in turned], [row.loss for row in turned])
    detector, contract = load_detector("edge"), classifier.contract
    same = []
    pairs = list(zip(data.images, rolls.tolist(), strict=True))
    for image, angle in track(pairs, "faces with landmarks", len(pairs)):
        found = detector.detect(image)
        if len(found) != 1:
            continue
        box = found[0].box
        upright = turn(image, angle, (box.x + box.w / 2, box.y + box.h / 2))
        region = crop_region(box, contract.crop)
        crops = [crop_face(picture, region, contract.input) for picture in (image, upright)]
        first, second = classifier.predict(crops).argmax(axis=1)
        same.append(bool(first == second))
    if not same:
        raise DataError(f"{path}: no picture in which exactly one face is found")
    quantiles = np.quantile(np.abs(rolls), QUANTILES)
    return Tilt(
        len(rolls),
        {f"{share:.0%}": round(float(value), 1) for share, value in zip(QUANTILES, quantiles, strict=True)},
        float(loss.mean()),
        len(same),
        1 - float(np.mean(same)),
    )


def _angles(text: str) -> list[float]:
    try:
        angles = sorted({float(word) for word in text.split(",")})
    except ValueError:
        raise UsageError(f"--degrees takes angles with commas between. Received: {text!r}") from None
    if not (angles[0] > 0 and angles[-1] <= 180):
        raise UsageError(f"--degrees must be above 0 and at most 180. Received: {text!r}")
    return angles


def _as_text(model: str, turned: Sequence[Turned], tilt: Tilt | None) -> str:
    lines = [f"{model}, {turned[0].pictures} pictures", "turned by    top-1    lost, points [95 %]"]
    for row in turned:
        lost, low, high = (100 * value for value in (row.loss, *row.loss_interval))
        lines.append(f"{row.degrees:>6g} deg  {row.top1:7.2%}    {lost:+.2f} [{low:+.2f}, {high:+.2f}]")
    if tilt:
        lines += [
            f"{tilt.faces} faces with landmarks; tilted by at most, degrees: "
            + ", ".join(f"{share} {value:g}" for share, value in tilt.quantiles.items()),
            f"mean loss at their angles: {100 * tilt.loss:.2f} points",
            f"{tilt.found} of them found alone; turned upright, {tilt.changed:.1%} get another answer",
        ]
    return "\n".join(lines)

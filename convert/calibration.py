"""Representative pictures for the quantizer's ranges, drawn from Training alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.contract import InputSpec
from edge_runtime.datasets import LabeledImages, fit_pictures
from edge_runtime.errors import DataError, UsageError

CALIBRATION_SPLIT = "Training"


@dataclass(frozen=True)
class CalibrationSet:
    """What the quantizer sees, and how to draw it again."""

    pixels: npt.NDArray[np.uint8]
    """uint8 (N + 2, height, width, channels): the drawn pictures, then one black and one white.

    Both extremes make the input's scale 1 and its zero point -128, so that int8 is `pixel - 128`."""
    record: dict[str, Any]
    """Split, count, seed and digests for `ModelContract.quantization`."""


def draw(data: LabeledImages, spec: InputSpec, count: int, seed: int) -> CalibrationSet:
    """Draw `count` distinct Training pictures that occur in no other split.

    Raises:
        UsageError: fewer than one picture asked for, or a seed below 0.
        DataError: no Training split, or not enough pictures in it.
    """
    if count < 1:
        raise UsageError(f"calibration needs at least one image. Received: {count}")
    if seed < 0:
        raise UsageError(f"--seed must not be below 0. Received: {seed}")
    training = data.split(CALIBRATION_SPLIT)
    elsewhere = other_split_hashes(data)
    own = [item.tobytes() for item in training.hashes()]
    first_seen: dict[bytes, int] = {}
    for index, digest in enumerate(own):
        if digest not in elsewhere:
            first_seen.setdefault(digest, index)
    candidates = np.fromiter(first_seen.values(), np.int64)
    if len(candidates) < count:
        raise DataError(
            f"{data.source}: {len(candidates)} distinct {CALIBRATION_SPLIT} images occur in no other "
            f"split, {count} were asked for; lower --calibration-images"
        )
    chosen = np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))
    record = {
        "split": CALIBRATION_SPLIT,
        "images": count,
        "seed": seed,
        "left_out_shared_with_other_splits": sum(digest in elsewhere for digest in own),
    }
    return _finish(training.images[chosen], spec, record)


def from_list(chosen: LabeledImages, data: LabeledImages, spec: InputSpec) -> CalibrationSet:
    """Take pictures that a person chose, unless one of them occurs outside of Training in `data`.

    Raises:
        DataError: a chosen picture is one of a split that figures are reported on.
    """
    elsewhere = other_split_hashes(data)
    hits = [i for i, item in enumerate(chosen.hashes()) if item.tobytes() in elsewhere]
    if hits:
        raise DataError(
            f"{chosen.source}: {len(hits)} calibration images (the first is number {hits[0]}) also occur "
            f"outside of {CALIBRATION_SPLIT} in {data.source}; remove them, or let --data be drawn from"
        )
    record = {"split": "given by hand", "images": len(chosen), "seed": None}
    return _finish(chosen.images, spec, record)


def other_split_hashes(data: LabeledImages) -> set[bytes]:
    """Pixel hashes of all pictures outside of Training."""
    outside = data.select(data.splits != CALIBRATION_SPLIT)
    return {item.tobytes() for item in outside.hashes()} if len(outside) else set()


def _finish(images: npt.NDArray[np.uint8], spec: InputSpec, record: dict[str, Any]) -> CalibrationSet:
    pixels = fit_pictures(images, spec)
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    extremes = np.zeros((2, *spec.shape[1:]), np.uint8)
    extremes[1] = 255
    extended = {**record, "pixels_sha256": digest, "extremes": "one all-0 and one all-255 image"}
    return CalibrationSet(np.concatenate([pixels, extremes]), extended)

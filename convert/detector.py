"""Calibration of face detectors (contract task `detect`)."""

from __future__ import annotations

import hashlib

import numpy as np

from convert.calibration import CalibrationSet
from convert.detector_exam import frames
from edge_runtime.contract import ModelContract
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.errors import DataError, UsageError

TRAINING = "Training"


def draw_frames(data: BoxedImages, contract: ModelContract, count: int, seed: int) -> CalibrationSet:
    """Draw Training pictures with faces, framed as the device frames them, and add both extremes.

    Pictures that occur in another split are not drawn.

    Raises:
        UsageError: a seed below 0.
        DataError: no Training split, or not enough pictures with faces in it.
    """
    if seed < 0:
        raise UsageError(f"--seed must not be below 0. Received: {seed}")
    training = data.split(TRAINING)
    elsewhere = {image.tobytes() for image in data.select(data.splits != TRAINING).images}
    candidates = [
        row
        for row, (image, boxes) in enumerate(zip(training.images, training.boxes, strict=True))
        if len(boxes) and image.tobytes() not in elsewhere
    ]
    if not 1 <= count <= len(candidates):
        raise DataError(
            f"{data.source}: {len(candidates)} {TRAINING} pictures show faces, {count} were asked for; "
            "change --calibration-images"
        )
    chosen = np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))
    pixels = frames([training.images[row] for row in chosen.tolist()], contract)
    extremes = np.zeros((2, *contract.input.shape[1:]), np.uint8)
    extremes[1] = 255
    record = {
        "split": TRAINING,
        "images": count,
        "seed": seed,
        "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "extremes": "one all-0 and one all-255 image",
    }
    return CalibrationSet(np.concatenate([pixels, extremes]), record)

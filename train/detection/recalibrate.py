"""`python -m train calibrate` for detectors: threshold and second look of a converted file, chosen anew."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_runtime.datasets import yolo
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.detectors.edge import EdgeDetector
from edge_runtime.detectors.letterbox import letterbox
from edge_runtime.detectors.looking import Answers
from edge_runtime.errors import DataError, UsageError
from edge_runtime.modelfile import embed_tflite, split_tflite
from edge_runtime.preprocess import UInt8Array
from train.detection.evaluate import LEAST_SCORE, Quality, quality, threshold_for_alarms
from train.detection.loop import THRESHOLD_BOUNDS, prepare
from train.detection.recipe import DetectionRecipe, second_look
from train.files import write_atomically
from train.quiet import without_greetings


def recalibrate_detector(
    model_file: Path, recipe: DetectionRecipe, data_path: Path, out: Path
) -> tuple[float, Quality | None]:
    """Write a detector with the recipe's second look and a threshold chosen on pictures without people.

    Args:
        model_file: `.tflite` file with a contract.
        data_path: folder or zip archive in YOLO layout; the recipe says which pictures are without people.
        out: file to write.

    Returns:
        The threshold, and what it gives on the recipe's validation split, if the data have it.

    Raises:
        ContractError: no such file, damaged, without a contract, or no detector.
        UsageError: `out` is no `.tflite`, or a recipe that names no pictures without people.
        DataError: unreadable data, none of these pictures, or `out` cannot be written.
    """
    if out.suffix != ".tflite":
        raise UsageError(f"--out must end in .tflite. Received: {out}")
    if not recipe.data.alarm_prefix:
        raise UsageError(f"recipe {recipe.name!r}: its [data] has no alarm_prefix, pictures without people")
    with without_greetings():
        released = EdgeDetector.load(model_file)
    file = released.file
    decoding = replace(released.decoding, second_look=second_look(recipe.contract.second_look))
    seeing = replace(file, contract=replace(file.contract, decoding=decoding.to_json()))
    detector = EdgeDetector(seeing, released.backend, LEAST_SCORE)
    prepared = prepare(yolo.read(data_path), recipe)
    if prepared.alarms is None:
        raise DataError(
            f"{data_path}: no pictures {recipe.data.alarm_prefix}* of split {recipe.data.split}; the "
            "threshold is chosen on such pictures, without people"
        )
    detect = partial(_detect_in_frame, detector, frame_hw=recipe.contract.frame)
    alarms = _answers(detect, prepared.alarms, "without people")
    threshold = round(
        threshold_for_alarms(alarms, recipe.contract.alarms_per_picture, *THRESHOLD_BOUNDS), 4
    )
    decoding = replace(decoding, score_threshold=threshold)
    kept = {key: value for key, value in file.contract.validation.items() if key == "conversion"}
    figures = None
    if prepared.validation is not None:
        found = _answers(detect, prepared.validation, recipe.data.validation_split)
        figures = quality(found, prepared.validation, alarms, threshold)
        kept = {
            "split": recipe.data.validation_split,
            "data_sha256": prepared.validation.digest(),
            "model": f"this file, {detector.backend.description}",
            **asdict(figures),
            **kept,
        }
    detector.close()
    # However often it was calibrated since.
    converted = file.contract.producer.get("calibrated_from_sha256", file.sha256)
    calibrated = replace(
        file.contract,
        decoding=decoding.to_json(),
        validation=kept,
        producer={**file.contract.producer, "calibrated_from_sha256": converted},
    )
    content = embed_tflite(split_tflite(file.data, model_file)[0], calibrated)
    write_atomically(out, lambda temporary: temporary.write_bytes(content))
    return threshold, figures


def _detect_in_frame(detector: EdgeDetector, picture: UInt8Array, frame_hw: tuple[int, ...]) -> Answers:
    """Answers, in the picture's pixels, to a picture that is laid into a frame, as large as it fits."""
    if not frame_hw:
        return detector.detect_boxes(picture)
    frame = np.empty(frame_hw, np.uint8)
    factor = letterbox(picture, frame, fill=0)
    boxes, scores = detector.detect_boxes(frame)
    return boxes / np.float32(factor), scores


def _answers(detect: Callable[[UInt8Array], Answers], data: BoxedImages, what: str) -> list[Answers]:
    pictures = tqdm(data.images, desc=f"pictures {what}", file=sys.stderr, leave=False, mininterval=1)
    return [detect(picture) for picture in pictures]

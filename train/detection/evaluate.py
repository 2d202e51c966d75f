"""How well a Keras detector finds faces, through the device's own decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.backends.base import TensorInfo
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.detectors.decoding import Decoder, Decoding, SecondLook
from edge_runtime.detectors.letterbox import letterbox
from edge_runtime.detectors.looking import cut_around, judge_all, wanted_looks
from edge_runtime.metrics.detection import average_precision, match_detections
from edge_runtime.metrics.intervals import wilson
from train.models.edge_face import OUTPUTS

LEAST_SCORE = 0.02
"""Answers below it do not enter a precision-recall curve."""
TALL_FACE = 0.1
"""Height of a face, fraction of the picture's, from which on it must be found."""
BATCH = 64

Detections = list[tuple[npt.NDArray, npt.NDArray]]


@dataclass(frozen=True)
class Quality:
    """Figures of one model on one set of pictures."""

    pictures: int
    faces: int
    average_precision: float
    """At IoU 0.5, all faces."""
    tall_faces: int
    """Faces taller than a tenth of their picture."""
    recall_tall: float
    """Share of them that is found at the threshold, at IoU 0.5."""
    recall_tall_interval: tuple[float, float]
    threshold: float
    false_alarms: int
    """Detections at the threshold in pictures without people."""
    empty_pictures: int


def detect_all(model: Any, data: BoxedImages, decoding: Decoding, least_score: float) -> Detections:
    """Boxes (N, 4) in pixels and scores (N,) of every picture, in the convention trained on.

    With the second looks of the decoding, if it has any.
    """
    _, height, width, _ = model.input_shape
    tensors = [
        TensorInfo(name, (1, *(int(size) for size in shape[1:])), np.dtype(np.float32))
        for name, shape in zip(OUTPUTS, model.output_shape, strict=True)
    ]
    decode = Decoder(decoding, (height, width), tensors, least_score)
    spec = decoding.second_look
    result: Detections = []
    for start in range(0, len(data), BATCH):
        images = data.images[start : start + BATCH]
        pixels = np.empty((len(images), height, width), np.uint8)
        scales = [letterbox(image, out, decoding.fill) for image, out in zip(images, pixels, strict=True)]
        found = [
            (boxes / np.float32(scale), scores)
            for scale, (boxes, scores) in zip(scales, map(decode, _outputs(model, pixels)), strict=True)
        ]
        result += found if spec is None else _look_again(model, images, found, decode, spec)
    return result


def _outputs(model: Any, pixels: npt.NDArray[np.uint8]) -> Iterator[list[npt.NDArray]]:
    """Raw outputs of each picture (N, height, width)."""
    for start in range(0, len(pixels), BATCH):
        batch = pixels[start : start + BATCH, ..., None].astype(np.float32)
        outputs = [np.asarray(output) for output in model.predict_on_batch(batch)]
        for row in range(len(batch)):
            yield [output[row : row + 1] for output in outputs]


def _look_again(
    model: Any,
    images: Sequence[npt.NDArray[np.uint8]],
    found: Detections,
    decode: Decoder,
    spec: SecondLook,
) -> Detections:
    """The second looks at many pictures, in batches."""
    _, height, width, _ = model.input_shape
    places = [boxes[: wanted_looks(scores, spec)].tolist() for boxes, scores in found]
    cuts = np.empty((sum(map(len, places)), height, width), np.uint8)
    rows = iter(cuts)
    views = [
        [cut_around(image, at, spec.face_share, next(rows), decode.decoding.fill) for at in frame_places]
        for image, frame_places in zip(images, places, strict=True)
    ]
    outputs = _outputs(model, cuts)
    result = []
    for first, frame_views, frame_places in zip(found, views, places, strict=True):
        looks = [
            view.look(decode, next(outputs), at, spec.min_iou)
            for view, at in zip(frame_views, frame_places, strict=True)
        ]
        result.append(judge_all(first, looks, decode.decoding.nms_iou))
    return result


def threshold_for_alarms(detections: Detections, per_picture: float, least: float, most: float) -> float:
    """Lowest score, within bounds, at which pictures without people give at most so many detections."""
    scores = np.sort(np.concatenate([scores for _, scores in detections]))[::-1]
    allowed = int(per_picture * len(detections))
    if len(scores) <= allowed:
        return least
    return float(np.clip(scores[allowed] + 1e-4, least, most))


def quality(detections: Detections, data: BoxedImages, alarms: Detections, threshold: float) -> Quality:
    """Judge detections (from `detect_all` with a low score) against the boxes of `data`.

    Args:
        alarms: detections in pictures without people.
    """
    tall = [
        boxes[boxes[:, 3] > TALL_FACE * image.shape[0]]
        for boxes, image in zip(data.boxes, data.images, strict=True)
    ]
    chosen = [(boxes[scores >= threshold], scores[scores >= threshold]) for boxes, scores in detections]
    matches = match_detections(chosen, tall)
    found = int(matches.hits.sum())
    low, high = wilson(found, matches.faces) if matches.faces else (0.0, 1.0)
    every = match_detections(detections, data.boxes)
    return Quality(
        pictures=len(data),
        faces=every.faces,
        average_precision=round(average_precision(every), 4) if every.faces else 0.0,
        tall_faces=matches.faces,
        recall_tall=round(found / max(matches.faces, 1), 4),
        recall_tall_interval=(round(low, 4), round(high, 4)),
        threshold=round(threshold, 4),
        false_alarms=sum(int((scores >= threshold).sum()) for _, scores in alarms),
        empty_pictures=len(alarms),
    )

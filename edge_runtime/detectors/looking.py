"""A second look at what may be a face: the same network sees the place again, at the size it knows best.

A frame in a picture of 160x120 leaves a small face few pixels, and much of a room looks like one from afar.
Each of the first look's answers is cut out of the frame so that the face takes a given share of the
picture's height; what the network says there decides as much as what it said first, and says better where
the face is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.detectors.decoding import Decoder, Place, SecondLook
from edge_runtime.detectors.suppression import FloatArray, merge_overlapping
from edge_runtime.preprocess import UInt8Array

Answers = tuple[FloatArray, FloatArray]
"""Boxes (N, 4) x, y, w, h and scores (N,), best first."""
Found = tuple[Place, float] | None
"""Box and score of the best answer at a place, if there is one."""
NOTHING_LOGIT = math.log(0.01 / 0.99)
"""What a look says that finds no face at the place: 0.01, the score of an untrained cell."""


@dataclass(frozen=True)
class View:
    """Where a picture lies in the frame that it was cut from."""

    origin: tuple[float, float]
    """Frame coordinates of the picture's upper left corner, pixels."""
    step: tuple[float, float]
    """Pixels of the frame per pixel of the picture, across and down."""

    def look(self, decoder: Decoder, outputs: Sequence[npt.NDArray], place: Place, min_iou: float) -> Found:
        """What the network says at a place in pixels of the frame, as the answer is.

        Args:
            outputs: raw tensors of this picture.
            min_iou: answers that overlap the place less are other faces.
        """
        (left, top), (across, down) = self.origin, self.step
        x, y, w, h = place
        inside = ((x - left) / across, (y - top) / down, w / across, h / down)
        found = decoder.best_at(outputs, inside, min_iou)
        if found is None:
            return None
        (x, y, w, h), score = found
        return (x * across + left, y * down + top, w * across, h * down), score


def cut_around(luma: UInt8Array, place: Place, face_share: float, out: UInt8Array, fill: int) -> View:
    """Cut a picture out of a frame in which a box takes `face_share` of the height.

    Args:
        luma: uint8 (H, W).
        place: the box in pixels of the frame; its longer side counts.
        out: uint8 (height, width), filled; what lies outside of the frame becomes `fill`.
    """
    rows, columns = luma.shape
    height, width = out.shape
    x, y, w, h = place
    step = max(w, h, 1.0) / (face_share * height)
    left, top = x + w / 2 - step * width / 2, y + h / 2 - step * height / 2
    # Halving is quick and does not alias; the rest, less than a factor of two, is bilinear.
    halvings = max(0, math.floor(math.log2(step)))
    x_span = _span(left, step, width, columns, 1 << halvings)
    y_span = _span(top, step, height, rows, 1 << halvings)
    part = luma[y_span.first : y_span.last, x_span.first : x_span.last]
    for _ in range(halvings):
        size = (max(1, part.shape[1] // 2), max(1, part.shape[0] // 2))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    target = out[y_span.start : y_span.end, x_span.start : x_span.end]
    if target.size < out.size:
        out[:] = fill
    cv2.resize(part, (target.shape[1], target.shape[0]), dst=target, interpolation=cv2.INTER_LINEAR)
    steps = (x_span.step, y_span.step)
    return View((x_span.first - x_span.start * steps[0], y_span.first - y_span.start * steps[1]), steps)


@dataclass(frozen=True)
class _Span:
    """Part of a frame's side, and the part of the picture's side that it fills; ends are exclusive."""

    first: int
    last: int
    start: int
    end: int

    @property
    def step(self) -> float:
        return (self.last - self.first) / (self.end - self.start)


def _span(left: float, step: float, extent: int, limit: int, multiple: int) -> _Span:
    """What of `extent` pixels, `step` pixels of the frame each, from `left` on lies in 0..limit.

    The part of the frame is cut down to a multiple of `multiple`, where it has as many pixels.
    """
    first = min(max(0, math.floor(left)), limit - 1)
    last = max(min(limit, math.ceil(left + step * extent)), first + 1)
    if last - first >= multiple:
        last -= (last - first) % multiple
    start = min(max(0, round((first - left) / step)), extent - 1)
    end = max(min(extent, round((last - left) / step)), start + 1)
    return _Span(first, last, start, end)


def wanted_looks(scores: FloatArray, spec: SecondLook) -> int:
    """How many of a first look's answers, best first, get a second one."""
    return min(int((scores >= spec.score_threshold).sum()), spec.most)


def judge_all(first: Answers, looks: Sequence[Found], nms_iou: float) -> Answers:
    """Join the answers of a first look with the second looks at the best of them.

    Args:
        first: in pixels of the frame; answers without a second look keep their scores.
        looks: what the network says at each of the first boxes, likewise.
    """
    boxes, scores = first
    count = len(looks)
    if not count:
        return first
    seen = zip(boxes[:count].tolist(), scores[:count].tolist(), looks, strict=True)
    judged = [judge(place, score, found) for place, score, found in seen]
    boxes = np.concatenate([np.array([box for box, _ in judged], np.float32), boxes[count:]])
    scores = np.concatenate([np.array([score for _, score in judged], np.float32), scores[count:]])
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    merged, kept = merge_overlapping(corners, scores, nms_iou)
    merged[:, 2:] -= merged[:, :2]
    return merged, kept


def judge(place: Place, score: float, found: Found) -> tuple[Place, float]:
    """Box and score of one answer after the second look: its box, and the mean of both logits."""
    if found is None:
        return place, _sigmoid((_logit(score) + NOTHING_LOGIT) / 2)
    return found[0], _sigmoid((_logit(score) + _logit(found[1])) / 2)


def _logit(score: float) -> float:
    score = min(max(score, 1e-4), 1 - 1e-4)
    return math.log(score / (1 - score))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))

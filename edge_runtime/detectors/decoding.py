"""From the raw outputs of an anchor-free detector to face boxes, vectorized in numpy.

Every cell of an output map gives a logit that a face's centre lies in it, and the distances from the
cell's centre to the box's left, top, right and bottom edge in strides, never negative (Tian et al.
2019, arXiv 1904.01355).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from edge_runtime.backends.base import TensorInfo
from edge_runtime.boxmap import BoxMap
from edge_runtime.detectors.suppression import (
    MAX_CANDIDATES,
    Answer,
    FloatArray,
    by_score,
    iou_of,
    merge_overlapping,
    suppress_few,
    weighted_mean,
)
from edge_runtime.errors import ContractError
from edge_runtime.numbers import whole_number

Place = tuple[float, float, float, float]
"""x, y, w, h of one box: a few numbers cost less as such than in an array."""
METHOD = "cells-ltrb"
"""The only box parametrization that this release decodes."""
FEW = 12
"""Most cells that are decoded one by one."""


@dataclass(frozen=True)
class SecondLook:
    """How answers are looked at again, closer (`edge_runtime.detectors.looking`)."""

    score_threshold: float = 0.1
    """Answers of the first look from this probability on get a second one; the final threshold is
    `Decoding.score_threshold`."""
    most: int = 6
    """Second looks at one frame, at the best answers; bounds the time."""
    face_share: float = 0.35
    """Height of the face in the second look, fraction of the picture's."""
    min_iou: float = 0.25
    """An answer of the second look that overlaps the first one's box less is another face."""

    def first_problem(self) -> str | None:
        for name in ("score_threshold", "face_share", "min_iou"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
                return f"second_look.{name} must be between 0 and 1. Received: {value!r}"
        if (
            isinstance(self.most, bool)
            or not isinstance(self.most, int)
            or not 1 <= self.most <= MAX_CANDIDATES
        ):
            return f"second_look.most must be 1..{MAX_CANDIDATES}. Received: {self.most!r}"
        return None


@dataclass(frozen=True)
class Decoding:
    """The `decoding` object of a detection model's contract."""

    outputs: tuple[str, ...]
    """What each output tensor of the graph is, in the graph's order: `score_S` or `box_S`, S the
    stride in input pixels."""
    score_threshold: float = 0.5
    """Faces below this probability are not reported."""
    nms_iou: float = 0.4
    """Answers that overlap by more are one face."""
    max_faces: int = 50
    fill: int = 0
    """Luma right of or below a frame whose aspect is not the input's; the frame keeps its aspect and
    lies in the upper left corner."""
    box_map: BoxMap = field(default_factory=BoxMap)
    """From the boxes that the network was trained on to `edge_runtime.preprocess.Box`."""
    second_look: SecondLook | None = None
    """None: the first look decides."""
    method: str = METHOD

    def __post_init__(self) -> None:
        if self.method != METHOD:
            raise ContractError(
                f"decoding method {self.method!r} is not supported; this edge-fer reads {METHOD!r}. "
                "Install the edge-fer release that made the model"
            )
        problem = self._first_problem()
        if problem:
            raise ContractError(f"decoding: {problem}")

    def _first_problem(self) -> str | None:
        if not all(isinstance(name, str) for name in self.outputs):
            return f"outputs must be names. Received: {self.outputs!r}"
        for name in ("score_threshold", "nms_iou", "max_faces", "fill"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return f"{name} must be a number. Received: {value!r}"
        for name in ("max_faces", "fill"):
            if not isinstance(getattr(self, name), int):
                return f"{name} must be a whole number. Received: {getattr(self, name)!r}"
        if not self.outputs or len(set(self.outputs)) != len(self.outputs):
            return f"outputs must be distinct names. Received: {self.outputs!r}"
        for stride in self.strides:
            if not 1 <= stride <= 256 or f"box_{stride}" not in self.outputs:
                return f"outputs must be pairs of score_S and box_S. Received: {self.outputs!r}"
        if len(self.outputs) != 2 * len(self.strides):
            return f"outputs must be pairs of score_S and box_S. Received: {self.outputs!r}"
        if not 0 < self.score_threshold < 1:
            return f"score_threshold must be between 0 and 1. Received: {self.score_threshold!r}"
        if not 0 < self.nms_iou <= 1:
            return f"nms_iou must be above 0, at most 1. Received: {self.nms_iou!r}"
        if not 1 <= self.max_faces <= MAX_CANDIDATES:
            return f"max_faces must be 1..{MAX_CANDIDATES}. Received: {self.max_faces!r}"
        if not 0 <= self.fill <= 255:
            return f"fill must be 0..255. Received: {self.fill!r}"
        return self.second_look.first_problem() if self.second_look else None

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels per cell of each output map, in the order of the score tensors."""
        names = (name.removeprefix("score_") for name in self.outputs if name.startswith("score_"))
        return tuple(whole_number(name) or 0 for name in names)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "outputs": list(self.outputs)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Decoding:
        """Read the contract's object.

        Raises:
            ContractError: missing, an unknown or missing key, or a value out of range.
        """
        try:
            values = dict(document or {})
            values["outputs"] = tuple(values["outputs"])
            values["box_map"] = BoxMap(**values.get("box_map", {}))
            if values.get("second_look") is not None:
                values["second_look"] = SecondLook(**values["second_look"])
            return cls(**values)
        except KeyError as error:
            raise ContractError(f"decoding lacks the key {error}") from None
        except (TypeError, ValueError) as error:
            raise ContractError(f"decoding is malformed ({error})") from None


@dataclass(frozen=True)
class _Level:
    score_index: int
    box_index: int
    stride: int
    columns: int
    centers: FloatArray
    """(cells, 2) x, y of the cell centres, input pixels."""
    least: npt.NDArray
    """Smallest raw score value that reaches the threshold, () in a type that compares without a cast."""
    score: TensorInfo
    box: TensorInfo
    score_of: Callable[[float], float]
    """Probability of a raw score."""
    distance_of: Callable[[float], float]
    """Input pixels of a raw distance."""

    def answers_within(self, outputs: Sequence[npt.NDArray], place: Answer) -> list[Answer]:
        """The answers of the cells whose centres lie within a place."""
        stride, least, distance_of = self.stride, float(self.least), self.distance_of
        _, left, top, right, bottom = place
        first = max(0, math.ceil(left / stride - 0.5))
        last = min(self.columns, math.floor(right / stride - 0.5) + 1)
        start, end = max(0, math.ceil(top / stride - 0.5)), math.floor(bottom / stride - 0.5) + 1
        found: list[Answer] = []
        if last <= first or end <= start:
            return found
        scores = outputs[self.score_index][0, start:end, first:last, 0].tolist()
        boxes = outputs[self.box_index][0, start:end, first:last]
        for row, row_scores in enumerate(scores):
            if max(row_scores) < least:
                continue
            y = (start + row + 0.5) * stride
            for column, (raw, distances) in enumerate(zip(row_scores, boxes[row].tolist(), strict=True)):
                if raw >= least:
                    x = (first + column + 0.5) * stride
                    before_x, before_y, after_x, after_y = map(distance_of, distances)
                    found.append((self.score_of(raw), x - before_x, y - before_y, x + after_x, y + after_y))
        return found


class Decoder:
    """Turns raw output tensors into boxes in input pixels; float and integer tensors alike."""

    def __init__(
        self,
        decoding: Decoding,
        input_hw: tuple[int, int],
        tensors: Sequence[TensorInfo],
        score_threshold: float | None = None,
    ) -> None:
        """
        Args:
            tensors: the graph's outputs, in its order.
            score_threshold: replaces the contract's, 0..1 (exclusive).

        Raises:
            ContractError: a tensor's shape is not what the contract says.
        """
        if len(tensors) != len(decoding.outputs):
            raise ContractError(
                f"the graph has {len(tensors)} outputs, the contract lists {list(decoding.outputs)}"
            )
        self.decoding = decoding
        threshold = decoding.score_threshold if score_threshold is None else score_threshold
        logit = math.log(threshold / (1 - threshold))
        self._levels = [_level(decoding, tensors, input_hw, stride, logit) for stride in decoding.strides]

    def __call__(self, outputs: Sequence[npt.NDArray]) -> tuple[FloatArray, FloatArray]:
        """Decode and merge.

        Args:
            outputs: raw tensors in the graph's order.

        Returns:
            boxes (N, 4) float32 x, y, w, h in input pixels in the convention of the training boxes, and
            scores (N,) float32 0..1, best first.
        """
        chosen = self._choose(outputs)
        if not chosen:
            return np.empty((0, 4), np.float32), np.empty(0, np.float32)
        count = sum(len(cells) for *_, cells in chosen)
        decode = _decode_few if count <= FEW else _decode_many
        merged, kept = decode(chosen, self.decoding.nms_iou)
        merged[:, 2:] -= merged[:, :2]
        return merged[: self.decoding.max_faces], kept[: self.decoding.max_faces]

    def best_at(
        self, outputs: Sequence[npt.NDArray], place: Place, min_iou: float
    ) -> tuple[Place, float] | None:
        """The best answer at a place, merged with the others there that overlap it; None without one.

        Cells outside of the place are not asked: the centre of a face that is there lies in it.

        Args:
            place: in input pixels.
            min_iou: answers that overlap the place less are other faces.

        Returns:
            The box in input pixels, and its score 0..1.
        """
        x, y, w, h = place
        here = (1.0, x, y, x + w, y + h)
        near: list[Answer] = []
        for level in self._levels:
            near += level.answers_within(outputs, here)
        near.sort(key=by_score, reverse=True)
        best = next((answer for answer in near if iou_of(here, answer) >= min_iou), None)
        if best is None:
            return None
        nms_iou = self.decoding.nms_iou
        group = [other for other in near if other is best or iou_of(best, other) > nms_iou]
        left, top, right, bottom = weighted_mean(group)
        return (left, top, right - left, bottom - top), best[0]

    def _choose(self, outputs: Sequence[npt.NDArray]) -> list[_Chosen]:
        """The cells that reach the threshold, of the maps that have any."""
        chosen = []
        for level in self._levels:
            raw = outputs[level.score_index].reshape(-1)
            cells = (raw >= level.least).nonzero()[0]
            if len(cells):
                chosen.append((level, raw[cells], outputs[level.box_index].reshape(-1, 4)[cells], cells))
        return chosen


_Chosen = tuple[_Level, npt.NDArray, npt.NDArray, npt.NDArray]
"""Level, raw scores (n,), raw distances (n, 4) and numbers (n,) of the cells that reach the threshold."""


def _decode_many(chosen: Sequence[_Chosen], nms_iou: float) -> tuple[FloatArray, FloatArray]:
    """Merged corners (N, 4) and scores (N,), best first."""
    corners, logits = [], []
    for level, raw_scores, raw_distances, cells in chosen:
        logits.append(_dequantize(raw_scores, level.score))
        distances = _dequantize(raw_distances, level.box)
        distances *= level.stride
        distances[:, :2] *= -1
        distances[:, :2] += level.centers[cells]
        distances[:, 2:] += level.centers[cells]
        corners.append(distances)
    scores = (1 / (1 + np.exp(-np.concatenate(logits)))).astype(np.float32)
    return merge_overlapping(np.concatenate(corners), scores, nms_iou)


def _decode_few(chosen: Sequence[_Chosen], nms_iou: float) -> tuple[FloatArray, FloatArray]:
    """As `_decode_many`, in plain numbers: for a few cells, calls of numpy cost more than the sums."""
    found: list[Answer] = []
    for level, raw_scores, raw_distances, cells in chosen:
        columns, stride = level.columns, level.stride
        score_of, distance_of = level.score_of, level.distance_of
        for raw, distances, cell in zip(
            raw_scores.tolist(), raw_distances.tolist(), cells.tolist(), strict=True
        ):
            row, column = divmod(cell, columns)
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            left, top, right, bottom = map(distance_of, distances)
            found.append((score_of(raw), x - left, y - top, x + right, y + bottom))
    return suppress_few(found, nms_iou)


def cell_centers(input_hw: tuple[int, int], stride: int) -> FloatArray:
    """x, y of every cell's centre, (rows, columns, 2), input pixels."""
    rows, columns = (-(-size // stride) for size in input_hw)
    y, x = np.mgrid[0:rows, 0:columns]
    return ((np.stack([x, y], axis=-1) + 0.5) * stride).astype(np.float32)


def _level(
    decoding: Decoding,
    tensors: Sequence[TensorInfo],
    input_hw: tuple[int, int],
    stride: int,
    logit: float,
) -> _Level:
    score_index = decoding.outputs.index(f"score_{stride}")
    box_index = decoding.outputs.index(f"box_{stride}")
    centers = cell_centers(input_hw, stride)
    for index, channels in ((score_index, 1), (box_index, 4)):
        expected = (1, *centers.shape[:2], channels)
        if tensors[index].shape != expected:
            raise ContractError(
                f"output {index} has shape {tensors[index].shape}, {decoding.outputs[index]} needs "
                f"{expected}; convert the model again"
            )
    score, box = tensors[score_index], tensors[box_index]
    return _Level(
        score_index,
        box_index,
        stride,
        centers.shape[1],
        centers.reshape(-1, 2),
        _least_raw(logit, score),
        score,
        box,
        _of_raw(lambda value: 1 / (1 + math.exp(-value)), score, 1),
        _of_raw(lambda value: value, box, stride),
    )


def _least_raw(logit: float, tensor: TensorInfo) -> npt.NDArray:
    if not tensor.quantized:
        return np.array(logit)
    least = logit / tensor.scale + tensor.zero_point
    limits = np.iinfo(tensor.dtype)
    if least > limits.max:
        # No raw value reaches the threshold, and the tensor's type cannot say so.
        return np.array(least)
    return np.array(max(math.ceil(least), limits.min), tensor.dtype)


def _of_raw(
    function: Callable[[float], float], tensor: TensorInfo, factor: float
) -> Callable[[float], float]:
    """`function` of a tensor's real value times `factor` by its raw value; looked up if that has 8 bits."""
    zero, scale = (tensor.zero_point, tensor.scale) if tensor.quantized else (0, 1.0)
    scale *= factor

    def compute(raw: float) -> float:
        return function((raw - zero) * scale)

    if tensor.dtype.itemsize > 1:
        return compute
    # An index below zero counts from the end of a list, where the negative values of int8 stand.
    every_raw = np.arange(256, dtype=np.uint8).view(tensor.dtype)
    values = [compute(raw) for raw in every_raw.tolist()]
    return cast("Callable[[float], float]", values.__getitem__)


def _dequantize(values: npt.NDArray, tensor: TensorInfo) -> FloatArray:
    real = values.astype(np.float32)
    if tensor.quantized:
        real -= tensor.zero_point
        real *= tensor.scale
    return real

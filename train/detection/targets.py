"""From boxes to what every cell of the output maps should say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.detectors.decoding import cell_centers
from train.models.edge_face import STRIDES

FloatArray = npt.NDArray[np.float32]

SIZE_RANGES_PX = {8: (0.0, 40.0), 16: (30.0, np.inf)}
"""Longer side of the faces that each map answers for; between 30 and 40 pixels both do."""
CENTER_SHARE = 0.25
"""Cells whose centre is nearer to a face's centre than this share of its size are positive; those that
are nearest are, however small the face (centre sampling, Tian et al. 2019, arXiv 1904.01355)."""
IGNORED_SHARE = 0.4
"""Cells out to this share say neither face nor background."""
NEIGHBOUR_SIZES = 1.6
"""A face up to this factor outside of a map's sizes is ignored there, not background."""
LEAST_FACE_PX = 5.0
"""Smaller faces, and those of which less than `LEAST_VISIBLE` is in the picture, are ignored."""
LEAST_VISIBLE = 0.4


def assign(
    boxes: FloatArray, visible: FloatArray, input_hw: tuple[int, int]
) -> list[tuple[FloatArray, FloatArray]]:
    """Targets of one picture, by the strides in `STRIDES`.

    Args:
        boxes: (faces, 4) x, y, w, h in input pixels, cut at the picture's edges.
        visible: (faces,) share of the face's area inside of the picture, 0..1.

    Returns:
        Per map: score targets (rows, columns, 2) as label and weight, box targets (rows, columns, 5) as
        distances to left, top, right, bottom in strides and weight.
    """
    result = []
    # Small faces come last and take the cells that they share with large ones.
    order = np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")
    for stride in STRIDES:
        centers = cell_centers(input_hw, stride)
        score = np.zeros((*centers.shape[:2], 2), np.float32)
        score[..., 1] = 1
        box = np.zeros((*centers.shape[:2], 5), np.float32)
        for row in order:
            _assign_face(boxes[row], float(visible[row]), stride, centers, score, box)
        result.append((score, box))
    return result


def _assign_face(
    face: FloatArray,
    visible: float,
    stride: int,
    centers: FloatArray,
    score: FloatArray,
    box: FloatArray,
) -> None:
    x, y, w, h = (float(value) for value in face)
    offset = np.abs(centers - np.array([x + w / 2, y + h / 2], np.float32))
    size = max(w, h)
    low, high = SIZE_RANGES_PX[stride]
    reach = np.maximum(np.array([w, h]) * CENTER_SHARE, stride / 2)
    if size < LEAST_FACE_PX or visible < LEAST_VISIBLE:
        inside = (offset <= np.maximum(np.array([w, h]) / 2, stride / 2)).all(axis=-1)
        score[inside & (score[..., 0] == 0), 1] = 0
        return
    positive = (offset <= reach).all(axis=-1)
    if not low <= size <= high:
        if low / NEIGHBOUR_SIZES <= size <= high * NEIGHBOUR_SIZES:
            score[positive & (score[..., 0] == 0), 1] = 0
        return
    ignored = (offset <= np.array([w, h]) * IGNORED_SHARE).all(axis=-1)
    score[ignored & (score[..., 0] == 0), 1] = 0
    score[positive] = 1
    left_top = centers - np.array([x, y], np.float32)
    right_bottom = np.array([x + w, y + h], np.float32) - centers
    distances = np.concatenate([left_top, right_bottom], axis=-1) / stride
    box[positive, :4] = np.maximum(distances, 0)[positive]
    box[positive, 4] = 1


def normalize(targets: list[npt.NDArray], box_weight: float) -> list[npt.NDArray]:
    """Divide all weights of a batch by its number of positive cells, over both maps.

    Args:
        targets: per output (N, rows, columns, 2 or 5), in the order of the model's outputs.
        box_weight: weight of the boxes' loss beside that of the scores.
    """
    positives = max(1.0, sum(float(t[..., 4].sum()) for t in targets if t.shape[-1] == 5))
    for target in targets:
        target[..., -1] *= (box_weight if target.shape[-1] == 5 else 1.0) / positives
    return targets

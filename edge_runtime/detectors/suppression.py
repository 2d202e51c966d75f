"""Greedy suppression of overlapping answers, in numpy for many and in plain numbers for a few.

Overlapping answers are merged into their score-weighted mean (Bazarevsky et al. 2019, arXiv 1907.05047),
which trembles less from frame to frame than the best one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Answer = tuple[float, float, float, float, float]
"""Score, left, top, right, bottom."""
by_score = itemgetter(0)
"""Sorts answers in reverse, best first; equals keep their order, as `merge_overlapping` keeps it."""
MAX_CANDIDATES = 128
"""Answers, best first, that enter the merging: bounds its time in a crowd."""


def merge_overlapping(
    corners: FloatArray, scores: FloatArray, iou_threshold: float
) -> tuple[FloatArray, FloatArray]:
    """Greedy suppression in which a kept box becomes the score-weighted mean of what it suppresses.

    Args:
        corners: (N, 4) left, top, right, bottom.
        scores: (N,) 0..1.

    Returns:
        corners (M, 4) and scores (M,), best first; a score is that of its group's best.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    corners, scores = corners[order], scores[order]
    overlap = _iou(corners) > iou_threshold
    np.fill_diagonal(overlap, True)
    alive = np.ones(len(scores), bool)
    groups, bests = [], []
    while True:
        best = int(alive.argmax())
        if not alive[best]:
            break
        group = overlap[best] & alive
        groups.append(group)
        bests.append(best)
        alive ^= group
    # One product instead of a sum per group: faces are few, calls of numpy are what takes the time.
    members = np.array(groups, np.float32).reshape(len(groups), len(scores)) * scores
    merged = members @ corners / members.sum(axis=1, keepdims=True)
    return merged.astype(np.float32), scores[bests].astype(np.float32)


def suppress_few(found: list[Answer], iou_threshold: float) -> tuple[FloatArray, FloatArray]:
    """As `merge_overlapping`, in plain numbers: for few answers, calls of numpy cost more than the sums."""
    found.sort(key=by_score, reverse=True)
    merged, kept = [], []
    while found:
        best = found[0]
        group = [best]
        apart: list[Answer] = []
        for other in found[1:]:
            (group if iou_of(best, other) > iou_threshold else apart).append(other)
        merged.append(weighted_mean(group))
        kept.append(best[0])
        found = apart
    return np.array(merged, np.float32), np.array(kept, np.float32)


def _iou(corners: FloatArray) -> FloatArray:
    """Intersection over union of every box with every other, (N, N)."""
    top_left = np.maximum(corners[:, None, :2], corners[None, :, :2])
    sides = np.minimum(corners[:, None, 2:], corners[None, :, 2:]) - top_left
    np.maximum(sides, 0, out=sides)
    shared = sides[..., 0] * sides[..., 1]
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    union = area[:, None] + area[None, :] - shared
    return shared / np.maximum(union, 1e-9)


def weighted_mean(group: Sequence[Answer]) -> tuple[float, float, float, float]:
    """Mean corners of answers, weighted by their scores."""
    total = left = top = right = bottom = 0.0
    for score, a, b, c, d in group:
        total += score
        left += score * a
        top += score * b
        right += score * c
        bottom += score * d
    return left / total, top / total, right / total, bottom / total


def iou_of(a: Answer, b: Answer) -> float:
    """Intersection over union of the boxes of two answers."""
    _, a_left, a_top, a_right, a_bottom = a
    _, b_left, b_top, b_right, b_bottom = b
    across = (a_right if a_right < b_right else b_right) - (a_left if a_left > b_left else b_left)
    down = (a_bottom if a_bottom < b_bottom else b_bottom) - (a_top if a_top > b_top else b_top)
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    union = (a_right - a_left) * (a_bottom - a_top) + (b_right - b_left) * (b_bottom - b_top) - shared
    return shared / max(union, 1e-9)

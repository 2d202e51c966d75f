"""How well a detector finds boxes: matching, average precision, recall at a rate of false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def iou_matrix(boxes: npt.ArrayLike, others: npt.ArrayLike) -> FloatArray:
    """Intersection over union of every box with every other.

    Args:
        boxes: (N, 4) as x, y, w, h in any one unit.
        others: (M, 4) likewise.

    Returns:
        float64 (N, M), 0..1; 0 where both boxes have no area.
    """
    first = np.asarray(boxes, np.float64).reshape(-1, 4)
    second = np.asarray(others, np.float64).reshape(-1, 4)
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(
        first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:]
    )
    shared = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    union = np.prod(first[:, 2:], axis=1)[:, None] + np.prod(second[:, 2:], axis=1)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


@dataclass(frozen=True)
class Matches:
    """All detections of a set of pictures, best score first, judged against the truth."""

    scores: FloatArray
    """(D,) falling."""
    hits: npt.NDArray[np.bool_]
    """(D,) whether the detection is the first to find some true box."""
    faces: int
    """True boxes in all pictures."""
    pictures: int


def match_detections(
    detections: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    truths: Sequence[npt.ArrayLike],
    iou_threshold: float = 0.5,
) -> Matches:
    """Assign detections to true boxes, best score first, each true box at most once.

    Source: Everingham et al. (2010), "The PASCAL Visual Object Classes Challenge", section 4.2. A
    detection takes the free true box that it overlaps most (as MS COCO does), if by `iou_threshold`.

    Args:
        detections: per picture (boxes (D, 4) as x, y, w, h; scores (D,)).
        truths: per picture boxes (G, 4), in the same units.

    Raises:
        ValueError: another number of pictures, or of scores than of boxes.
    """
    if len(detections) != len(truths):
        raise ValueError(f"detections of {len(detections)} pictures, truth of {len(truths)}")
    all_scores, all_hits, faces = [np.empty(0)], [np.empty(0, bool)], 0
    for (boxes, scores), truth in zip(detections, truths, strict=True):
        found = np.asarray(boxes, np.float64).reshape(-1, 4)
        wanted = np.asarray(truth, np.float64).reshape(-1, 4)
        score = np.asarray(scores, np.float64).reshape(-1)
        if len(found) != len(score):
            raise ValueError(f"{len(found)} boxes but {len(score)} scores in one picture")
        faces += len(wanted)
        order = np.argsort(-score, kind="stable")
        overlap = iou_matrix(found[order], wanted)
        hits = np.zeros(len(found), bool)
        for row in range(len(found)):
            if not len(wanted):
                break
            best = int(np.argmax(overlap[row]))
            if overlap[row, best] >= iou_threshold:
                hits[row] = True
                overlap[:, best] = -1.0
        all_scores.append(score[order])
        all_hits.append(hits)
    merged = np.concatenate(all_scores)
    order = np.argsort(-merged, kind="stable")
    return Matches(merged[order], np.concatenate(all_hits)[order], faces, len(truths))


def precision_recall_curve(matches: Matches) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and score threshold, one point per distinct score, thresholds falling."""
    last_of_tie = np.append(matches.scores[1:] != matches.scores[:-1], True)[: len(matches.scores)]
    found = np.cumsum(matches.hits)[last_of_tie]
    given = np.arange(1, len(matches.scores) + 1)[last_of_tie]
    recall = found / matches.faces if matches.faces else np.zeros(len(found))
    return found / given, recall, matches.scores[last_of_tie]


def average_precision(matches: Matches) -> float:
    """Area under the precision-recall curve, 0..1, precision made falling (PASCAL VOC 2010 onwards).

    Raises:
        ValueError: no picture has a true box.
    """
    if not matches.faces:
        raise ValueError("average precision needs at least one true box")
    precision, recall, _ = precision_recall_curve(matches)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(envelope * np.diff(recall, prepend=0.0)))


def recall_at_false_positives(matches: Matches, per_picture: float) -> tuple[float, float]:
    """Highest recall whose false alarms stay within `per_picture` per picture.

    Returns:
        (recall 0..1, the score threshold that gives it; inf when no detection may be accepted).

    Raises:
        ValueError: no pictures or no true box.
    """
    if not matches.faces or not matches.pictures:
        raise ValueError("recall needs at least one picture and one true box")
    precision, recall, thresholds = precision_recall_curve(matches)
    given = np.searchsorted(-matches.scores, -thresholds, side="right")
    false_alarms = np.rint(given * (1 - precision))
    allowed = np.flatnonzero(false_alarms <= per_picture * matches.pictures + 1e-9)
    if not len(allowed):
        return 0.0, float("inf")
    return float(recall[allowed[-1]]), float(thresholds[allowed[-1]])

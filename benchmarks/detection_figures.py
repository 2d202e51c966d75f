"""What the answers of a face detector are worth, from boxes and scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.metrics import wilson
from edge_runtime.metrics.detection import average_precision, iou_matrix, match_detections

IOU = 0.5
SIZES = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 1.01))
"""Groups of face heights, fractions of the picture's."""
TALL = 0.1
"""Faces from this height on are those that must be found."""

Scored = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Boxes = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Judged:
    """One detector's answers on pictures with boxes and on pictures without people."""

    answers: Sequence[Scored]
    """Per picture with boxes, in the convention of `truths`."""
    truths: Sequence[Boxes]
    heights_px: Sequence[float]
    """Height of each picture."""
    must_find: npt.NDArray[np.bool_]
    """(pictures,) whether its tall faces are among those that must be found."""
    alarms: Sequence[npt.NDArray[np.float64]]
    """Scores of the answers in each picture without people."""

    def figures(self, threshold: float, alarms_per_picture: float) -> dict[str, Any]:
        """Average precision, by face height too, and recall at both thresholds.

        Args:
            threshold: the detector's own.
            alarms_per_picture: rate that the other threshold is chosen for.
        """
        matches = match_detections(self.answers, self.truths, IOU)
        at_rate = self.threshold_at(alarms_per_picture)
        by_height = {}
        for low, high in SIZES:
            answers, truths = self._of_height(low, high)
            group = match_detections(answers, truths, IOU)
            name = f"{low:g}-{min(high, 1):g}"
            by_height[name] = {
                "faces": group.faces,
                "average_precision": round(average_precision(group), 4) if group.faces else None,
            }
        return {
            "average_precision": round(average_precision(matches), 4) if matches.faces else None,
            "average_precision_by_height": by_height,
            "at_alarm_rate": self.recall(at_rate),
            "as_delivered": self.recall(threshold),
        }

    def threshold_at(self, alarms_per_picture: float) -> float:
        """Lowest threshold at which the pictures without people stay within a rate of alarms."""
        if not self.alarms:
            return -np.inf
        scores = np.sort(np.concatenate([np.empty(0), *self.alarms]))[::-1]
        allowed = int(alarms_per_picture * len(self.alarms) + 1e-9)
        return float(np.nextafter(scores[allowed], np.inf)) if len(scores) > allowed else -np.inf

    def recall(self, threshold: float) -> dict[str, Any]:
        """Share of the tall faces that is found at a threshold, and what it costs in alarms."""
        rows = np.flatnonzero(self.must_find).tolist()
        accepted = [
            (self.answers[row][0][self.answers[row][1] >= threshold], np.ones(int(count)))
            for row, count in ((row, (self.answers[row][1] >= threshold).sum()) for row in rows)
        ]
        tall = [self.truths[row][self.truths[row][:, 3] > TALL * self.heights_px[row]] for row in rows]
        matches = match_detections(accepted, tall, IOU)
        found = int(matches.hits.sum())
        interval = wilson(found, matches.faces) if matches.faces else None
        count = sum(int((scores >= threshold).sum()) for scores in self.alarms)
        return {
            "threshold": round(float(threshold), 4) if np.isfinite(threshold) else None,
            "tall_faces": matches.faces,
            "recall": round(found / matches.faces, 4) if matches.faces else None,
            "recall_interval": [round(interval.low, 4), round(interval.high, 4)] if interval else None,
            "false_alarms": count,
            "empty_pictures": len(self.alarms),
        }

    def _of_height(self, low: float, high: float) -> tuple[list[Scored], list[Boxes]]:
        """Faces of a group of heights, without the answers that belong to other faces.

        As in MS COCO, an answer that fits a face of another group, or fits none and has another
        group's height itself, neither helps nor harms.
        """
        answers, truths = [], []
        for (boxes, scores), truth, height in zip(self.answers, self.truths, self.heights_px, strict=True):
            inside = (truth[:, 3] >= low * height) & (truth[:, 3] < high * height)
            keep = (boxes[:, 3] >= low * height) & (boxes[:, 3] < high * height)
            if len(truth) and len(boxes):
                overlap = iou_matrix(boxes, truth)
                best = overlap.argmax(axis=1)
                fits = overlap[np.arange(len(boxes)), best] >= IOU
                keep = np.where(fits, inside[best], keep)
            answers.append((boxes[keep], scores[keep]))
            truths.append(truth[inside])
        return answers, truths

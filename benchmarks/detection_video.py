"""Faces per frame of a video, and faces found where somebody has drawn boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.candidates import Candidate
from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE
from edge_runtime.errors import DataError
from edge_runtime.metrics.detection import match_detections

IOU = 0.5

Drawn = Mapping[int, Sequence[Sequence[float]]]
"""Boxes x, y, w, h around full faces, pixels, by number of the frame from 0."""


def read_annotations(path: Path) -> dict[str, Drawn]:
    """Drawn boxes by the video's file name.

    Raises:
        DataError: not such a file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {
            video: {int(frame): boxes for frame, boxes in frames.items()}
            for video, frames in document.items()
        }
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError) as error:
        raise DataError(f'{path}: expected {{"VIDEO": {{"FRAME": [[x, y, w, h], …]}}}} ({error})') from None


def count_faces(candidate: Candidate, path: Path, drawn: Drawn) -> dict[str, Any]:
    """Shares of frames by number of faces that the detector delivers, without tracking.

    Args:
        drawn: frames with boxes; may be empty.

    Raises:
        DataError: the video cannot be read.
    """
    capture = cv2.VideoCapture(str(path))
    counts: list[int] = []
    found: list[tuple[npt.NDArray, npt.NDArray]] = []
    truths: list[npt.NDArray] = []
    while True:
        more, frame = capture.read()
        if not more:
            break
        luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
        boxes = candidate.deliver(luma)
        if len(counts) in drawn:
            found.append((BOX_FROM_FULL_FACE.inverse().apply(boxes), np.ones(len(boxes))))
            truths.append(np.array(drawn[len(counts)], np.float64).reshape(-1, 4))
        counts.append(len(boxes))
    capture.release()
    if not counts:
        raise DataError(f"{path}: not a readable video")
    shares = np.bincount(np.minimum(counts, 3), minlength=4) / len(counts)
    names = ("no_face", "one_face", "two_faces", "more_faces")
    document: dict[str, Any] = {"video": path.name, "frames": len(counts)}
    document |= {name: round(float(share), 4) for name, share in zip(names, shares, strict=True)}
    return {**document, "drawn": judge(found, truths) if truths else None}


def judge(
    found: Sequence[tuple[npt.NDArray, npt.NDArray]], truths: Sequence[npt.NDArray]
) -> dict[str, Any]:
    """Faces found among those drawn, and frames in which all of them are."""
    matches = match_detections(found, truths, IOU)
    whole = [
        match_detections([answer], [truth], IOU).hits.sum() == len(truth)
        for answer, truth in zip(found, truths, strict=True)
    ]
    return {
        "frames": len(truths),
        "faces": matches.faces,
        "faces_found": int(matches.hits.sum()),
        "frames_with_all_faces": int(np.sum(whole)),
        "answers_elsewhere": int((~matches.hits).sum()),
    }

"""Faces per frame of a video, and faces found where somebody has drawn boxes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.candidates import Candidate
from benchmarks.progress import track
from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE
from edge_runtime.detectors import Detector
from edge_runtime.errors import DataError
from edge_runtime.metrics.detection import match_detections
from edge_runtime.pipeline import PipelineSettings
from edge_runtime.preprocess import UInt8Array

IOU = 0.5
PAN_VIEW = 0.8
"""Part of a picture that a panned frame shows, of the largest with the frame's aspect."""

FRAME_NS = 40_000_000
"""Between two frames of a panned video, nanoseconds."""

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
            video: {int(frame): _checked(boxes) for frame, boxes in frames.items()}
            for video, frames in document.items()
        }
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f'{path}: expected {{"VIDEO": {{"FRAME": [[x, y, w, h], …]}}}} ({error})') from None


def _checked(boxes: list[list[float]]) -> list[list[float]]:
    for box in boxes:
        if len(box) != 4 or not np.isfinite(np.array(box, np.float64)).all():
            raise ValueError(f"a box is {box!r}")
    return boxes


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


def pan(picture: UInt8Array, frames: int, frame_hw: tuple[int, int]) -> Iterator[UInt8Array]:
    """Frames of a camera that moves across a picture and comes nearer by a fifth, there and back.

    Args:
        picture: uint8 (H, W).
        frame_hw: rows and columns of a frame, whose aspect the view has.
    """
    rows, columns = picture.shape
    for index in range(frames):
        phase = 2 * math.pi * index / frames
        view = PAN_VIEW - PAN_VIEW / 10 * (1 - math.cos(phase))
        width = view * min(columns, rows * frame_hw[1] / frame_hw[0])
        height = width * frame_hw[0] / frame_hw[1]
        center = (
            columns / 2 - (columns - width) / 2 * math.cos(phase),
            rows / 2 + (rows - height) / 2 * math.sin(phase),
        )
        size = (max(1, round(width)), max(1, round(height)))
        part = cv2.getRectSubPix(picture, size, center)
        yield np.asarray(cv2.resize(part, frame_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def count_alarms(
    candidate: Candidate, pictures: Sequence[UInt8Array], frames: int, frame_hw: tuple[int, int]
) -> dict[str, Any]:
    """Frames with an answer in a video panned over each of the pictures, which show no people."""
    alarms, rooms = 0, 0
    for picture in track(pictures, f"{candidate.name}, panned", len(pictures)):
        hits = sum(len(candidate.deliver(frame)) > 0 for frame in pan(picture, frames, frame_hw))
        alarms += hits
        rooms += hits > 0
    return {
        "pictures": len(pictures),
        "frames": frames * len(pictures),
        "frames_with_alarm": alarms,
        "pictures_with_alarm": rooms,
    }


def count_reports(
    candidate: Candidate, pictures: Sequence[UInt8Array], frames: int, frame_hw: tuple[int, int]
) -> dict[str, Any]:
    """Frames with a reported face in one video panned over all pictures, which show no people.

    Faces are followed as `edge-fer run` does by default, 25 frames per second.
    """
    finder = PipelineSettings().finder(cast("Detector", candidate.device))
    reports, number = 0, 0
    tracks: set[int] = set()
    for picture in track(pictures, f"{candidate.name}, followed", len(pictures)):
        for frame in pan(picture, frames, frame_hw):
            faces = finder.find(frame, number * FRAME_NS)
            number += 1
            reports += len(faces) > 0
            tracks.update(face.number for face in faces)
    return {"frames": number, "frames_with_report": reports, "faces_reported": len(tracks)}


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

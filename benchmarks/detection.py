"""Faces found, false alarms and CPU time of face detectors on the same pictures.

Every picture is enlarged to a camera's frame and shown to every detector. Boxes are compared in the
convention of the labelled data (full face, hairline to chin). Results are a JSON list, one object per
detector; docs/detector.md explains every key.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.candidates import REFERENCE_NAME, Candidate, Scored, make_candidate
from benchmarks.detection_figures import Judged
from benchmarks.detection_video import count_alarms, count_faces, count_reports, read_annotations
from benchmarks.files import to_json, write_bytes, write_text
from benchmarks.host import describe_host
from benchmarks.progress import track
from edge_runtime.datasets import yolo
from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE, FULL_FACE_MAPS
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.detectors.letterbox import letterbox
from edge_runtime.errors import DataError, UsageError
from edge_runtime.preprocess import UInt8Array

SCHEMA = 1
ALARMS_PER_PICTURE = 0.01
WARM_UPS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="PATH", help="YOLO layout: a folder or a .zip"
    )
    parser.add_argument(
        "--detectors",
        default="edge,haar",
        metavar="LIST",
        help="edge[:FILE], haar[:STEP/NEIGHBOURS/SIZE], yunet:FILE, blazeface:FILE, with commas "
        "between; default: edge,haar",
    )
    parser.add_argument("--split", default="validation", metavar="NAME", help="default: validation")
    parser.add_argument(
        "--empty",
        default="room_",
        metavar="PREFIX",
        help="pictures whose name starts so show no people and count false alarms; default: room_",
    )
    parser.add_argument(
        "--must-find",
        default="desk_,portrait_",
        metavar="LIST",
        help="pictures whose faces taller than a tenth must be found; default: desk_,portrait_",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="draw N pictures of either kind; default: all"
    )
    parser.add_argument("--frame", type=_size, default=(480, 640), metavar="WxH", help="default: 640x480")
    parser.add_argument(
        "--timed-frames", type=int, default=60, metavar="N", help="frames that CPU time is measured on"
    )
    parser.add_argument(
        "--video", action="append", type=Path, default=[], metavar="FILE", help="count faces per frame"
    )
    parser.add_argument(
        "--pan",
        type=int,
        default=0,
        metavar="N",
        help="move a camera over every picture without people in N frames and count those with an answer",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="JSON with boxes drawn in frames of the videos, e.g. tests/data/video_faces.json",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write detection.json and precision-recall.png here"
    )


def run(arguments: argparse.Namespace) -> int:
    names = [name for name in arguments.detectors.split(",") if name]
    if not names:
        raise UsageError("--detectors names no detector")
    if arguments.pan < 0:
        raise UsageError(f"--pan must be 0 or more. Received: {arguments.pan}")
    drawn = read_annotations(arguments.annotations) if arguments.annotations else {}
    candidates = [make_candidate(name) for name in names]
    data = yolo.read(arguments.data).with_maps(FULL_FACE_MAPS)
    empty = data.named((arguments.empty,)) if arguments.empty else np.zeros(len(data), bool)
    rooms = sample(data.select(empty), arguments.limit)
    faces = sample(data.select(~empty).split(arguments.split), arguments.limit)
    must_find = faces.named(tuple(arguments.must_find.split(",")))
    # Spread over all pictures: their names sort crowds before portraits.
    step = max(1, len(faces) // max(1, arguments.timed_frames))
    timed = faces.images[::step][: arguments.timed_frames]
    cpu = cpu_times(candidates, [to_frame(image, arguments.frame)[0] for image in timed])
    host = describe_host().to_dict()
    results, curves = [], []
    for candidate in candidates:
        judged = judge(candidate, faces, rooms, must_find, arguments.frame)
        figures = judged.figures(candidate.threshold, ALARMS_PER_PICTURE)
        results.append(
            {
                "schema": SCHEMA,
                "detector": candidate.name,
                "description": candidate.description,
                "average_precision": figures["average_precision"],
                "recall": figures["at_alarm_rate"]["recall"],
                "cpu_ms_per_frame": cpu[candidate.name],
                "cpu_ratio_to_reference": round(cpu[candidate.name] / cpu["reference"], 4),
                "reference": REFERENCE_NAME,
                "reference_cpu_ms_per_frame": cpu["reference"],
                "frame": list(arguments.frame[::-1]),
                "split": arguments.split,
                "pictures": len(faces),
                "data_sha256": faces.digest(),
                "alarms_per_picture": ALARMS_PER_PICTURE,
                **{key: value for key, value in figures.items() if key != "average_precision"},
                "videos": [
                    count_faces(candidate, path, drawn.get(path.name, {})) for path in arguments.video
                ],
                "panned": _panned(candidate, rooms.images, arguments.pan, arguments.frame),
                "host": host,
            }
        )
        curves.append((candidate.name, judged))
    if arguments.out:
        write_text(arguments.out / "detection.json", to_json(results))
        from benchmarks.detection_plot import draw_curves

        write_bytes(arguments.out / "precision-recall.png", draw_curves(curves))
    sys.stdout.write(to_json(results) if arguments.format == "json" else as_text(results))
    return 0


def sample(data: BoxedImages, limit: int | None) -> BoxedImages:
    """At most `limit` pictures, drawn once and for all."""
    if limit is None or limit >= len(data):
        return data
    if limit < 1:
        raise UsageError(f"--limit must be at least 1. Received: {limit}")
    return data.select(np.sort(np.random.default_rng(0).permutation(len(data))[:limit]))


def _panned(
    candidate: Candidate, rooms: Sequence[UInt8Array], frames: int, frame_hw: tuple[int, int]
) -> dict[str, Any] | None:
    """Frame by frame, and followed through one video as a run follows faces; None without frames."""
    if not frames:
        return None
    alarms = count_alarms(candidate, rooms, frames, frame_hw)
    return {**alarms, "followed": count_reports(candidate, rooms, frames, frame_hw)}


def to_frame(image: UInt8Array, frame_hw: tuple[int, int]) -> tuple[UInt8Array, float]:
    """A picture enlarged (or shrunk) into the upper left of a black camera frame, and the factor."""
    frame = np.empty(frame_hw, np.uint8)
    factor = letterbox(image, frame, fill=0)
    return frame, factor


def judge(
    candidate: Candidate,
    faces: BoxedImages,
    rooms: BoxedImages,
    must_find: np.ndarray,
    frame_hw: tuple[int, int],
) -> Judged:
    """Run a detector over all pictures; boxes come back in the data's convention and pixels."""
    full_face = BOX_FROM_FULL_FACE.inverse()

    def answer(image: UInt8Array) -> Scored:
        frame, factor = to_frame(image, frame_hw)
        boxes, scores = candidate.scored(frame)
        return full_face.apply(boxes) / factor, scores

    answers = [answer(image) for image in track(faces.images, candidate.name, len(faces))]
    alarms = [answer(image)[1] for image in track(rooms.images, f"{candidate.name}, empty", len(rooms))]
    heights = [image.shape[0] for image in faces.images]
    return Judged(answers, faces.boxes, heights, must_find, alarms)


def cpu_times(candidates: Sequence[Candidate], frames: Sequence[UInt8Array]) -> dict[str, float]:
    """Median CPU time per frame by detector's name, and of `reference`, milliseconds.

    The detectors take turns on every frame, so that whatever else the machine does meets all of them.
    """
    if not frames:
        raise DataError("no frames to time the detectors on; give --timed-frames of at least 1")
    timed = {"reference": make_candidate(REFERENCE_NAME).device}
    timed.update({candidate.name: candidate.device for candidate in candidates})
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    spent: dict[str, list[int]] = {name: [] for name in timed}
    try:
        for detector in timed.values():
            for frame in frames[:WARM_UPS]:
                detector.detect(frame)
        for frame in track(frames, "CPU time", len(frames)):
            for name, detector in timed.items():
                before = time.process_time_ns()
                detector.detect(frame)
                spent[name].append(time.process_time_ns() - before)
    finally:
        cv2.setNumThreads(threads)
    return {name: round(float(np.median(values)) / 1e6, 4) for name, values in spent.items()}


def as_text(results: Sequence[dict[str, Any]]) -> str:
    """A table for people."""
    lines = [
        f"{results[0]['pictures']} {results[0]['split']} pictures, "
        f"{results[0]['at_alarm_rate']['empty_pictures']} without people; "
        f"reference {REFERENCE_NAME}: {results[0]['reference_cpu_ms_per_frame']:.2f} CPU ms",
        f"{'detector':24} {'AP':>6} {'recall':>7} {'alarms':>7} {'as delivered':>14} {'CPU ms':>8}   ratio",
    ]
    for row in results:
        rate, own = row["at_alarm_rate"], row["as_delivered"]
        delivered = f"{_percent(own['recall'])}/{own['false_alarms']}"
        lines.append(
            f"{row['detector'][-24:]:24} {_percent(row['average_precision']):>6} "
            f"{_percent(rate['recall']):>7} {rate['false_alarms']:>7} {delivered:>14} "
            f"{row['cpu_ms_per_frame']:>8.3f} {row['cpu_ratio_to_reference']:>7.3f}"
        )
        panned = row["panned"]
        if panned:
            lines.append(
                f"    panned over {panned['pictures']} empty pictures: an answer in "
                f"{panned['frames_with_alarm']} of {panned['frames']} frames, followed as in a run a face "
                f"reported in {panned['followed']['frames_with_report']}"
            )
        lines.extend(map(_video_line, row["videos"]))
    return "\n".join(lines) + "\n"


def _video_line(video: dict[str, Any]) -> str:
    line = (
        f"    {video['video']}: one face in {video['one_face']:.1%} of {video['frames']} frames, "
        f"none in {video['no_face']:.1%}"
    )
    drawn = video["drawn"]
    if drawn:
        line += (
            f"; of {drawn['faces']} drawn faces {drawn['faces_found']} found, "
            f"{drawn['answers_elsewhere']} answers elsewhere"
        )
    return line


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be WIDTHxHEIGHT. Received: {text}") from None
    if not (16 <= width <= 8192 and 16 <= height <= 8192):
        raise argparse.ArgumentTypeError(f"sides must be 16..8192. Received: {text}")
    return height, width

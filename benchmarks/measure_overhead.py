"""Inside the fresh process of `benchmarks overhead`: the path and the bare calls of its models in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import quiet_collector, serve
from edge_runtime.sources.base import Frame

WARMUP_FRAMES = 50
RATE_HZ = 25
MAX_PICTURES = 100


class Loop:
    """Pictures in memory again and again, at 25 frames/s of film time."""

    description = "loop"

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self._pictures = pictures

    def frames(self) -> Iterator[Frame]:
        index = 0
        while True:
            luma = self._pictures[index % len(self._pictures)]
            yield Frame(index, time.monotonic_ns(), luma, t_scene_ns=round(index * 1e9 / RATE_HZ))
            index += 1

    def close(self) -> None:
        """Nothing is held open."""


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Time the path, then the bare calls, frame by frame, in the CPU time of this thread.

    Args:
        job: `source`, `size` (WxH or None), `model`, `detector`, `backend`, `frames`.

    Raises:
        EdgeFerError: source, detector, model or backend cannot be opened, or too few frames have one face.
    """
    import cv2

    from edge_runtime.classifier import Classifier
    from edge_runtime.detectors import load_detector
    from edge_runtime.detectors.edge import EdgeDetector
    from edge_runtime.errors import SourceError, UsageError
    from edge_runtime.pipeline import Pipeline
    from edge_runtime.sinks.jsonl import to_line

    cv2.setNumThreads(1)
    classifier = Classifier.load(job["model"], job["backend"], 1)
    detector = load_detector(job["detector"])
    if not isinstance(detector, EdgeDetector):
        raise UsageError(
            f"--detector must be edge or edge:FILE, which has a model. Received: {detector.name}"
        )
    if not all(hasattr(backend, "rerun") for backend in (classifier.backend, detector.backend)):
        raise UsageError(
            f"backend {classifier.backend.name} has no bare call; use litert or tflite-runtime"
        )
    pictures = _read(job["source"], job["size"])
    records = Pipeline(Loop(pictures), detector, classifier).records()
    for _ in range(WARMUP_FRAMES):
        next(records)
    values: dict[str, list[int]] = {part: [] for part in ("path", "detector", "classifier", "json_line")}
    clock = time.thread_time_ns
    bare_detector, bare_classifier = detector.backend.rerun, classifier.backend.rerun  # type: ignore[attr-defined]
    with quiet_collector():
        for _ in range(20 * job["frames"]):
            started = clock()
            _, record = next(records)
            passed = clock()
            bare_detector()
            detected = clock()
            bare_classifier()
            classified = clock()
            to_line(record)
            written = clock()
            if len(record.faces) != 1:
                continue
            values["path"].append(passed - started)
            values["detector"].append(detected - passed)
            values["classifier"].append(classified - detected)
            values["json_line"].append(written - classified)
            if len(values["path"]) == job["frames"]:
                break
        else:
            raise SourceError(f"{job['source']}: too few frames with exactly one face")
    return {
        "source": Path(job["source"]).name,
        "frame_hw": list(pictures[0].shape),
        "model": classifier.contract.name,
        "detector": detector.contract.name,
        "backend": classifier.backend.description,
        "values_ns": values,
    }


def _read(source_name: str, size: str | None) -> list[np.ndarray]:
    import cv2

    from edge_runtime.errors import UsageError
    from edge_runtime.numbers import whole_number
    from edge_runtime.sources import open_source

    width_height = None
    if size is not None:
        width, _, height = size.partition("x")
        width_height = (whole_number(width) or 0, whole_number(height) or 0)
        if not all(width_height):
            raise UsageError(f"--size must be WxH, e.g. 640x480. Received: {size!r}")
    source = open_source(source_name)
    pictures = []
    try:
        for frame in source.frames():
            luma = frame.luma.copy() if width_height is None else cv2.resize(frame.luma, width_height)
            pictures.append(np.asarray(luma))
            if len(pictures) == MAX_PICTURES:
                break
    finally:
        source.close()
    return pictures


if __name__ == "__main__":
    raise SystemExit(serve(measure))

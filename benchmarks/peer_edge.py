"""This project's own runtime as a peer, in a fresh process, measured as the others are."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import serve
from edge_runtime.preprocess import to_luma
from edge_runtime.sources.base import Frame

FRAME_NS = 40_000_000


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Label every picture, or every frame by its largest face.

    Args:
        job: `pictures` (.npy), `model` (None for the Haar detector alone), `detector` for whole frames, at
            the default settings; None for crops.

    Raises:
        EdgeFerError: the model or detector cannot be loaded.
    """
    pictures = np.load(job["pictures"], mmap_mode="r")
    name, answer = _haar_alone() if job["model"] is None else _edge(job["model"], job["detector"])
    answer(np.ascontiguousarray(pictures[0]))
    import_cpu_s = time.process_time()
    labels = [answer(np.ascontiguousarray(picture)) for picture in pictures]
    return {
        "name": name,
        "labels": labels,
        "cpu_s": time.process_time() - import_cpu_s,
        "import_cpu_s": import_cpu_s,
        "rss_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _edge(model: str, detector_name: str | None) -> tuple[str, Callable[[np.ndarray], str | None]]:
    from edge_runtime.classifier import Classifier
    from edge_runtime.datasets import fit_pictures
    from edge_runtime.detectors import load_detector
    from edge_runtime.pipeline import Pipeline

    classifier = Classifier.load(model)
    labels, spec = classifier.contract.labels, classifier.contract.input
    name = f"{classifier.contract.name} ({classifier.backend.description})"

    def read_crop(picture: np.ndarray) -> str | None:
        (face,) = fit_pictures(picture[None], spec)
        return labels[int(classifier.predict(face).argmax())]

    if detector_name is None:
        return name, read_crop
    detector = load_detector(detector_name)
    film = _Film()
    records = Pipeline(film, detector, classifier).records()

    def read_frame(picture: np.ndarray) -> str | None:
        film.picture = picture
        _, record = next(records)
        largest = max(record.faces, key=lambda face: face.box.w * face.box.h, default=None)
        return (
            None if largest is None else max(largest.probabilities, key=largest.probabilities.__getitem__)
        )

    return f"{name}, detector {detector.name}", read_frame


class _Film:
    """Pictures that are set one by one, at 25 frames/s of film time, as the settings expect them."""

    description = "film"

    def __init__(self) -> None:
        self.picture = np.empty((0, 0, 3), np.uint8)

    def frames(self) -> Iterator[Frame]:
        for index in count():
            luma = to_luma(self.picture)
            yield Frame(index, time.monotonic_ns(), luma, self.picture, t_scene_ns=index * FRAME_NS)

    def close(self) -> None:
        """Nothing is held open."""


def _haar_alone() -> tuple[str, Callable[[np.ndarray], str | None]]:
    """OpenCV's frontal-face cascade with OpenCV's own defaults."""
    import cv2

    file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(file))

    def find(picture: np.ndarray) -> str | None:
        boxes = cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        return "face" if len(boxes) else None

    return cv2.__version__, find


if __name__ == "__main__":
    raise SystemExit(serve(measure))

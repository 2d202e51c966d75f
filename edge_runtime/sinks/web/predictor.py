"""Uploaded pictures: read by interpreters of their own, one at a time, behind the camera's work.

An interpreter is not thread-safe and a detector keeps buffers, so nothing is shared with the pipeline.
Model and detector are loaded with the first picture.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from edge_runtime.classifier import Classifier
from edge_runtime.detectors import Detector, load_detector
from edge_runtime.errors import SourceError
from edge_runtime.imageheader import read_header
from edge_runtime.pipeline import Pipeline, PipelineSettings
from edge_runtime.preprocess import UInt8Array, to_luma
from edge_runtime.sources.base import Frame
from edge_runtime.sources.imagefile import decode_image

NICE = 10


class Predictor:
    """Called from one thread alone."""

    def __init__(
        self,
        model: str,
        backend: str,
        detector: str,
        max_pixels: int,
        *,
        flip_average: bool = False,
        min_score: float = 0.0,
    ) -> None:
        """
        Args:
            model, backend, detector, flip_average, min_score: as in the configuration.
            max_pixels: larger pictures are refused by their header, before they are decoded.
        """
        self._names = (model, backend, detector)
        self._max_pixels = max_pixels
        self._flip_average = flip_average
        self._settings = PipelineSettings(min_score=min_score)
        self._loaded: tuple[Classifier, Detector] | None = None

    def predict(self, data: bytes) -> dict[str, Any]:
        """Faces of a picture.

        Returns:
            {"width", "height", "faces", "timing_ms", "model", "backend"}, faces as in every record, in
            pixels of the picture as its EXIF orientation turns it.

        Raises:
            SourceError: not a picture, truncated, corrupt or too large.
            EdgeFerError: model or detector cannot be loaded.
        """
        header = read_header(data)
        if header is not None and header.width * header.height > self._max_pixels:
            raise SourceError(
                f"{header.width}x{header.height} pixels is more than the {self._max_pixels / 1e6:g} "
                "million allowed; give a smaller picture"
            )
        return self.find(decode_image(data, "upload"))

    def find(self, image: UInt8Array) -> dict[str, Any]:
        """Faces of a decoded picture, uint8 BGR (height, width, 3), as `predict` returns them.

        Raises:
            EdgeFerError: model or detector cannot be loaded.
        """
        if self._loaded is None:
            model, backend, detector = self._names
            classifier = Classifier.load(model, backend, 1, self._flip_average)
            self._loaded = (classifier, load_detector(detector))
        classifier, finder = self._loaded
        pipeline = Pipeline(_Upload(image), finder, classifier, settings=self._settings)
        ((_, record),) = pipeline.records()
        document = record.to_dict()
        kept = ("faces", "timing_ms", "model", "backend")
        height, width = image.shape[:2]
        return {"width": width, "height": height, **{key: document[key] for key in kept}}


class _Upload:
    """A source of one picture."""

    description = "upload"

    def __init__(self, image: UInt8Array) -> None:
        self._image = image

    def frames(self) -> Iterator[Frame]:
        # A name makes it a still picture, in which nobody is followed.
        yield Frame(0, 0, to_luma(self._image), self._image, name="upload")

    def close(self) -> None:
        """Nothing is held open."""


def step_back() -> None:
    """Lower the calling thread's priority below the camera's work; Linux does so by thread."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)

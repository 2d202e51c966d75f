"""`edge-fer predict`: report the faces of pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.detectors import load_detector
from edge_runtime.errors import SourceError
from edge_runtime.pipeline import Pipeline
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.text import describe_face
from edge_runtime.sources.base import Frame
from edge_runtime.sources.folder import read_frame


class Pictures:
    """The pictures of the command line; one that cannot be read is reported and skipped."""

    description = "pictures"

    def __init__(self, names: list[str], *, color: bool) -> None:
        self._names = names
        self._color = color
        self.failures = 0

    def frames(self) -> Iterator[Frame]:
        for index, name in enumerate(self._names):
            try:
                frame = read_frame(Path(name), index, color=self._color)
            except SourceError as error:
                self.failures += 1
                print(f"edge-fer: error: {error}", file=sys.stderr)
                continue
            yield frame

    def close(self) -> None:
        """Nothing is held open."""


def run(args: argparse.Namespace) -> int:
    """Print every picture's faces; 1 where a picture could not be read.

    Raises:
        EdgeFerError: whatever a user can cause.
    """
    cv2.setNumThreads(args.threads)
    classifier = Classifier.load(args.model, args.backend, args.threads, args.flip_average)
    self_test(classifier)
    detector = load_detector(args.detector)
    pictures = Pictures(args.images, color=classifier.contract.input.color == "rgb")
    records = []
    for _, record in Pipeline(pictures, detector, classifier).records():
        if args.format == "text":
            _print_text(record)
        records.append(record.to_dict())
    if args.format == "json":
        print(json.dumps(records, indent=1))
    classifier.close()
    return 1 if pictures.failures else 0


def _print_text(record: FrameRecord) -> None:
    if not record.faces:
        print(f"{record.source}: no face")
    for face in record.faces:
        print(f"{record.source}: {describe_face(face)}")
        others = ", ".join(f"{label} {p:.1%}" for label, p in face.probabilities.items())
        print(f"    {others}")

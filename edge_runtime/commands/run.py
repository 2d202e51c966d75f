"""`edge-fer run`: watch a source and report the faces in it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys

import cv2

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.detectors import load_detector
from edge_runtime.draw import annotate, check_image_path, write_image
from edge_runtime.pipeline import Pipeline, Totals
from edge_runtime.preprocess import UInt8Array
from edge_runtime.records import STAGES, FaceRecord, FrameRecord
from edge_runtime.sinks import Sink, open_sink
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.sources.base import Frame


class Snapshot:
    """Holds a copy of the last frame with a face, or of the last frame where none had one."""

    def __init__(self) -> None:
        self.image: UInt8Array | None = None
        self.faces: tuple[FaceRecord, ...] = ()

    def __call__(self, frame: Frame, record: FrameRecord) -> None:
        if (record.faces or not self.faces) and frame.bgr is not None:
            self.image, self.faces = frame.bgr.copy(), record.faces


def run(args: argparse.Namespace) -> int:
    """Work through the source; the summary goes to stderr.

    Raises:
        EdgeFerError: whatever a user can cause.
    """
    logging.basicConfig(format="edge-fer: %(levelname)s: %(message)s", level=logging.WARNING)
    cv2.setNumThreads(args.threads)
    snapshot = Snapshot() if args.annotate else None
    if args.annotate:
        check_image_path(args.annotate)
    with contextlib.ExitStack() as stack:
        classifier = Classifier.load(args.model, args.backend, args.threads)
        stack.callback(classifier.close)
        self_test(classifier)
        detector = load_detector(args.detector)
        color = bool(snapshot) or classifier.contract.input.color == "rgb"
        options = SourceOptions(color=color, realtime=args.realtime, seed=args.seed)
        source = open_source(args.source, options)
        stack.callback(source.close)
        sinks = _open_sinks(args.sink or ["text"], stack)
        _say(f"source {source.description}")
        _say(f"model {classifier.contract.name}, backend {classifier.backend.description}")
        _say(f"detector {detector.name}")
        pipeline = Pipeline(source, detector, classifier, sinks)
        try:
            pipeline.run(args.max_frames, snapshot)
        finally:
            _say(summary(pipeline.totals))
    if snapshot is not None:
        if snapshot.image is None:
            _say("no frame to annotate")
            return 1
        write_image(args.annotate, annotate(snapshot.image, snapshot.faces))
        _say(f"wrote {args.annotate}")
    return 0


def summary(totals: Totals) -> str:
    """One line: frames, dropped, faces by label and mean milliseconds per stage."""
    mean_ms = totals.mean_ms()
    stages = ", ".join(f"{stage} {mean_ms[stage]:.2f}" for stage in STAGES)
    labels = ", ".join(f"{label} {count}" for label, count in totals.labels.most_common())
    return (
        f"{totals.frames} frames, {totals.dropped} dropped, {totals.faces} faces in "
        f"{totals.frames_with_faces} frames{f' ({labels})' if labels else ''}; ms per frame: {stages}"
    )


def _open_sinks(names: list[str], stack: contextlib.ExitStack) -> list[Sink]:
    sinks = []
    for name in names:
        sink = open_sink(name)
        stack.callback(sink.close)
        sinks.append(sink)
    return sinks


def _say(message: str) -> None:
    print(f"edge-fer: {message}", file=sys.stderr, flush=True)

"""`edge-fer run`: watch a source and report the faces in it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Protocol, runtime_checkable

import cv2

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.commands.settings import configuration, pipeline_settings, source_options
from edge_runtime.config import Config
from edge_runtime.detectors import load_detector
from edge_runtime.draw import annotate, check_image_path, write_image
from edge_runtime.errors import UsageError
from edge_runtime.events import EventSettings
from edge_runtime.notify import Notifier
from edge_runtime.pipeline import Pipeline, Totals
from edge_runtime.preprocess import UInt8Array
from edge_runtime.records import STAGES, FaceRecord, FrameRecord
from edge_runtime.sinks import Sink, open_sink
from edge_runtime.sources import open_source
from edge_runtime.sources.base import Frame


@runtime_checkable
class SelfTesting(Protocol):
    """A detector whose model carries self-test vectors."""

    def self_test(self) -> float: ...


class Snapshot:
    """Holds a copy of the last frame with a face, or of the last frame where none had one."""

    def __init__(self) -> None:
        self.image: UInt8Array | None = None
        self.faces: tuple[FaceRecord, ...] = ()

    def __call__(self, frame: Frame, record: FrameRecord) -> None:
        if (record.faces or not self.faces) and frame.bgr is not None:
            self.image, self.faces = frame.bgr.copy(), record.faces


class _Reload(BaseException):
    """SIGHUP came: read the configuration again."""


class _Terminate(BaseException):
    """SIGTERM came: close camera and sinks and end, as a service manager wants it."""


def run(args: argparse.Namespace) -> int:
    """Work through the source; the summary goes to stderr. SIGHUP reads the configuration again.

    Raises:
        EdgeFerError: whatever a user can cause.
    """
    logging.basicConfig(format="edge-fer: %(levelname)s: %(message)s", level=logging.WARNING)
    if args.annotate:
        check_image_path(args.annotate)
    config = configuration(args)
    with _raising({signal.SIGHUP: _Reload, signal.SIGTERM: _Terminate}):
        reload = False
        while True:
            try:
                if reload:
                    config = _read_again(args, config)
                    reload = False
                return _watch(config, args)
            except _Terminate:
                return 0
            except _Reload:
                # Read inside the block above: another signal may come in the middle of it.
                reload = True


def _watch(config: Config, args: argparse.Namespace) -> int:
    cv2.setNumThreads(config.model.threads)
    snapshot = Snapshot() if args.annotate else None
    notifier = Notifier()
    with contextlib.ExitStack() as stack:
        classifier = Classifier.load(config.model.name, config.model.backend, config.model.threads)
        stack.callback(classifier.close)
        self_test(classifier)
        detector = load_detector(config.detector.name)
        if isinstance(detector, SelfTesting):
            detector.self_test()
        color = snapshot is not None or classifier.contract.input.color == "rgb"
        source = open_source(config.source.name, source_options(config.source, color=color))
        stack.callback(source.close)
        sinks = _open_sinks(config, stack)
        _say(f"source {source.description}")
        _say(f"model {classifier.contract.name}, backend {classifier.backend.description}")
        _say(f"detector {detector.name}")
        pipeline = Pipeline(source, detector, classifier, sinks, pipeline_settings(config))
        stack.callback(notifier.stopping)
        notifier.ready()
        try:
            pipeline.run(args.max_frames, snapshot, notifier.frame_done)
        finally:
            _say(summary(pipeline.totals))
    if snapshot is not None:
        if snapshot.image is None:
            _say("no frame to annotate")
            return 1
        write_image(args.annotate, annotate(snapshot.image, snapshot.faces))
        _say(f"wrote {args.annotate}")
    return 0


@contextlib.contextmanager
def _raising(exceptions: Mapping[signal.Signals, type[BaseException]]) -> Iterator[None]:
    """Signals raise inside the block, so that every `finally` runs; their handlers come back afterwards."""

    def handle(number: int, frame: object) -> None:
        raise exceptions[signal.Signals(number)]

    before = {number: signal.signal(number, handle) for number in exceptions}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_again(args: argparse.Namespace, running: Config) -> Config:
    """The new configuration; the running one where the new one is wrong."""
    try:
        config = configuration(args)
    except UsageError as error:
        _say(f"error: {error}; going on with the settings before")
        return running
    _say("configuration read again")
    return config


def summary(totals: Totals) -> str:
    """One line: frames, dropped, faces by label and mean milliseconds per stage."""
    mean_ms = totals.mean_ms()
    stages = ", ".join(f"{stage} {mean_ms[stage]:.2f}" for stage in STAGES)
    labels = ", ".join(f"{label} {count}" for label, count in totals.labels.most_common())
    return (
        f"{totals.frames} frames, {totals.dropped} dropped, {totals.faces} faces in "
        f"{totals.frames_with_faces} frames{f' ({labels})' if labels else ''}; ms per frame: {stages}"
    )


def _open_sinks(config: Config, stack: contextlib.ExitStack) -> list[Sink]:
    sinks = []
    for name in config.output.sinks:
        sink = open_sink(name, EventSettings(**asdict(config.events)), asdict(config.mqtt))
        stack.callback(sink.close)
        sinks.append(sink)
    return sinks


def _say(message: str) -> None:
    print(f"edge-fer: {message}", file=sys.stderr, flush=True)

"""`edge-fer run`: watch a source and report the faces in it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import cv2

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.commands.settings import check, configuration, pipeline_settings, source_options
from edge_runtime.config import Config
from edge_runtime.detectors import Detector, load_detector
from edge_runtime.draw import annotate, check_image_path, write_image
from edge_runtime.errors import EdgeFerError
from edge_runtime.events import EventSettings
from edge_runtime.interrupts import Interrupts
from edge_runtime.notify import Notifier
from edge_runtime.pipeline import Pipeline, Totals
from edge_runtime.preprocess import UInt8Array
from edge_runtime.records import STAGES, FaceRecord, FrameRecord
from edge_runtime.sinks import Sink, open_sink
from edge_runtime.sinks.base import Holding, Onlooker
from edge_runtime.sources import is_live, open_source
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


class Views:
    """Hands frames to those who show them, while they want any."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot
        self._chosen: list[Onlooker] | None = None
        self.onlookers: Sequence[Onlooker] = ()

    def wanted(self) -> bool:
        """Whether somebody will look at the next frame; they and no others then do."""
        self._chosen = self._looking()
        return bool(self._chosen)

    def _looking(self) -> list[Onlooker]:
        return [onlooker for onlooker in self.onlookers if onlooker.is_looking]

    def __call__(self, frame: Frame, record: FrameRecord) -> None:
        if self._snapshot is not None:
            self._snapshot(frame, record)
        # Not all sources ask beforehand. Where one does, the others would get a frame without colour.
        chosen = self._looking() if self._chosen is None else self._chosen
        self._chosen = None
        for onlooker in chosen:
            onlooker.look(frame, record)


@dataclass(frozen=True)
class Models:
    """What a run has loaded; it outlives a reload that finds its files damaged or gone."""

    classifier: Classifier
    detector: Detector

    @classmethod
    def load(cls, config: Config) -> Models:
        """Load both and run their self-tests.

        Raises:
            EdgeFerError: one cannot be loaded here, or computes something else.
        """
        model = config.model
        classifier = Classifier.load(model.name, model.backend, model.threads, model.flip_average)
        self_test(classifier)
        detector = load_detector(config.detector.name)
        if isinstance(detector, SelfTesting):
            detector.self_test()
        return cls(classifier, detector)

    def close(self) -> None:
        self.classifier.close()


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
    signals = {signal.SIGHUP: _Reload, signal.SIGTERM: _Terminate, signal.SIGINT: KeyboardInterrupt}
    interrupts = Interrupts(signals, ends=(_Terminate, KeyboardInterrupt))
    models: Models | None = None
    with interrupts.raising():
        reload = False
        while True:
            try:
                if models is None:
                    models = Models.load(config)
                if reload:
                    fresh = _read_again(args)
                    reload = False
                    if fresh is not None:
                        with interrupts.held():
                            models.close()
                            config, models = fresh
                return _watch(config, models, args, interrupts)
            except _Terminate:
                return 0
            except _Reload:
                # Read inside the block above: another signal may come in the middle of it.
                reload = True


def _watch(config: Config, models: Models, args: argparse.Namespace, interrupts: Interrupts) -> int:
    cv2.setNumThreads(config.model.threads)
    snapshot = Snapshot() if args.annotate else None
    notifier = Notifier()
    with contextlib.ExitStack() as stack:

        def at_end(close: Callable[[], None]) -> None:
            stack.callback(_whole, interrupts, close)

        classifier, detector = models.classifier, models.detector
        always = snapshot is not None or classifier.contract.input.color == "rgb"
        views = Views(snapshot)
        sinks: list[Sink] = []

        def delivered() -> bool:
            with interrupts.held():
                return all(sink.settle() for sink in sinks if isinstance(sink, Holding))

        options = source_options(
            config.source,
            color=always or any(name.startswith("web:") for name in config.output.sinks),
            color_wanted=None if always else views.wanted,
            delivered=delivered,
            alive=notifier.frame_done,
        )
        source = open_source(config.source.name, options)
        at_end(source.close)
        sinks += _open_sinks(config, at_end, classifier.contract.labels)
        views.onlookers = [sink for sink in sinks if isinstance(sink, Onlooker)]
        _say(f"source {source.description}")
        _say(f"model {classifier.contract.name}, backend {classifier.backend.description}")
        _say(f"detector {detector.name}")
        for onlooker in views.onlookers:
            _say(onlooker.description)
        pipeline = Pipeline(
            source, detector, classifier, sinks, pipeline_settings(config), whole=interrupts.held
        )

        def tell_the_end(kind: type[BaseException] | None, *_: object) -> None:
            # A service that says so and goes on, after a reload, is killed by systemd.
            if kind is not _Reload:
                _whole(interrupts, notifier.stopping)

        stack.push(tell_the_end)
        notifier.ready()
        try:
            pipeline.run(args.max_frames, views, notifier.frame_done)
        finally:
            _say(summary(pipeline.totals))
    if snapshot is not None:
        if snapshot.image is None:
            _say("no frame to annotate")
            return 1
        write_image(args.annotate, annotate(snapshot.image, snapshot.faces))
        _say(f"wrote {args.annotate}")
    return 0


def _whole(interrupts: Interrupts, close: Callable[[], None]) -> None:
    with interrupts.held():
        close()


def _read_again(args: argparse.Namespace) -> tuple[Config, Models] | None:
    """The new configuration and its models; None where one of them is wrong."""
    try:
        config = configuration(args)
        check(config)
        models = Models.load(config)
    except (EdgeFerError, OSError) as error:
        _say(f"error: {error}; going on with the settings and models before")
        return None
    _say("configuration read again")
    return config, models


def summary(totals: Totals) -> str:
    """One line: frames, dropped, faces by label and mean milliseconds per stage."""
    mean_ms = totals.mean_ms()
    stages = ", ".join(f"{stage} {mean_ms[stage]:.2f}" for stage in STAGES)
    labels = ", ".join(f"{label} {count}" for label, count in totals.labels.most_common())
    return (
        f"{totals.frames} frames, {totals.dropped} dropped, {totals.faces} faces in "
        f"{totals.frames_with_faces} frames{f' ({labels})' if labels else ''}; ms per frame: {stages}"
    )


def _open_sinks(
    config: Config, at_end: Callable[[Callable[[], None]], None], labels: Sequence[str]
) -> list[Sink]:
    """Open the sinks; a file's waits for room on a full disk where the source has no end to wait for."""
    sinks = []
    live = is_live(config.source.name, config.source.watch_s)
    events = EventSettings(**asdict(config.events))
    # Uploaded pictures are read as the camera's frames are, by interpreters of the sink's own.
    engine = {
        "model": config.model.name,
        "backend": config.model.backend,
        "detector": config.detector.name,
        "flip_average": config.model.flip_average,
        "min_score": config.detector.min_score,
    }
    web = {**asdict(config.web), **engine}
    for name in config.output.sinks:
        sink = open_sink(
            name, events, asdict(config.mqtt), asdict(config.rotation), web, labels=labels, patient=live
        )
        at_end(sink.close)
        sinks.append(sink)
    return sinks


def _say(message: str) -> None:
    print(f"edge-fer: {message}", file=sys.stderr, flush=True)

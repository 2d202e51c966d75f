"""From the command line's words to a configuration, and from that to what a run is made of."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from dataclasses import asdict

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.config import Config, SourceConfig, load_config
from edge_runtime.detectors import load_detector
from edge_runtime.errors import UsageError
from edge_runtime.events import EventSettings
from edge_runtime.numbers import whole_number
from edge_runtime.pipeline import PipelineSettings
from edge_runtime.sinks import sink_opener
from edge_runtime.sources import source_opener
from edge_runtime.sources.options import SourceOptions, Transform


def configuration(args: argparse.Namespace) -> Config:
    """The file of `--config`, or the defaults, with the command line's options over it.

    Raises:
        UsageError: a wrong file or option.
    """
    config = load_config(args.config)
    width, height = _numbers(args.size, "--size", "x", 2) if args.size else (None, None)
    region = _numbers(args.region, "--region", ",", 4) if args.region else None
    config = config.override(
        "source",
        name=args.source,
        width=width,
        height=height,
        rate_hz=args.rate,
        realtime=args.realtime,
        rotate=args.rotate,
        mirror=args.mirror,
        region=region,
        seed=args.seed,
    )
    config = config.override(
        "model",
        name=args.model,
        backend=args.backend,
        threads=args.threads,
        flip_average=args.flip_average,
    )
    config = config.override("detector", name=args.detector, interval_s=args.detect_interval)
    return config.override("output", sinks=args.sink)


def check(config: Config) -> None:
    """Find what a run would refuse, without opening its source and sinks.

    Raises:
        EdgeFerError: the first mistake: source, detector, model, sinks, or what one of them needs.
    """
    source_opener(config.source.name, source_options(config.source, color=True))
    load_detector(config.detector.name)
    model = config.model
    classifier = Classifier.load(model.name, model.backend, model.threads, model.flip_average)
    with contextlib.closing(classifier):
        self_test(classifier)
        labels = classifier.contract.labels
    events = EventSettings(**asdict(config.events))
    for name in config.output.sinks:
        sink_opener(
            name,
            events,
            asdict(config.mqtt),
            asdict(config.rotation),
            asdict(config.web),
            labels=labels,
        )


def source_options(
    source: SourceConfig,
    *,
    color: bool,
    color_wanted: Callable[[], bool] | None = None,
    delivered: Callable[[], bool] | None = None,
    alive: Callable[[], None] | None = None,
) -> SourceOptions:
    """What the source is asked to deliver.

    Args:
        color_wanted: whether the next frame's colour is wanted; None: it always is.
        delivered: whether all results so far are written; None: they are.
        alive: called while a watched folder has nothing new or a camera is opened again.

    Raises:
        UsageError: a rotation or region that cannot be.
    """
    if source.region and len(source.region) != 4:
        raise UsageError(f"source.region must be x, y, width, height. Received: {source.region!r}")
    region = (
        (source.region[0], source.region[1], source.region[2], source.region[3]) if source.region else None
    )
    return SourceOptions(
        color=color,
        color_wanted=color_wanted,
        realtime=source.realtime,
        seed=source.seed,
        size_wh=(source.width, source.height),
        rate_hz=source.rate_hz,
        stall_timeout_s=source.stall_timeout_s,
        reopen_tries=source.reopen_tries,
        transform=Transform(region, source.rotate, source.mirror),
        controls=source.controls,
        watch_s=source.watch_s,
        done=source.done,
        delivered=delivered,
        alive=alive,
    )


def pipeline_settings(config: Config) -> PipelineSettings:
    """How faces are found, followed and calmed."""
    return PipelineSettings(
        detect_interval_s=config.detector.interval_s,
        min_score=config.detector.min_score,
        min_iou=config.tracking.min_iou,
        drop_after_s=config.tracking.drop_after_s,
        confirm_s=config.tracking.confirm_s,
        sure_score=config.tracking.sure_score,
        smoothing_s=config.tracking.smoothing_s,
    )


def _numbers(text: str, option: str, separator: str, count: int) -> tuple[int, ...]:
    parts = text.split(separator)
    numbers = tuple(value for part in parts if (value := whole_number(part.strip())) is not None)
    if not len(parts) == len(numbers) == count:
        example = separator.join(["640", "480", "320", "240"][:count])
        raise UsageError(f"{option} must be {count} whole numbers, e.g. {example}. Received: {text!r}")
    return numbers

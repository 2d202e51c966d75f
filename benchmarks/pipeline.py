"""Time, age and memory of whole frames: capture, detection, cropping, inference.

Runs the device's own pipeline on a video, camera or the demo in a fresh process. With --realtime a
video plays at its own rate and frames that come too late are dropped, as with a camera.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from benchmarks.files import to_json
from benchmarks.latency import check_counts
from benchmarks.record import PipelineRecord, to_dict, write_records
from benchmarks.sampler import run_watched
from benchmarks.schema import parse, to_document
from benchmarks.text import pipeline_text
from edge_runtime.backends import NAMES
from edge_runtime.classifier import DEFAULT_MODEL, resolve_model

DEFAULT_DETECTOR = "edge"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="SOURCE", help="as for `edge-fer run`")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="FILE|NAME")
    parser.add_argument(
        "--detector", action="append", metavar="NAME", help="repeat for several; default edge"
    )
    parser.add_argument("--backend", default="auto", choices=NAMES)
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--frames", type=int, metavar="N", help="frames to time; default: to the end")
    parser.add_argument("--realtime", action="store_true", help="play a video at its own rate")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the records here")


def run(arguments: argparse.Namespace) -> int:
    check_counts(threads=arguments.threads)
    if arguments.frames is not None:
        check_counts(frames=arguments.frames)
    records = [
        measure_pipeline(arguments, detector) for detector in arguments.detector or [DEFAULT_DETECTOR]
    ]
    for record in records:
        for reason in record.void:
            print(f"benchmarks pipeline: VOID: {reason}", file=sys.stderr)
    if arguments.out:
        write_records(arguments.out, records)
    documents = [to_dict(record) for record in records]
    print(to_json(documents) if arguments.format == "json" else pipeline_text(records), end="")
    return 0


def measure_pipeline(arguments: argparse.Namespace, detector: str) -> PipelineRecord:
    """Measure one detector in a fresh process.

    Raises:
        EdgeFerError: source, detector, model or backend cannot be opened, or the process died.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    job = {
        "source": arguments.source,
        "realtime": arguments.realtime,
        "model": str(resolve_model(arguments.model)),
        "backend": arguments.backend,
        "threads": arguments.threads,
        "detector": detector,
        "frames": arguments.frames,
    }
    result, environment = run_watched("benchmarks.measure_pipeline", job)
    document = {"started": started, **result, "environment": to_document(environment)}
    return parse(PipelineRecord, document, "measurement")

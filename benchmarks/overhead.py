"""What the device's path adds to the bare calls of its models, in CPU time.

Frames of a source, as luma in memory, go through the pipeline; after each, the detector's and the
classifier's interpreters run once more on the tensors they hold: the bare calls, on the same machine in
the same state. Only frames with exactly one face count. What is added is everything else between a
frame's luma and its record: shrinking, decoding, following, cropping, probabilities, smoothing, the record.
Decoding of the video and sinks are left out; the JSON line is timed beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.files import to_json, write_text
from benchmarks.host import describe_host
from benchmarks.latency import check_counts
from benchmarks.sampler import run_watched
from benchmarks.schema import to_document
from edge_runtime.backends import NAMES
from edge_runtime.classifier import DEFAULT_MODEL, resolve_model

PARTS = ("path", "detector", "classifier", "added", "json_line")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="SOURCE", help="as for `edge-fer run`")
    parser.add_argument("--size", metavar="WxH", help="resize frames to this, e.g. 640x480")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="FILE|NAME")
    parser.add_argument(
        "--detector", default="edge", metavar="NAME", help="edge or edge:FILE; default edge"
    )
    parser.add_argument("--backend", default="auto", choices=NAMES)
    parser.add_argument("--frames", type=int, default=500, metavar="N", help="frames to time; default 500")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the result here")


def run(arguments: argparse.Namespace) -> int:
    check_counts(frames=arguments.frames)
    job = {
        "source": arguments.source,
        "size": arguments.size,
        "model": str(resolve_model(arguments.model)),
        "detector": arguments.detector,
        "backend": arguments.backend,
        "frames": arguments.frames,
    }
    result, _ = run_watched("benchmarks.measure_overhead", job)
    document = summary(result)
    if arguments.out:
        write_text(arguments.out, to_json(document))
    print(to_json(document) if arguments.format == "json" else text(document), end="")
    return 0


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Medians and 10th percentiles in milliseconds of every part, and the ratio of path to bare calls."""
    values = {part: np.array(result["values_ns"][part]) / 1e6 for part in PARTS if part != "added"}
    values["added"] = values["path"] - values["detector"] - values["classifier"]
    bare = values["detector"] + values["classifier"]
    return {
        "kind": "overhead",
        "source": result["source"],
        "frame_hw": result["frame_hw"],
        "frames": len(values["path"]),
        "model": result["model"],
        "detector": result["detector"],
        "backend": result["backend"],
        "p10_ms": {part: float(np.percentile(values[part], 10)) for part in PARTS},
        "p50_ms": {part: float(np.percentile(values[part], 50)) for part in PARTS},
        "ratio": float(np.median(values["path"] / bare)),
        "host": to_document(describe_host()),
    }


def text(document: dict[str, Any]) -> str:
    """The summary in words."""
    height, width = document["frame_hw"]
    lines = [
        f"{document['source']}, {document['frames']} frames {width}x{height} with one face; "
        f"{document['detector']}, {document['model']}, {document['backend']}",
        f"{'CPU ms per frame':<18}{'p10':>8}{'p50':>8}",
    ]
    for part in PARTS:
        name = part.replace("_", " ")
        lines.append(f"{name:<18}{document['p10_ms'][part]:>8.3f}{document['p50_ms'][part]:>8.3f}")
    lines.append(f"path over bare calls, median: {document['ratio']:.2f}")
    return "\n".join(lines) + "\n"

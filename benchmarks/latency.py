"""Time, memory and power of one inference.

Every combination of model, backend and number of threads runs in a fresh process. A call is what the
device does per face: cut it out of a frame, resize, run the model, turn its output into probabilities.
Results are a JSON list, one record per process, with every raw value; docs/benchmarks.md explains it.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.files import to_json
from benchmarks.instructions import count_instructions
from benchmarks.profile import onnx_profile
from benchmarks.progress import track
from benchmarks.record import LatencyRecord, to_dict, write_records
from benchmarks.sampler import child_environment, run_watched
from benchmarks.schema import parse, to_document
from benchmarks.stats import P99_MIN_VALUES
from benchmarks.text import latency_text
from edge_runtime.backends import NAMES
from edge_runtime.classifier import DEFAULT_MODEL, resolve_model
from edge_runtime.errors import UsageError

LITERT_TOOL = "ai_edge_litert.tools.benchmark_litert_model"
_LITERT_TIMEOUT_S = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        metavar="FILE|NAME",
        help=f"a model file or the name of a released model; repeat for several; default {DEFAULT_MODEL}",
    )
    parser.add_argument("--backend", action="append", choices=NAMES, help="repeat for several")
    parser.add_argument(
        "--threads", action="append", type=int, metavar="N", help="repeat for several; default 1"
    )
    parser.add_argument(
        "--calls",
        type=int,
        default=P99_MIN_VALUES,
        metavar="N",
        help=f"timed calls per process; default and least for a p99: {P99_MIN_VALUES}",
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="fresh processes per combination; default 1"
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="with one thread also count instructions per call (hardware counter, else valgrind: slow)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the records here")


def run(arguments: argparse.Namespace) -> int:
    check_counts(calls=arguments.calls, processes=arguments.processes)
    models = [resolve_model(model) for model in arguments.model or [DEFAULT_MODEL]]
    backends, threads = arguments.backend or ["auto"], arguments.threads or [1]
    check_counts(threads=min(threads))
    jobs = list(itertools.product(models, backends, threads, range(arguments.processes)))
    records = [
        measure_latency(model, backend, count, arguments.calls, arguments.instructions)
        for model, backend, count, _ in track(jobs, "latency", len(jobs))
    ]
    if arguments.out:
        write_records(arguments.out, records)
    report(records, arguments.format)
    return 0


def check_counts(**counts: int) -> None:
    """Refuse counts below one.

    Raises:
        UsageError: with the name of the option.
    """
    for name, count in counts.items():
        if count < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1. Received: {count}")


def report(records: Sequence[LatencyRecord], form: str) -> None:
    """Print results to stdout, and what spoils them to stderr."""
    for record in records:
        name = " ".join(record.key)
        for reason in record.void:
            print(f"benchmarks latency: VOID {name}: {reason}", file=sys.stderr)
        for warning in record.environment.warnings:
            print(f"benchmarks latency: {name}: {warning}", file=sys.stderr)
    documents = [to_dict(record) for record in records]
    print(to_json(documents) if form == "json" else latency_text(records), end="")


def measure_latency(
    model: Path, backend: str, threads: int, calls: int, instructions: bool = False
) -> LatencyRecord:
    """Measure one combination in a fresh process.

    Raises:
        EdgeFerError: the model or the backend cannot be loaded, or the process died.
    """
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    job = {"model": str(model), "backend": backend, "threads": threads, "calls": calls}
    result, environment = run_watched("benchmarks.measure_latency", job)
    # Threads that wait for each other spin: their instructions say nothing about the work.
    count, source = count_instructions(job) if instructions and threads == 1 else (None, None)
    document: dict[str, Any] = {
        "started": started,
        **result,
        "litert_benchmark_ms": _litert_benchmark(model, threads)
        if result["backend_name"] == "litert"
        else None,
        "operator_profile": onnx_profile(model, threads) if result["backend_name"] == "onnx" else None,
        "instructions_per_call": count,
        "instructions_source": source,
        "environment": to_document(environment),
    }
    record = parse(LatencyRecord, document, "measurement")
    if not record.warmup_steady:
        warning = "calls were still getting faster when timing began; measure again on an idle machine"
        document["environment"]["warnings"].append(warning)
        record = parse(LatencyRecord, document, "measurement")
    return record


def _litert_benchmark(model: Path, threads: int) -> float | None:
    """Median of the benchmark tool that comes with ai-edge-litert, None where it does not run."""
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        words = [sys.executable, "-m", LITERT_TOOL, "--model", str(model.resolve()), "--num_runs", "1000"]
        words += ["--warmup_runs", "200", "--num_threads", str(threads)]
        try:
            done = subprocess.run(
                words,
                env=child_environment(),
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_LITERT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    match = re.search(r"Inference \(median\):\s+([\d.]+) ms", done.stdout)
    return float(match[1]) if match else None

"""Measure models x backends x threads, each in fresh processes, resumable.

Every record is written to --out as soon as it is there. Started again with the same --out, the run
goes on where it was interrupted: what that file holds of the same host, model, backend and conditions
is not measured again; void records are, unless --keep-void is given.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.host import describe_host
from benchmarks.latency import check_counts, measure_latency, report
from benchmarks.measure_latency import BOX_PX, FRAME_HW, NO_BOX
from benchmarks.record import LatencyRecord, Record, read_records, write_records
from benchmarks.sampler import wait_until_idle
from benchmarks.stats import P99_MIN_VALUES
from edge_runtime.backends import NAMES
from edge_runtime.classifier import MODELS_DIR, resolve_model
from edge_runtime.errors import BackendError, ContractError, EdgeFerError, UsageError
from edge_runtime.modelfile import TFLITE_IDENTIFIER


@dataclass(frozen=True)
class Job:
    """One process to run."""

    model: Path
    sha256: str
    backend: str
    threads: int

    @property
    def identity(self) -> tuple[str, str, int]:
        return (self.sha256, self.backend, self.threads)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", action="append", metavar="FILE|NAME", help="repeat for several; default: all released"
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=[name for name in NAMES if name != "auto"],
        help="repeat for several; default: all that are installed and run the model",
    )
    parser.add_argument(
        "--threads",
        action="append",
        type=int,
        metavar="N",
        help="default: 1, and 2 and 4 with as many CPUs",
    )
    parser.add_argument("--calls", type=int, default=P99_MIN_VALUES, metavar="N")
    parser.add_argument("--processes", type=int, default=3, metavar="N", help="per combination; default 3")
    parser.add_argument(
        "--instructions", action="store_true", help="with one thread also count instructions per call"
    )
    parser.add_argument("--keep-void", action="store_true", help="keep void records of an earlier run")
    parser.add_argument(
        "--wait-idle",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="before each process wait this long for an idle machine, and repeat once what became void",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")


def run(arguments: argparse.Namespace) -> int:
    check_counts(calls=arguments.calls, processes=arguments.processes)
    models = [resolve_model(name) for name in arguments.model or released_models()]
    host = describe_host()
    threads = arguments.threads or [count for count in (1, 2, 4) if count <= host.cores]
    check_counts(threads=min(threads))
    backends = arguments.backend or [name for name in NAMES if name != "auto"]
    contents = {model: _content(model) for model in models}
    wanted = [
        Job(model, hashlib.sha256(contents[model]).hexdigest(), backend, count)
        for _, model, backend, count in itertools.product(
            range(arguments.processes), models, backends, threads
        )
        if (backend == "onnx") == (contents[model][4:8] != TFLITE_IDENTIFIER)
    ]
    records = read_records(arguments.out) if arguments.out.exists() else []
    kept = [record for record in records if arguments.keep_void or not record.void]
    jobs = remaining(wanted, kept, host.fingerprint, arguments.calls)
    _say(f"{len(wanted)} processes, {len(wanted) - len(jobs)} done already")
    kept += _measure(jobs, records, arguments)
    results = [record for record in kept if isinstance(record, LatencyRecord)]
    measured = {record.backend_name for record in results} | {record.model_sha256 for record in results}
    for name in (*dict.fromkeys(job.sha256 for job in wanted), *(arguments.backend or ())):
        if name not in measured:
            files = {job.sha256: job.model.name for job in wanted}
            raise EdgeFerError(f"nothing could be measured with {files.get(name, name)}; see above for why")
    report(results, arguments.format)
    return 0


def released_models() -> list[str]:
    """Names of the models that come with the runtime.

    Raises:
        UsageError: there are none.
    """
    names = sorted(file.stem for file in MODELS_DIR.glob("*.tflite"))
    if not names:
        raise UsageError(f"no released models in {MODELS_DIR}; name some with --model")
    return names


def _content(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise ContractError(f"{model}: cannot read the model file ({error.strerror})") from None


def remaining(wanted: Sequence[Job], records: Sequence[Record], fingerprint: str, calls: int) -> list[Job]:
    """The jobs that no record of this host, under these conditions, answers yet."""
    done = Counter(
        (record.model_sha256, record.backend_name, record.threads)
        for record in records
        if isinstance(record, LatencyRecord)
        and record.environment.host.fingerprint == fingerprint
        and len(record.cpu_ns) == calls
        and tuple(record.frame_hw) == FRAME_HW
        and record.box_px in (BOX_PX, NO_BOX)
    )
    jobs = []
    for job in wanted:
        if done[job.identity]:
            done[job.identity] -= 1
        else:
            jobs.append(job)
    return jobs


def _measure(
    jobs: Sequence[Job], records: list[Record], arguments: argparse.Namespace
) -> list[LatencyRecord]:
    """Measure and write after every process; a backend that does not take a model is skipped aloud.

    Args:
        records: what is in the file; a new record takes the place of a void one that it repeats.

    Returns:
        The new records.
    """
    measured: list[LatencyRecord] = []
    stale = [] if arguments.keep_void else [record for record in records if record.void]
    skipped: set[tuple[str, str]] = set()
    counted = {
        (record.model_sha256, record.backend_name, record.threads)
        for record in records
        if isinstance(record, LatencyRecord) and record.instructions_per_call is not None
    }
    started = time.monotonic()
    for index, job in enumerate(jobs):
        if (job.sha256, job.backend) in skipped:
            continue
        left = f", about {_left(started, index, len(jobs))} left" if index else ""
        _say(f"[{index + 1}/{len(jobs)}] {job.model.name} {job.backend} threads={job.threads}{left}")
        # Instructions do not vary from process to process: one count per combination will do.
        count = arguments.instructions and job.identity not in counted
        try:
            record = _measure_one(job, arguments, count)
        except (BackendError, ContractError) as error:
            skipped.add((job.sha256, job.backend))
            _say(f"skipped {job.model.name} with {job.backend}: {error}")
            continue
        counted |= {job.identity} if count else set()
        measured.append(record)
        repeated = next((old for old in stale if _same_measurement(old, record)), None)
        if repeated is not None:
            stale.remove(repeated)
            records.remove(repeated)
        records.append(record)
        write_records(arguments.out, records)
    return measured


def _same_measurement(old: Record, new: LatencyRecord) -> bool:
    return (
        isinstance(old, LatencyRecord)
        and old.environment.host.fingerprint == new.environment.host.fingerprint
        and (old.model_sha256, old.key) == (new.model_sha256, new.key)
    )


def _measure_one(job: Job, arguments: argparse.Namespace, instructions: bool) -> LatencyRecord:
    wait_s = 60 * arguments.wait_idle
    if wait_s and not wait_until_idle(wait_s):
        _say(f"the machine was never idle for {arguments.wait_idle:g} min; measuring all the same")
    record = measure_latency(job.model, job.backend, job.threads, arguments.calls, instructions)
    if record.void and wait_s and wait_until_idle(wait_s):
        # The count does not suffer from company; the times do.
        count, source = record.instructions_per_call, record.instructions_source
        record = measure_latency(job.model, job.backend, job.threads, arguments.calls)
        record = replace(record, instructions_per_call=count, instructions_source=source)
    return record


def _left(started: float, done: int, total: int) -> str:
    seconds = (time.monotonic() - started) / done * (total - done)
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _say(message: str) -> None:
    print(f"benchmarks matrix: {message}", file=sys.stderr, flush=True)

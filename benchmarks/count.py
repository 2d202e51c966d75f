"""Count instructions per call of what was timed already, and add the counts to the record file.

Times need a quiet machine, counts do not: measure with `matrix`, then count whenever there is time. Records
with one thread that have no count yet get one; one count serves all processes of a combination.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.instructions import count_instructions
from benchmarks.record import LatencyRecord, Record, read_records, write_records
from edge_runtime.classifier import resolve_model
from edge_runtime.errors import EdgeFerError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", type=Path, metavar="RECORDS.json")
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="FILE|NAME",
        help="the model files that were timed; repeat for several",
    )


def run(arguments: argparse.Namespace) -> int:
    records = read_records(arguments.records)
    files = {digest_of(path): path for path in map(resolve_model, arguments.model)}
    wanted = dict.fromkeys(
        (record.model_sha256, record.backend_name)
        for record in records
        if isinstance(record, LatencyRecord) and _lacks_count(record) and record.model_sha256 in files
    )
    for number, (sha256, backend) in enumerate(wanted, start=1):
        path = files[sha256]
        print(f"benchmarks count: [{number}/{len(wanted)}] {path.name} {backend}", file=sys.stderr)
        job = {"model": str(path), "backend": backend, "threads": 1}
        count, source = count_instructions(job)
        if count is None or source is None:
            raise EdgeFerError(
                "neither a hardware counter nor valgrind is here. Install: apt install valgrind"
            )
        records = [with_count(record, sha256, backend, count, source) for record in records]
        write_records(arguments.records, records)
        print(f"{path.name} {backend}: {count / 1e6:.2f} million instructions per call ({source})")
    missing = [
        record.model for record in records if isinstance(record, LatencyRecord) and _lacks_count(record)
    ]
    for model in dict.fromkeys(missing):
        print(f"benchmarks count: {model} was timed; name its file with --model", file=sys.stderr)
    return 0


def with_count(record: Record, sha256: str, backend: str, count: float, source: str) -> Record:
    """The record with a count, if it is of this model and backend with one thread and has none."""
    if not isinstance(record, LatencyRecord) or not _lacks_count(record):
        return record
    if (record.model_sha256, record.backend_name) != (sha256, backend):
        return record
    return replace(record, instructions_per_call=count, instructions_source=source)


def digest_of(path: Path) -> str:
    """SHA-256 of a model file.

    Raises:
        EdgeFerError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EdgeFerError(f"{path}: cannot read the model file ({error.strerror})") from None


def _lacks_count(record: LatencyRecord) -> bool:
    return record.threads == 1 and record.instructions_per_call is None

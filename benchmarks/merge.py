"""Join record files, of one board or of many, and export them as CSV.

Equal records are kept once. The name of --out decides: `.json` keeps everything, `.csv` holds one row
per record with its figures.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.accuracy_record import AccuracyRecord, PeerRecord
from benchmarks.files import write_text
from benchmarks.record import (
    LatencyRecord,
    PipelineRecord,
    Record,
    read_records,
    write_records,
)
from benchmarks.schema import to_document
from edge_runtime.errors import UsageError

CSV_COLUMNS = (
    "kind",
    "board",
    "host",
    "model",
    "model_sha256",
    "backend",
    "threads",
    "detector",
    "source",
    "realtime",
    "task",
    "split",
    "n",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "cpu_ms",
    "frames_per_s",
    "age_p50_ms",
    "load_ms",
    "first_call_ms",
    "rss_steady_bytes",
    "rss_peak_bytes",
    "millijoules_per_call",
    "instructions_per_call",
    "instructions_source",
    "top1",
    "balanced_accuracy",
    "macro_f1",
    "ece",
    "void",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", type=Path, nargs="+", metavar="RECORDS.json")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json|FILE.csv")


def run(arguments: argparse.Namespace) -> int:
    if arguments.out.suffix not in (".json", ".csv"):
        raise UsageError(f"--out must end in .json or .csv. Received: {arguments.out}")
    records = merge([read_records(path) for path in arguments.records])
    if arguments.out.suffix == ".csv":
        write_text(arguments.out, to_csv(records))
    else:
        write_records(arguments.out, records)
    print(f"{arguments.out}: {len(records)} records")
    return 0


def merge(groups: Sequence[Sequence[Record]]) -> list[Record]:
    """All records once each, in their order."""
    unique = {
        json.dumps([record.KIND, to_document(record)]): record for group in groups for record in group
    }
    return list(unique.values())


def to_csv(records: Sequence[Record]) -> str:
    """One row per record; what a record does not have is left empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(_row(record))
    return buffer.getvalue()


def _row(record: Record) -> dict[str, Any]:
    host = record.environment.host if isinstance(record, (LatencyRecord, PipelineRecord)) else record.host
    row: dict[str, Any] = {
        "kind": record.KIND,
        "board": host.board or host.cpu,
        "host": host.fingerprint,
        "void": "; ".join(record.void),
    }
    if isinstance(record, (AccuracyRecord, PeerRecord)):
        row["split"] = record.data.split
    if isinstance(record, PeerRecord):
        row |= {"model": record.peer, "task": record.task, "n": record.n, "top1": record.top1}
        return row | {"cpu_ms": record.cpu_ms_per_image, "rss_peak_bytes": record.rss_peak_bytes}
    row |= {"model": record.model, "model_sha256": record.model_sha256, "backend": record.backend}
    names = [field.name for field in fields(record) if field.name in CSV_COLUMNS and field.name not in row]
    row |= {name: getattr(record, name) for name in names}
    figures = record.derived(intervals=False)
    row |= {key: figures[key] for key in CSV_COLUMNS if key in figures}
    if isinstance(record, LatencyRecord):
        row |= {"n": figures["calls"], "cpu_ms": figures["cpu_ms_per_call"]}
    if isinstance(record, PipelineRecord):
        row |= {"n": figures["frames"], "age_p50_ms": figures["age"]["p50_ms"]}
    return row

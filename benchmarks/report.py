"""One HTML page from record files, readable offline: pictures, tables, hosts, void runs.

Pictures are also written as PNG beside the page. Needs matplotlib; measuring on a board does not.
"""

from __future__ import annotations

import argparse
import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy_record import AccuracyRecord
from benchmarks.files import write_bytes, write_text
from benchmarks.merge import merge
from benchmarks.record import LatencyRecord, PipelineRecord, Record, read_records
from benchmarks.summary import latency_rows, pareto
from benchmarks.tables import TABLES
from edge_runtime.errors import EdgeFerError

SECTIONS = (
    ("pareto", "Accuracy against latency"),
    ("latency", "Latency of one call"),
    ("cost", "What a call costs besides"),
    ("ratio", "Against mini_XCEPTION"),
    ("operators", "Where the time goes inside of the runtime"),
    ("pipeline", "Whole frames"),
    ("accuracy", "Accuracy"),
    ("classes", "Classes"),
    ("peers", "Other programs"),
    ("hosts", "Hosts"),
    ("void", "Void runs: measured, kept, in no table above"),
)

STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2430 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums }
th, td { padding: 0.3rem 0.6rem; border-bottom: 1px solid #d5dbe3; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 14rem }
th { background: #eef2f6 }
img { max-width: 100%; height: auto }
@media (prefers-color-scheme: dark) {
  body { background: #12161c; color: #dfe5ec } th { background: #202833 } th, td { border-color: #364250 }
}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", type=Path, nargs="+", metavar="RECORD.json")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html")


def run(arguments: argparse.Namespace) -> int:
    records = merge([read_records(path) for path in arguments.records])
    pictures = draw(records)
    for name, content in pictures.items():
        write_bytes(arguments.out.with_name(f"{arguments.out.stem}-{name}.png"), content)
    write_text(arguments.out, page(records, pictures))
    print(f"{arguments.out}: {len(records)} records, {len(pictures)} pictures")
    return 0


def draw(records: Sequence[Record]) -> dict[str, bytes]:
    """PNG pictures by the name of the section that they belong to; void records enter none.

    Raises:
        EdgeFerError: matplotlib is not installed.
    """
    try:
        from benchmarks import pictures
    except ImportError as error:
        raise EdgeFerError(
            f"the report needs matplotlib ({error}). Install: pip install matplotlib"
        ) from None
    rows = latency_rows(records)
    points = pareto(rows, [record for record in records if isinstance(record, AccuracyRecord)])
    good = [record for record in records if isinstance(record, LatencyRecord) and not record.void]
    drawn = {}
    if points:
        drawn["pareto"] = pictures.pareto_png(points)
    if good:
        drawn["latency"] = pictures.distributions_png(good)
        drawn["cost"] = pictures.stages_png(rows)
    return drawn


def page(records: Sequence[Record], pictures: dict[str, bytes]) -> str:
    """The page; it refers to nothing outside itself."""
    void = sum(bool(record.void) for record in records)
    parts = [
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n",
        '<meta name=viewport content="width=device-width, initial-scale=1">\n',
        f"<title>edge-fer benchmarks</title>\n<style>{STYLE}</style>\n<h1>edge-fer benchmarks</h1>\n",
        f"<p>{len(records)} records from {_dates(records)}; {void} of them void.</p>\n",
    ]
    for name, title in SECTIONS:
        table = TABLES[name](records)
        if table.startswith("No records") and name not in pictures:
            continue
        parts.append(f"<h2>{html.escape(title)}</h2>\n")
        if name in pictures:
            encoded = base64.b64encode(pictures[name]).decode()
            parts.append(f'<p><img alt="{html.escape(title)}" src="data:image/png;base64,{encoded}"></p>\n')
        parts.append(f"<div class=scroll>{_html_table(table)}</div>\n")
    return "".join(parts)


def _dates(records: Sequence[Record]) -> str:
    days = sorted(
        record.started[:10] for record in records if isinstance(record, (LatencyRecord, PipelineRecord))
    )
    if not days:
        return "unknown days"
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _html_table(markdown: str) -> str:
    lines = [line for line in markdown.splitlines() if not re.fullmatch(r"[|\-: ]+", line)]
    rows = [[html.escape(cell.strip()) for cell in line.strip("|").split(" | ")] for line in lines]
    head = "".join(f"<th>{cell}" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) + "\n" for row in rows[1:])
    return f"<table>\n<thead><tr>{head}\n<tbody>\n{body}</table>"

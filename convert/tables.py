"""Tables of a document, made from the records of conversions, and the check that they still match.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is one of `TABLES`. Its rows
come from all records of its kind in a folder, one record per model, in the order of their names.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.layers import ROUNDING_DB
from convert.output import candidate_file
from edge_runtime.errors import ContractError, EdgeFerError, UsageError

ARCHITECTURES_NAME = "architectures.json"
_CLASSIFIERS, _DETECTORS = "classifier-*.json", "detector-*.json"
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = list[str]


def run_tables(arguments: Namespace) -> int:
    document = arguments.document
    records = arguments.records or document.with_suffix("")
    text = read_text(document)
    fresh = fill(text, records)
    if fresh == text:
        print(f"{document}: matches the records")
        return 0
    if arguments.check:
        raise EdgeFerError(
            f"{document}: does not match the records in {records}; write it again with: "
            f"python -m convert tables {document}"
        )
    write_text(document, fresh)
    print(f"{document}: written")
    return 0


def publish(report: Mapping[str, Any], document: Path) -> None:
    """Keep the report of `convert all` beside a document and make the document's tables anew.

    Raises:
        EdgeFerError: document or record cannot be read or written.
    """
    read_text(document)
    records = document.with_suffix("")
    records.mkdir(exist_ok=True)
    write_text(records / record_name(report), json.dumps(report, indent=1) + "\n")
    write_text(document, fill(read_text(document), records))


def record_name(report: Mapping[str, Any]) -> str:
    """Name of the file that keeps a report of `convert all`."""
    pattern = _DETECTORS if report["task"] == "detect" else _CLASSIFIERS
    return pattern.replace("*", report["model"])


def tables_of(report: Mapping[str, Any]) -> list[str]:
    """The tables of one report, to be shown at once."""
    name = record_name(report)
    made = (
        table for table in TABLES.values() if any(Path(name).match(pattern) for pattern in table.records)
    )
    return [markdown(table.head, table.rows(report)).rstrip() for table in made]


def read_text(path: Path) -> str:
    """
    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then rename.

    Raises:
        EdgeFerError: it cannot be written.
    """
    with candidate_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fill(text: str, records: Path) -> str:
    """The text with every generated block made anew from the records of a folder.

    Raises:
        ContractError: a block of an unknown name, none at all, or a record that is missing or damaged.
    """
    if not _BLOCK.search(text):
        raise ContractError("the document has no block <!-- generated: NAME --> … <!-- end -->")

    def replace(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise ContractError(f"unknown table {match[2]!r}; choose one of {', '.join(TABLES)}")
        table = TABLES[match[2]]
        paths = sorted(path for pattern in table.records for path in records.glob(pattern))
        if not paths:
            raise ContractError(f"{records}: has no {' or '.join(table.records)}")
        rows = [row for path in paths for row in _rows(table, path)]
        return f"{match[1]}\n{markdown(table.head, rows)}\n{match[3]}"

    return _BLOCK.sub(replace, text)


def _rows(table: Table, path: Path) -> list[Row]:
    try:
        return table.rows(json.loads(read_text(path)))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ContractError(f"{path}: not a record of this program ({error!r}); make it again") from None


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are right-aligned."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def models_rows(report: Mapping[str, Any]) -> list[Row]:
    """What a model costs, and what its Keras model reaches."""
    written = [item for item in report["formats"] if item["file"]]
    reference = _score(written[0], "reference_") if written else "-"
    pictures = f"{report['images']:,} of {report['split']}"
    millions = f"{report['macs'] / 1e6:.1f}"
    cost = [millions, f"{report['parameters']:,}"]
    return [[report["model"], report["source_sha256"][:12], *cost, pictures, reference, report["machine"]]]


def formats_rows(report: Mapping[str, Any]) -> list[Row]:
    """One row per format: size, accuracy, agreement with Keras, delegation, time."""
    rows = []
    for item in report["formats"]:
        name = [report["model"], item["format"]]
        if not item["file"]:
            rows.append([*name, f"not written: {item['reason']}", *[""] * 6])
            continue
        rows.append(
            [
                *name,
                f"{item['size_bytes']:,}",
                item["sha256"][:12],
                _score(item),
                _percent(item["argmax_agreement"]),
                f"{item['max_probability_difference']:.4f}",
                *_speed(item),
            ]
        )
    return rows


def runtimes_rows(report: Mapping[str, Any]) -> list[Row]:
    """One row per format and runtime: the paired comparison with Keras."""
    rows = []
    for item, parity in _parities(report):
        paired, accuracy = parity["paired"], parity["accuracy"]
        low, high = paired["interval"] if paired else (0.0, 0.0)
        rows.append(
            [
                report["model"],
                item["format"],
                _runtime(parity),
                _percent(parity["argmax_agreement"]),
                _percent(accuracy["top1"]) if accuracy else "-",
                f"{100 * paired['difference']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
                if paired
                else "-",
                f"{paired['p_mid']:.2g}" if paired else "-",
            ]
        )
    return rows


def detectors_rows(report: Mapping[str, Any]) -> list[Row]:
    """One row per format and runtime of a detector."""
    rows = []
    for item in report["formats"]:
        if not item["file"]:
            rows.append([report["model"], item["format"], f"not written: {item['reason']}", *[""] * 6])
            continue
        for place, parity in enumerate((item, *item["elsewhere"])):
            # Pieces and time are those of the runtime here.
            rows.append(
                [
                    report["model"],
                    item["format"],
                    f"{item['size_bytes']:,}",
                    item["sha256"][:12],
                    _runtime(parity),
                    _percent(parity["average_precision"]),
                    _percent(parity["agreement"]),
                    *(_speed(item) if place == 0 else ("-", "-")),
                ]
            )
    return rows


def layers_rows(report: Mapping[str, Any]) -> list[Row]:
    """The layers of each format that lose most; those with less noise than 8 bits leave are left out."""
    return [
        [
            report["model"],
            item["format"],
            layer["name"],
            layer["op"],
            f"{layer['sqnr_db']:.1f}",
            f"{layer['drop_db']:.1f}",
        ]
        for item in report["formats"]
        if item["file"]
        for layer in item["worst_layers"]
        if layer["sqnr_db"] < ROUNDING_DB
    ]


def architectures_rows(record: Mapping[str, Any]) -> list[Row]:
    """One row per architecture: deviation from Keras and XNNPACK's pieces per format."""
    rows = []
    for item in record["architectures"]:
        cells = []
        for name in ARCHITECTURE_FORMATS:
            done = item["formats"][name]
            pieces = "" if done["pieces"] is None else f" / {done['pieces']}"
            cells.append(f"{100 * done['deviation']:.2g}{pieces}")
        outside: dict[str, list[str]] = {}
        for name in ARCHITECTURE_FORMATS:
            if item["formats"][name]["outside"]:
                outside.setdefault(", ".join(item["formats"][name]["outside"]), []).append(name)
        left = "; ".join(f"{operations} ({', '.join(names)})" for operations, names in outside.items())
        size = "x".join(map(str, item["input"]))
        rows.append([item["architecture"], size, f"{item['parameters']:,}", *cells, left or "none"])
    return rows


def _parities(report: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Every format that was written with its figures on every runtime."""
    return [
        (item, parity)
        for item in report["formats"]
        if item["file"]
        for parity in (item, *item["elsewhere"])
    ]


def _score(figures: Mapping[str, Any], prefix: str = "") -> str:
    """Top-1 accuracy with its interval, or the average precision of a detector."""
    if f"{prefix}average_precision" in figures:
        return f"{_percent(figures[f'{prefix}average_precision'])} (average precision)"
    accuracy = figures[f"{prefix}accuracy"]
    if accuracy is None:
        return "-"
    return f"{_percent(accuracy['top1'])} [{_percent(accuracy['low'])}, {_percent(accuracy['high'])}]"


def _speed(item: Mapping[str, Any]) -> tuple[str, str]:
    pieces = "-" if item["xnnpack"] is None else str(item["xnnpack"]["partitions"])
    return pieces, f"{item['cpu_ms']:.2f}"


def _runtime(parity: Mapping[str, Any]) -> str:
    return str(parity["backend"]).replace(" threads=1", "")


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


ARCHITECTURE_FORMATS = ("float32", "dynamic", "int8", "onnx-float32", "onnx-int8")


@dataclass(frozen=True)
class Table:
    """Where a table's rows come from."""

    records: tuple[str, ...]
    """Patterns of the records' names."""
    head: tuple[str, ...]
    rows: Callable[[Any], list[Row]]
    """Rows of one record."""


TABLES = {
    "models": Table(
        (_CLASSIFIERS, _DETECTORS),
        ("model", "source", "million MACs", "parameters", "pictures", "Keras itself, %", "machine"),
        models_rows,
    ),
    "formats": Table(
        (_CLASSIFIERS,),
        (
            "model",
            "format",
            "bytes",
            "SHA-256",
            "top-1 % [95 % interval]",
            "agreement %",
            "max probability difference",
            "XNNPACK pieces",
            "CPU ms",
        ),
        formats_rows,
    ),
    "runtimes": Table(
        (_CLASSIFIERS,),
        ("model", "format", "runtime", "agreement %", "top-1 %", "difference, points", "McNemar p"),
        runtimes_rows,
    ),
    "detectors": Table(
        (_DETECTORS,),
        (
            "model",
            "format",
            "bytes",
            "SHA-256",
            "runtime",
            "average precision %",
            "agreement %",
            "XNNPACK pieces",
            "CPU ms",
        ),
        detectors_rows,
    ),
    "layers": Table(
        (_CLASSIFIERS, _DETECTORS),
        ("model", "format", "layer", "operation", "signal to noise, dB", "of that its own loss, dB"),
        layers_rows,
    ),
    "architectures": Table(
        (ARCHITECTURES_NAME,),
        ("architecture", "input", "parameters", *ARCHITECTURE_FORMATS, "operations outside of XNNPACK"),
        architectures_rows,
    ),
}
"""Name in the document -> what it is made of."""

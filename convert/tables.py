"""Tables of a document, made from the records of conversions, and the check that they still match.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is one of `TABLES`.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.output import candidate_file
from edge_runtime.errors import ContractError, EdgeFerError, UsageError

FORMATS_NAME = "formats.json"
ARCHITECTURES_NAME = "architectures.json"
DETECTOR_NAME = "detector.json"
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


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
    write_text(records / FORMATS_NAME, json.dumps(report, indent=1) + "\n")
    write_text(document, fill(read_text(document), records))


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
        name, table = TABLES[match[2]]
        path = records / name
        try:
            made = table(json.loads(read_text(path)))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ContractError(
                f"{path}: not a record of this program ({error!r}); make it again"
            ) from None
        return f"{match[1]}\n{made}\n{match[3]}"

    return _BLOCK.sub(replace, text)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are right-aligned."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def summary_text(report: Mapping[str, Any]) -> str:
    """What the figures of a report hold for: one paragraph."""
    classes = [item for item in report["formats"] if item["file"]]
    reference = classes[0]["reference_accuracy"] if classes else None
    accuracy = f" Keras itself: {_accuracy(reference)}." if reference else ""
    return (
        f"`{report['model']}` (source {report['source_sha256'][:12]}): {report['macs'] / 1e6:.1f} million "
        f"multiply-accumulates, {report['parameters']:,} parameters after batch normalization is folded. "
        f"{report['split']}, n = {report['images']}.{accuracy} Machine: {report['machine']}.\n"
    )


def formats_table(report: Mapping[str, Any]) -> str:
    """One row per format: size, accuracy, agreement with Keras, delegation, time."""
    head = ["format", "bytes", "top-1 % [95 % interval]", "agreement %", "max probability difference"]
    rows = [
        [
            item["format"],
            f"{item['size_bytes']:,}",
            _accuracy(item["accuracy"]),
            f"{100 * item['argmax_agreement']:.2f}",
            f"{item['max_probability_difference']:.4f}",
            "-" if item["xnnpack"] is None else str(item["xnnpack"]["partitions"]),
            f"{item['time_ms']:.2f}",
        ]
        if item["file"]
        else [item["format"], f"not written: {item['reason']}", *[""] * 5]
        for item in report["formats"]
    ]
    return markdown([*head, "XNNPACK pieces", "ms"], rows)


def runtimes_table(report: Mapping[str, Any]) -> str:
    """One row per format and runtime: the paired comparison with Keras."""
    head = ["format", "runtime", "agreement %", "top-1 %", "difference, points", "McNemar p"]
    rows = []
    for item in report["formats"]:
        for parity in (item, *item["elsewhere"]) if item["file"] else ():
            paired, accuracy = parity["paired"], parity["accuracy"]
            low, high = paired["interval"] if paired else (0.0, 0.0)
            rows.append(
                [
                    item["format"],
                    parity["backend"].replace(" threads=1", ""),
                    f"{100 * parity['argmax_agreement']:.2f}",
                    f"{100 * accuracy['top1']:.2f}" if accuracy else "-",
                    f"{100 * paired['difference']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
                    if paired
                    else "-",
                    f"{paired['p_mid']:.2g}" if paired else "-",
                ]
            )
    return markdown(head, rows)


def layers_table(report: Mapping[str, Any]) -> str:
    """The layers of each format that lose most."""
    head = ["format", "layer", "operation", "signal to noise, dB", "of that its own loss, dB"]
    rows = [
        [
            item["format"],
            layer["name"],
            layer["op"],
            f"{layer['sqnr_db']:.1f}",
            f"{layer['drop_db']:.1f}",
        ]
        for item in report["formats"]
        if item["file"]
        for layer in item["worst_layers"]
    ]
    return markdown(head, rows)


def detector_table(parities: Sequence[Mapping[str, Any]]) -> str:
    """One row per runtime of what `convert verify` says of a detector."""
    head = ["model", "runtime", "pictures", "average precision %", "of Keras %", "agreement with Keras %"]
    rows = [
        [
            parity["model"],
            parity["backend"].replace(" threads=1", ""),
            f"{parity['images']} of {parity['split']}",
            *(
                f"{100 * parity[key]:.2f}"
                for key in ("average_precision", "reference_average_precision", "agreement")
            ),
        ]
        for parity in parities
    ]
    return markdown(head, rows)


def architectures_table(record: Mapping[str, Any]) -> str:
    """One row per architecture: deviation from Keras and XNNPACK's pieces per format."""
    formats = record["formats"]
    head = ["architecture", "input", "parameters", *formats, "operations outside of XNNPACK"]
    rows = []
    for item in record["architectures"]:
        cells = []
        for name in formats:
            done = item["formats"][name]
            pieces = "" if done["pieces"] is None else f" / {done['pieces']}"
            cells.append(f"{100 * done['deviation']:.2g}{pieces}")
        outside: dict[str, list[str]] = {}
        for name in formats:
            if item["formats"][name]["outside"]:
                outside.setdefault(", ".join(item["formats"][name]["outside"]), []).append(name)
        left = "; ".join(f"{operations} ({', '.join(names)})" for operations, names in outside.items())
        size = "x".join(map(str, item["input"]))
        rows.append([item["architecture"], size, f"{item['parameters']:,}", *cells, left or "none"])
    return markdown(head, rows)


def _accuracy(figures: Mapping[str, float] | None) -> str:
    if figures is None:
        return "-"
    return f"{100 * figures['top1']:.2f} [{100 * figures['low']:.2f}, {100 * figures['high']:.2f}]"


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "summary": (FORMATS_NAME, summary_text),
    "formats": (FORMATS_NAME, formats_table),
    "runtimes": (FORMATS_NAME, runtimes_table),
    "layers": (FORMATS_NAME, layers_table),
    "detector": (DETECTOR_NAME, detector_table),
    "architectures": (ARCHITECTURES_NAME, architectures_table),
}
"""Name of a block -> the record that it is made from, and how."""

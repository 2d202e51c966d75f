"""`convert all`: the whole set of formats, one table, one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from convert.calibration import CalibrationSet
from convert.cost import Cost, count_cost, median_time_ms
from convert.output import candidate_file
from convert.page import page
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite
from convert.write import Conversion, Exam, write_tflite
from edge_runtime.errors import EdgeFerError

TFLITE_RECIPES = (
    Recipe("float32"),
    Recipe("float16"),
    Recipe("dynamic"),
    Recipe("int8", "int8"),
    Recipe("int16x8"),
)
ONNX_SCHEMES = ("float32", "int8")


@dataclass(frozen=True)
class Row:
    """One format: a file that passed, or why there is none."""

    format: str
    conversion: Conversion | None
    time_ms: float | None
    """Median of one inference, one thread, this machine."""
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"format": self.format, "time_ms": self.time_ms, "reason": self.reason}
        return {**document, **(self.conversion.to_json() if self.conversion else {})}


def convert_everything(
    source: SourceModel,
    calibration: CalibrationSet,
    exam: Exam,
    folder: Path,
    progress: Callable[[str], None],
    nchw: bool = False,
) -> tuple[Cost, list[Row]]:
    """Write every format that passes the gate into a folder, and `report.json` and `report.html`.

    Args:
        folder: exists; files are named after the model in the contract.
        nchw: channels first in the ONNX files.

    Raises:
        EdgeFerError: the float32 graph itself cannot be made.
    """
    name = source.contract.name
    cost = count_cost(convert_tflite(source, Recipe("float32"), None))
    rows = []
    for recipe in TFLITE_RECIPES:
        out = folder / f"{name}-{recipe.name}.tflite"
        progress(f"{out.name} …")
        rows.append(_row(recipe.name, partial(_tflite, source, recipe, calibration, exam, out)))
    for scheme in ONNX_SCHEMES:
        out = folder / f"{name}-{scheme}.onnx"
        progress(f"{out.name} …")
        make = partial(_onnx, source, scheme, calibration, exam, out, nchw)
        rows.append(_row(f"onnx-{scheme}", make))
    document = {
        "model": name,
        "macs": cost.macs,
        "parameters": cost.parameters,
        "split": exam.split,
        "images": len(exam.images),
        "formats": [row.to_json() for row in rows],
    }
    for path, text in (
        (folder / "report.json", json.dumps(document, indent=1)),
        (folder / "report.html", page(document)),
    ):
        with candidate_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return cost, rows


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| format | bytes | top-1 % | agreement % | max probability difference | XNNPACK pieces | ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        done = row.conversion
        if done is None:
            lines.append(f"| {row.format} | not written: {row.reason} | | | | | |")
            continue
        parity, accuracy = done.parity, done.parity.accuracy
        shown = f"{100 * accuracy.top1:.2f}" if accuracy else ""
        pieces = "" if done.delegation is None else str(done.delegation.partitions)
        lines.append(
            f"| {row.format} | {done.size_bytes:,} | {shown} | {100 * parity.argmax_agreement:.2f} | "
            f"{parity.max_probability_difference:.4f} | {pieces} | {row.time_ms:.2f} |"
        )
    return "\n".join(lines)


def _row(name: str, make: Callable[[], Conversion]) -> Row:
    try:
        conversion = make()
    except EdgeFerError as error:
        return Row(name, None, None, str(error))
    return Row(name, conversion, round(median_time_ms(conversion.out), 4), None)


def _tflite(
    source: SourceModel, recipe: Recipe, calibration: CalibrationSet, exam: Exam, out: Path
) -> Conversion:
    graph = convert_tflite(source, recipe, calibration)
    contract = replace(source.contract, quantization=recipe.record(calibration))
    return write_tflite(source, graph, recipe, contract, exam, out)


def _onnx(
    source: SourceModel, scheme: str, calibration: CalibrationSet, exam: Exam, out: Path, nchw: bool
) -> Conversion:
    from convert.onnx import convert_onnx, quantization_record, write_onnx

    used = calibration if scheme == "int8" else None
    graph = convert_onnx(source, scheme, used, nchw)
    contract = replace(source.contract, quantization=quantization_record(scheme, used))
    return write_onnx(source, graph, scheme, contract, exam, out)

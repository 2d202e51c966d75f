"""`convert all`: the whole set of formats, one table, one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.calibration import CalibrationSet
from convert.cost import count_cost, machine_name, median_cpu_ms
from convert.exam import Examination
from convert.layers import LayerError, tflite_layer_errors, worst_layers
from convert.output import candidate_file
from convert.page import page
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite, producer_versions
from convert.write import Conversion, write_tflite
from edge_runtime.errors import EdgeFerError
from edge_runtime.modelfile import split_onnx, split_tflite

TFLITE_RECIPES = (
    Recipe("float32"),
    Recipe("float16"),
    Recipe("dynamic"),
    Recipe("int8", "int8"),
    Recipe("int16x8"),
)
ONNX_SCHEMES = ("float32", "int8")


LAYER_IMAGES = 64
"""Pictures that the per-layer ratio is averaged over."""
WORST_LAYERS = 2


@dataclass(frozen=True)
class Row:
    """One format: a file that passed, or why there is none."""

    format: str
    conversion: Conversion | None
    cpu_ms: float | None
    """Median CPU time of one inference, one thread, this machine."""
    reason: str | None
    layers: tuple[LayerError, ...] = ()
    """The tensors that lose most; empty for float32."""

    def to_json(self) -> dict[str, Any]:
        """As in the report: `file` is a bare name, None where there is no file."""
        document: dict[str, Any] = {"format": self.format, "cpu_ms": self.cpu_ms, "reason": self.reason}
        done = self.conversion
        figures: dict[str, Any] = {**done.to_json(), "file": done.out.name} if done else {"file": None}
        delegation = done.delegation if done else None
        figures["xnnpack_warning"] = delegation.warning if delegation else None
        return {**document, **figures, "worst_layers": [asdict(layer) for layer in self.layers]}


def convert_everything(
    source: SourceModel,
    calibration: CalibrationSet,
    exam: Examination,
    folder: Path,
    progress: Callable[[str], None],
    nchw: bool = False,
) -> dict[str, Any]:
    """Write every format that passes the gate into a folder, and `report-NAME.json` and `.html`.

    Args:
        folder: exists; files are named after the model in the contract.
        nchw: channels first in the ONNX files.

    Returns:
        what the `.json` holds.

    Raises:
        EdgeFerError: the float32 graph itself cannot be made.
    """
    name = source.contract.name
    exact = convert_tflite(source, Recipe("float32"), None)
    cost = count_cost(exact)
    pixels = exam.pixels(source.contract, LAYER_IMAGES)
    rows = []
    for recipe in TFLITE_RECIPES:
        out = folder / f"{name}-{recipe.name}.tflite"
        progress(f"{out.name} …")
        make = partial(_tflite, source, recipe, calibration, exam, out)
        rows.append(_row(recipe.name, make, lambda graph: tflite_layer_errors(exact, graph, pixels)))
    for scheme in ONNX_SCHEMES:
        out = folder / f"{name}-{scheme}.onnx"
        progress(f"{out.name} …")
        make = partial(_onnx, source, scheme, calibration, exam, out, nchw)
        rows.append(_row(f"onnx-{scheme}", make, lambda graph: _onnx_layers(source, graph, pixels)))
    report = {
        "model": name,
        "task": source.contract.task,
        "source_sha256": source.contract.producer["source_sha256"],
        "macs": cost.macs,
        "parameters": cost.parameters,
        "split": exam.split,
        "images": len(exam.images),
        "machine": machine_name(),
        "versions": producer_versions(),
        "formats": [row.to_json() for row in rows],
    }
    for path, text in (
        (folder / f"report-{name}.json", json.dumps(report, indent=1) + "\n"),
        (folder / f"report-{name}.html", page(report)),
    ):
        with candidate_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return report


def _row(
    name: str,
    make: Callable[[], Conversion],
    layer_errors: Callable[[bytes], tuple[LayerError, ...]],
) -> Row:
    try:
        conversion = make()
        if name.endswith("float32"):
            layers: tuple[LayerError, ...] = ()
        else:
            split = split_onnx if conversion.out.suffix == ".onnx" else split_tflite
            graph, _ = split(conversion.out.read_bytes(), conversion.out)
            layers = worst_layers(layer_errors(graph), WORST_LAYERS)
    except EdgeFerError as error:
        return Row(name, None, None, str(error))
    return Row(name, conversion, round(median_cpu_ms(conversion.out), 4), None, layers)


def _tflite(
    source: SourceModel, recipe: Recipe, calibration: CalibrationSet, exam: Examination, out: Path
) -> Conversion:
    graph = convert_tflite(source, recipe, calibration)
    # Tables tell the formats apart by the model's name; int8 is what a device runs.
    name = source.contract.name if recipe.name == "int8" else f"{source.contract.name}-{recipe.name}"
    contract = replace(source.contract, name=name, quantization=recipe.record(calibration))
    return write_tflite(source, graph, recipe, contract, exam, out)


def _onnx(
    source: SourceModel, scheme: str, calibration: CalibrationSet, exam: Examination, out: Path, nchw: bool
) -> Conversion:
    from convert.onnx import convert_onnx, quantization_record, write_onnx

    used = calibration if scheme == "int8" else None
    graph = convert_onnx(source, scheme, used, nchw)
    name = f"{source.contract.name}-onnx-{scheme}"
    contract = replace(source.contract, name=name, quantization=quantization_record(scheme, used))
    return write_onnx(source, graph, scheme, contract, exam, out)


def _onnx_layers(
    source: SourceModel, graph: bytes, pixels: npt.NDArray[np.uint8]
) -> tuple[LayerError, ...]:
    from convert.onnx import layer_errors

    return layer_errors(source, graph, pixels)

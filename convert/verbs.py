"""The verbs of `python -m convert`: arguments in, results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from convert.inspection import CONVERTED, Inspection
from convert.output import candidate_file, check_folder, check_out
from convert.quiet import captured_stderr
from convert.tflite import CALIBRATED, Recipe, convert_tflite, convert_trained_ranges
from convert.verify import TRAINED_MIN_AGREEMENT
from convert.work import is_detector, load, statement_of, threshold_of, work_of
from convert.write import write_tflite
from edge_runtime.classifier import Classifier
from edge_runtime.contract import InputSpec
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import ContractError, EdgeFerError, UsageError


def run_tflite(arguments: Namespace) -> int:
    check_out(arguments.out, ".tflite")
    io = arguments.io or ("int8" if arguments.quantize == "int8" else "float32")
    recipe = Recipe(arguments.quantize, io)
    work = work_of(arguments)
    source, demanded = work.source, None
    ranges = ranges_of(arguments, recipe)
    if ranges is None:
        calibration = work.calibration() if recipe.scheme in CALIBRATED else None
        progress("converting …")
        graph = convert_tflite(source, recipe, calibration)
        record = recipe.record(calibration)
    else:
        from convert.qat import fake_quantized, read_ranges

        progress(f"converting with the ranges of training in {ranges} …")
        trained = read_ranges(ranges)
        source, demanded = fake_quantized(source, trained), TRAINED_MIN_AGREEMENT
        graph = convert_trained_ranges(source)
        record = {**recipe.record(None), "method": "trained ranges", "ranges_sha256": trained.sha256}
    contract = replace(source.contract, quantization=record)
    exam = work.exam(source, demanded)
    progress(f"verifying on {len(exam.images)} images …")
    done = write_tflite(source, graph, recipe, contract, exam, arguments.out)
    if done.delegation and done.delegation.warning:
        progress(f"warning: {done.delegation.warning}")
    show(arguments.format, [done.to_json()], [done.to_text()])
    return 0


def run_onnx(arguments: Namespace) -> int:
    check_out(arguments.out, ".onnx")
    from convert.onnx import convert_onnx, quantization_record, write_onnx

    work = work_of(arguments)
    source = work.source
    calibration = work.calibration() if arguments.quantize == "int8" else None
    progress("converting …")
    graph = convert_onnx(source, arguments.quantize, calibration, arguments.nchw)
    record = quantization_record(arguments.quantize, calibration)
    contract = replace(source.contract, quantization=record)
    exam = work.exam()
    progress(f"verifying on {len(exam.images)} images …")
    done = write_onnx(source, graph, arguments.quantize, contract, exam, arguments.out)
    show(arguments.format, [done.to_json()], [done.to_text()])
    return 0


def _verify_detector(arguments: Namespace) -> int:
    from convert.detector_exam import DetectionParity

    work = work_of(arguments)
    exam, found, failed = work.exam(), [], []
    for candidate in arguments.candidates:
        parities: list[DetectionParity] = exam.measure(candidate, candidate.name, work.source.contract)
        for parity in parities:
            found.append(parity)
            if exam.judge(candidate, parity, exact=False):
                failed.append(f"{candidate} on {parity.backend}")
    show(arguments.format, [parity.to_json() for parity in found], [parity.to_text() for parity in found])
    if failed:
        raise ContractError(
            f"average precision fell by more than --max-loss: {'; '.join(failed)}; convert again"
        )
    return 0


def run_verify(arguments: Namespace) -> int:
    if is_detector(arguments.model):
        return _verify_detector(arguments)
    if arguments.max_loss is not None:
        raise UsageError(f"--max-loss is for detectors; {arguments.model} takes --min-agreement")
    inspection = Inspection(
        arguments.model,
        arguments.data,
        arguments.split,
        min_agreement=threshold_of(arguments),
        worst=arguments.layers,
        statement=statement_of(arguments),
        tflite_runtime_python=arguments.tflite_runtime_python,
    )
    documents, texts, failed = [], [], []
    for candidate in arguments.candidates:
        for result in inspection.of(candidate):
            documents.append(result.to_json())
            texts.append(result.to_text())
            if not result.passed:
                failed.append(f"{candidate} on {result.parity.backend}")
    show(arguments.format, documents, texts)
    for note in inspection.notes:
        progress(note)
    if failed:
        raise ContractError(
            f"argmax agreement below {threshold_of(arguments):.2%}: {'; '.join(failed)}; "
            "look at the layers named above, or convert again"
        )
    return 0


def run_all(arguments: Namespace) -> int:
    from convert.everything import convert_everything
    from convert.tables import publish, read_text, tables_of

    check_folder(arguments.out)
    if arguments.document is not None:
        read_text(arguments.document)  # that it is there, before the long work
    work = work_of(arguments)
    calibration, exam = work.calibration(), work.exam()
    report = convert_everything(work.source, calibration, exam, arguments.out, progress, arguments.nchw)
    formats = report["formats"]
    for item in formats:
        if item["xnnpack_warning"]:
            progress(f"warning: {item['format']}: {item['xnnpack_warning']}")
    show(arguments.format, formats, tables_of(report))
    missing = [item["format"] for item in formats if not item["file"]]
    if missing:
        raise ContractError(f"not written: {', '.join(missing)}; the table says why")
    if arguments.document is not None:
        publish(report, arguments.document)
        progress(f"{arguments.document}: tables made anew")
    return 0


def run_sheet(arguments: Namespace) -> int:
    check_out(arguments.out, ".png")
    from convert.sheet import contact_sheet, read_pictures

    pictures = read_pictures(arguments.images)
    if arguments.model.suffix in CONVERTED:
        with captured_stderr():
            classifier = Classifier.load(arguments.model)
        labels = classifier.contract.labels
        shares = [
            classifier.predict(pixels).copy() for pixels in fitted(pictures, classifier.contract.input)
        ]
        probabilities = np.stack(shares)
    else:
        source = load(arguments)
        labels = source.contract.labels
        probabilities = source.predict_pixels(np.stack(fitted(pictures, source.contract.input)))
    with candidate_file(arguments.out) as temporary:
        if not cv2.imwrite(str(temporary), contact_sheet(pictures, probabilities, labels)):
            raise EdgeFerError(f"{arguments.out}: cannot be written")
    for picture, row in zip(range(len(pictures)), probabilities, strict=True):
        progress(f"{picture}: {labels[int(row.argmax())]} {row.max():.0%}")
    print(arguments.out)
    return 0


def fitted(pictures: list[npt.NDArray[np.uint8]], spec: InputSpec) -> list[npt.NDArray[np.uint8]]:
    """Pictures of different sizes at the size and colour of a model's input."""
    return [fit_pictures(picture[None], spec)[0] for picture in pictures]


def run_attach(arguments: Namespace) -> int:
    if arguments.model.suffix not in CONVERTED:
        raise UsageError(f"{arguments.model}: expected a .tflite or .onnx file")
    if not arguments.model.is_file():
        raise ContractError(f"{arguments.model}: no such model file")
    check_out(arguments.out, arguments.model.suffix)
    from convert.attach import attach_contract

    done = attach_contract(arguments.model, arguments.out, statement_of(arguments), arguments.name)
    show(arguments.format, [done.to_json()], [done.to_text()])
    return 0


def ranges_of(arguments: Namespace, recipe: Recipe) -> Path | None:
    """The ranges file of quantization-aware training: the one given, or the one beside the model."""
    if arguments.ranges is not None and str(arguments.ranges) == "none":
        return None
    if recipe.name != "int8":
        if arguments.ranges is not None:
            raise UsageError("--ranges is for int8 with int8 input and output alone")
        return None
    if arguments.ranges is not None:
        return Path(arguments.ranges)
    beside: Path = arguments.model.with_suffix(".ranges.json")
    return beside if beside.exists() else None


def progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def show(form: str, documents: list[dict[str, Any]], texts: list[str]) -> None:
    print(json.dumps(documents, indent=1) if form == "json" else "\n\n".join(texts))

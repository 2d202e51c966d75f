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

from convert.calibration import CalibrationSet, draw, from_list
from convert.inspection import CONVERTED, Inspection
from convert.output import candidate_file, check_out
from convert.quiet import captured_stderr
from convert.source import SourceModel, load_source
from convert.statement import Statement
from convert.tflite import CALIBRATED, Recipe, convert_tflite, convert_trained_ranges
from convert.verify import DEFAULT_MIN_AGREEMENT, TRAINED_MIN_AGREEMENT, report_split
from convert.write import Exam, reference_answers, write_tflite
from edge_runtime.classifier import Classifier
from edge_runtime.contract import CropSpec, InputSpec
from edge_runtime.datasets import LabeledImages, fit_pictures, load_dataset
from edge_runtime.errors import ContractError, EdgeFerError, UsageError
from edge_runtime.modelfile import read_keras_contract


def run_tflite(arguments: Namespace) -> int:
    check_out(arguments.out, ".tflite")
    io = arguments.io or ("int8" if arguments.quantize == "int8" else "float32")
    recipe = Recipe(arguments.quantize, io)
    if is_detector(arguments.model):
        return _run_detector(arguments)
    data = load_dataset(arguments.data)
    split, images = report_split(data, arguments.split)
    source = load(arguments)
    ranges = ranges_of(arguments, recipe)
    if ranges is None:
        calibration = (
            calibrate(arguments, data, source.contract.input) if recipe.scheme in CALIBRATED else None
        )
        progress("converting …")
        graph = convert_tflite(source, recipe, calibration)
        record = recipe.record(calibration)
    else:
        from convert.qat import fake_quantized, read_ranges

        progress(f"converting with the ranges of training in {ranges} …")
        trained = read_ranges(ranges)
        source = fake_quantized(source, trained)
        graph = convert_trained_ranges(source)
        record = {**recipe.record(None), "method": "trained ranges", "ranges_sha256": trained.sha256}
    contract = replace(source.contract, quantization=record)
    progress(f"verifying on {len(images)} images …")
    threshold = threshold_of(arguments, TRAINED_MIN_AGREEMENT if ranges else DEFAULT_MIN_AGREEMENT)
    exam = exam_of(arguments, source, split, images, threshold)
    done = write_tflite(source, graph, recipe, contract, exam, arguments.out)
    if done.delegation and done.delegation.warning:
        progress(f"warning: {done.delegation.warning}")
    show(arguments.format, [done.to_json()], [done.to_text()])
    return 0


def run_onnx(arguments: Namespace) -> int:
    check_out(arguments.out, ".onnx")
    from convert.onnx import convert_onnx, quantization_record, write_onnx

    data = load_dataset(arguments.data)
    split, images = report_split(data, arguments.split)
    source = load(arguments)
    int8 = arguments.quantize == "int8"
    calibration = calibrate(arguments, data, source.contract.input) if int8 else None
    progress("converting …")
    graph = convert_onnx(source, arguments.quantize, calibration, arguments.nchw)
    record = quantization_record(arguments.quantize, calibration)
    contract = replace(source.contract, quantization=record)
    progress(f"verifying on {len(images)} images …")
    exam = exam_of(arguments, source, split, images)
    done = write_onnx(source, graph, arguments.quantize, contract, exam, arguments.out)
    show(arguments.format, [done.to_json()], [done.to_text()])
    return 0


def _run_detector(arguments: Namespace) -> int:
    from convert.detector import convert_detector

    if arguments.quantize != "int8" or arguments.io not in (None, "int8"):
        raise UsageError("a detector is converted with --quantize int8 alone")
    done = convert_detector(
        load(arguments),
        arguments.data,
        arguments.out,
        calibration_images=arguments.calibration_images,
        seed=arguments.seed,
        split=arguments.split,
        tflite_runtime_python=arguments.tflite_runtime_python,
    )
    if done.delegation.warning:
        progress(f"warning: {done.delegation.warning}")
    show(arguments.format, [done.to_json()], [done.to_text()])
    return 0


def _verify_detector(arguments: Namespace) -> int:
    from convert.detector import DEFAULT_MAX_LOSS, verify_detector

    source, found = load(arguments), []
    for candidate in arguments.candidates:
        found += verify_detector(
            source,
            candidate,
            arguments.data,
            split=arguments.split,
            tflite_runtime_python=arguments.tflite_runtime_python,
        )
    show(arguments.format, [parity.to_json() for parity in found], [parity.to_text() for parity in found])
    failed = [f"{item.model} on {item.backend}" for item in found if not item.lost <= DEFAULT_MAX_LOSS]
    if failed:
        raise ContractError(
            f"average precision fell by more than {DEFAULT_MAX_LOSS:.2%}: {'; '.join(failed)}; "
            "convert again"
        )
    return 0


def run_verify(arguments: Namespace) -> int:
    if is_detector(arguments.model):
        return _verify_detector(arguments)
    data = load_dataset(arguments.data)
    split, images = report_split(data, arguments.split)
    inspection = Inspection(
        arguments.model,
        split,
        images,
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
    from convert.tables import formats_table, publish, runtimes_table, summary_text

    if is_detector(arguments.model):
        raise UsageError(f"{arguments.model}: a detector; convert it with the verb tflite")
    if not arguments.out.is_dir():
        raise UsageError(f"{arguments.out}: no such folder; make it first")
    data = load_dataset(arguments.data)
    split, images = report_split(data, arguments.split)
    source = load(arguments)
    calibration = calibrate(arguments, data, source.contract.input)
    exam = exam_of(arguments, source, split, images)
    report = convert_everything(source, calibration, exam, arguments.out, progress, arguments.nchw)
    formats = report["formats"]
    for item in formats:
        if item["xnnpack_warning"]:
            progress(f"warning: {item['format']}: {item['xnnpack_warning']}")
    tables = (summary_text(report), formats_table(report), runtimes_table(report))
    show(arguments.format, formats, [table.rstrip() for table in tables])
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


def threshold_of(arguments: Namespace, default: float = DEFAULT_MIN_AGREEMENT) -> float:
    """Argmax agreement that is demanded."""
    return default if arguments.min_agreement is None else float(arguments.min_agreement)


def exam_of(
    arguments: Namespace,
    source: SourceModel,
    split: str,
    images: LabeledImages,
    threshold: float | None = None,
) -> Exam:
    """What candidates are held against: the answers of their source."""
    demanded = threshold_of(arguments) if threshold is None else threshold
    answers = reference_answers(source, images)
    python = getattr(arguments, "tflite_runtime_python", None)
    return Exam(split, images, answers, demanded, python)


def statement_of(arguments: Namespace) -> Statement:
    """What the command line says of a model without a contract."""
    return Statement(
        labels=arguments.labels or (),
        input_range=arguments.input_range,
        weights=arguments.weights,
        input_hw=arguments.input_size,
        activation=arguments.activation,
        crop=CropSpec(arguments.crop_margin, arguments.crop_offset_y),
    )


def load(arguments: Namespace) -> SourceModel:
    """The Keras model that the arguments name."""
    return load_source(arguments.model, arguments.name, statement_of(arguments))


def calibrate(arguments: Namespace, data: LabeledImages, spec: InputSpec) -> CalibrationSet:
    """Calibration pictures: drawn from Training, or those given by hand."""
    if arguments.calibration_data is None:
        return draw(data, spec, arguments.calibration_images, arguments.seed)
    return from_list(load_dataset(arguments.calibration_data), data, spec)


def progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def show(form: str, documents: list[dict[str, Any]], texts: list[str]) -> None:
    print(json.dumps(documents, indent=1) if form == "json" else "\n\n".join(texts))


def is_detector(path: Path) -> bool:
    """Whether a `.keras` file says in its contract that it is a detector."""
    contract = read_keras_contract(path) if path.suffix == ".keras" else None
    return contract is not None and contract.task == "detect"

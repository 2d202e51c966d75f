"""From a command line to what a conversion needs: source, calibration pictures, examination."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Protocol

from convert.calibration import CalibrationSet, draw, from_list
from convert.exam import Exam, Examination, reference_answers
from convert.source import SourceModel, load_source
from convert.statement import Statement
from convert.verify import DEFAULT_MIN_AGREEMENT, report_split
from edge_runtime.contract import CropSpec
from edge_runtime.datasets import LabeledImages, load_for_model
from edge_runtime.errors import UsageError
from edge_runtime.modelfile import read_keras_contract


class Work(Protocol):
    """One model with its data."""

    source: SourceModel

    def calibration(self) -> CalibrationSet:
        """Pictures for the quantizer's ranges."""
        ...

    def exam(self, source: SourceModel | None = None, demanded: float | None = None) -> Examination:
        """What candidates are held against.

        Args:
            source: the reference where it is not the model itself.
            demanded: agreement, where the command line names none.
        """
        ...


def work_of(arguments: Namespace) -> Work:
    """Load the model, then the data as it takes them.

    Raises:
        EdgeFerError: one of them cannot be read, or an option is of no use for this kind of model.
    """
    return DetectorWork(arguments) if is_detector(arguments.model) else ClassifierWork(arguments)


class ClassifierWork:
    def __init__(self, arguments: Namespace) -> None:
        if arguments.max_loss is not None:
            raise UsageError(f"--max-loss is for detectors; {arguments.model} takes --min-agreement")
        self._arguments = arguments
        self.source = load(arguments)
        self._data = self._read(arguments.data)
        self._split, self._images = report_split(self._data, arguments.split)

    def calibration(self) -> CalibrationSet:
        given, spec = self._arguments, self.source.contract.input
        if given.calibration_data is None:
            return draw(self._data, spec, given.calibration_images, given.seed)
        return from_list(self._read(given.calibration_data), self._data, spec)

    def exam(self, source: SourceModel | None = None, demanded: float | None = None) -> Examination:
        threshold = threshold_of(self._arguments, DEFAULT_MIN_AGREEMENT if demanded is None else demanded)
        answers = reference_answers(source or self.source, self._images)
        python = getattr(self._arguments, "tflite_runtime_python", None)
        return Exam(self._split, self._images, answers, threshold, python)

    def _read(self, path: Path) -> LabeledImages:
        contract = self.source.contract
        return load_for_model(path, contract.input, contract.labels)


class DetectorWork:
    def __init__(self, arguments: Namespace) -> None:
        from edge_runtime.datasets import yolo

        for option in ("min_agreement", "calibration_data", "ranges"):
            if getattr(arguments, option, None) is not None:
                raise UsageError(
                    f"{arguments.model} is a detector, which takes no --{option.replace('_', '-')}; "
                    "leave it out"
                )
        self._arguments = arguments
        self._data = yolo.read(arguments.data)
        self.source = load(arguments)

    def calibration(self) -> CalibrationSet:
        from convert.detector import draw_frames

        given = self._arguments
        return draw_frames(self._data, self.source.contract, given.calibration_images, given.seed)

    def exam(self, source: SourceModel | None = None, demanded: float | None = None) -> Examination:
        from convert.detector_exam import DEFAULT_MAX_LOSS, detector_exam

        given = self._arguments
        loss = DEFAULT_MAX_LOSS if given.max_loss is None else given.max_loss
        python = getattr(given, "tflite_runtime_python", None)
        return detector_exam(source or self.source, self._data, given.split, loss, python)


def threshold_of(arguments: Namespace, default: float = DEFAULT_MIN_AGREEMENT) -> float:
    """Argmax agreement that is demanded."""
    return default if arguments.min_agreement is None else float(arguments.min_agreement)


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


def is_detector(path: Path) -> bool:
    """Whether a `.keras` file says in its contract that it is a detector."""
    contract = read_keras_contract(path) if path.suffix == ".keras" else None
    return contract is not None and contract.task == "detect"

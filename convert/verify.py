"""Does a converted file compute what its reference computes? The gate of every conversion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import UNLABELLED, LabeledImages, fit_pictures
from edge_runtime.errors import ContractError, DataError
from edge_runtime.metrics import PairedComparison, compare_paired, wilson

REPORT_SPLITS = ("PublicTest", "PrivateTest", "test", "validation")
"""Splits that parity is measured on, the first that the data has."""
DEFAULT_MIN_AGREEMENT = 0.98

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Accuracy:
    """Share of right answers with its 95 % interval (Wilson 1927), fractions."""

    top1: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.top1:7.2%}  [{self.low:.2%}, {self.high:.2%}]"


@dataclass(frozen=True)
class Parity:
    """A candidate against its reference on the same pictures."""

    model: str
    """Name of the candidate's file."""
    backend: str
    """Runtime that computed the candidate's answers."""
    split: str
    images: int
    data_sha256: str
    argmax_agreement: float
    """Share of pictures for which both name the same class."""
    mean_probability_difference: float
    max_probability_difference: float
    reference_accuracy: Accuracy | None
    """None for data without labels."""
    accuracy: Accuracy | None
    paired: PairedComparison | None
    """Converted (A) against reference (B): difference with interval, McNemar's p."""

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        if self.paired is not None:
            document["paired"]["interval"] = list(self.paired.interval)
        return document

    def to_text(self) -> str:
        lines = [f"{self.split}, n = {self.images}, {self.backend}"]
        if self.reference_accuracy is not None:
            lines.append(f"  accuracy, reference  {self.reference_accuracy}")
            lines.append(f"  accuracy, converted  {self.accuracy}")
        if self.paired is not None:
            low, high = self.paired.interval
            lines.append(
                f"  difference           {self.paired.difference:+8.2%} [{low:+.2%}, {high:+.2%}], "
                f"McNemar p = {self.paired.p_mid:.2g}"
            )
        lines.append(f"  argmax agreement     {self.argmax_agreement:7.2%}")
        lines.append(
            f"  probability difference: mean {self.mean_probability_difference:.4f}, "
            f"max {self.max_probability_difference:.4f}"
        )
        return "\n".join(lines)


def report_split(data: LabeledImages, wanted: str | None) -> tuple[str, LabeledImages]:
    """The split to compare on: the one asked for, or the first of `REPORT_SPLITS` there is.

    Raises:
        DataError: no such split, or none of them.
    """
    if wanted:
        return wanted, data.split(wanted)
    for name in REPORT_SPLITS:
        if (data.splits == name).any():
            return name, data.split(name)
    raise DataError(
        f"{data.source}: no test split to compare the models on; give one with --split, "
        f"or data that has one of {', '.join(REPORT_SPLITS)}"
    )


def classify_all(classifier: Classifier, images: npt.NDArray[np.uint8]) -> FloatArray:
    """Probabilities (N, labels) of (N, H, W[, 3]) pictures through the device's own classifier."""
    pixels = fit_pictures(images, classifier.contract.input)
    return np.stack([classifier.predict(picture).copy() for picture in pixels])


def compare(classifier: Classifier, reference: FloatArray, images: LabeledImages, split: str) -> Parity:
    """Run the self-test, then every picture, and compare with the reference's probabilities.

    Raises:
        BackendError: the runtime fails the self-test.
        ContractError: the candidate gives something that is no number.
    """
    self_test(classifier)
    candidate = classify_all(classifier, images.images)
    if not np.isfinite(candidate).all():
        raise ContractError(f"{classifier.file.path.name}: the converted model gives NaN or infinity")
    difference = np.abs(candidate - reference)
    contract = classifier.contract
    answers = _right(candidate, images, contract)
    expected = _right(reference, images, contract)
    return Parity(
        model=contract.name,
        backend=classifier.backend.description,
        split=split,
        images=len(images),
        data_sha256=images.digest(),
        argmax_agreement=float((candidate.argmax(1) == reference.argmax(1)).mean()),
        mean_probability_difference=float(difference.mean()),
        max_probability_difference=float(difference.max()),
        reference_accuracy=_accuracy(expected),
        accuracy=_accuracy(answers),
        paired=compare_paired(answers, expected) if len(answers) else None,
    )


def gate(path: Path, parity: Parity, min_agreement: float) -> None:
    """Refuse a candidate that names another class too often.

    Raises:
        ContractError: agreement below the threshold.
    """
    if not parity.argmax_agreement >= min_agreement:
        raise ContractError(
            f"{path} not written: the converted model agrees with its reference on "
            f"{parity.argmax_agreement:.2%} of {parity.images} {parity.split} images, "
            f"{min_agreement:.2%} is demanded (--min-agreement)"
        )


def truth_of(images: LabeledImages, contract: ModelContract) -> npt.NDArray[np.int64]:
    """Labels (N,) in the model's order; -1 for classes that the model does not know.

    A sigmoid model whose negative label is no class of the data (`not happy`) counts every other class
    as negative.
    """
    table = [
        contract.labels.index(name) if name in contract.labels else UNLABELLED
        for name in images.class_names
    ]
    if contract.task == "sigmoid" and contract.labels[0] not in images.class_names:
        table = [max(index, 0) for index in table]
    return np.asarray([*table, UNLABELLED], np.int64)[images.labels]


def _right(
    probabilities: FloatArray, images: LabeledImages, contract: ModelContract
) -> npt.NDArray[np.bool_]:
    """Whether each picture of a class that the model knows is named rightly."""
    truth = truth_of(images, contract)
    known = truth != UNLABELLED
    return (probabilities.argmax(1) == truth)[known]


def _accuracy(right: npt.NDArray[np.bool_]) -> Accuracy | None:
    if not len(right):
        return None
    low, high = wilson(int(right.sum()), len(right))
    return Accuracy(float(right.mean()), low, high)

"""Does a converted file compute what its reference computes? The gate of every conversion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.runtimes import Answers
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import UNLABELLED, LabeledImages
from edge_runtime.errors import DataError
from edge_runtime.metrics import PairedComparison, compare_paired, wilson

REPORT_SPLITS = ("PublicTest", "PrivateTest", "test", "validation")
"""Splits that parity is measured on, the first that the data has."""
DEFAULT_MIN_AGREEMENT = 0.98
TRAINED_MIN_AGREEMENT = 0.995
"""Where the ranges were trained: the reference is the fake-quantized model, which rounds alike."""
MAX_FLOAT_DIFFERENCE = 1e-3
"""Largest difference of a probability where nothing was quantized; rounding alone stays below 1e-4."""


@dataclass(frozen=True)
class Accuracy:
    """Share of right answers with its 95 % interval (Wilson 1927), fractions."""

    top1: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.top1:8.2%} [{self.low:.2%}, {self.high:.2%}]"


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
    self_test_deviation: float | None
    """Largest deviation in the file's self-test; None where it has none."""
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
        lines.append(f"  argmax agreement     {self.argmax_agreement:8.2%}")
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


def compare(
    name: str,
    candidate: Answers,
    reference: Answers,
    contract: ModelContract,
    images: LabeledImages,
    split: str,
) -> Parity:
    """Compare answers class name by class name, so that swapped labels count as disagreement.

    Args:
        contract: the reference's.

    Raises:
        ContractError: the models name different classes.
    """
    wanted = reference.probabilities
    given = candidate.in_order_of(reference.labels)
    difference = np.abs(given - wanted)
    expected, right = _right(wanted, images, contract), _right(given, images, contract)
    return Parity(
        model=name,
        backend=candidate.backend,
        split=split,
        images=len(images),
        data_sha256=images.digest(),
        argmax_agreement=float((given.argmax(1) == wanted.argmax(1)).mean()),
        mean_probability_difference=float(difference.mean()),
        max_probability_difference=float(difference.max()),
        self_test_deviation=candidate.self_test,
        reference_accuracy=_accuracy(expected),
        accuracy=_accuracy(right),
        paired=compare_paired(right, expected) if len(right) else None,
    )


def judge(path: Path, parity: Parity, min_agreement: float) -> str | None:
    """Why a candidate is refused that names another class too often; None if it does not."""
    if parity.argmax_agreement >= min_agreement:
        return None
    return (
        f"{path} not written: the converted model agrees with its reference on "
        f"{parity.argmax_agreement:.2%} of {parity.images} {parity.split} images "
        f"with {parity.backend}, {min_agreement:.2%} is demanded (--min-agreement)"
    )


def judge_float(path: Path, parity: Parity) -> str | None:
    """Why a float32 candidate is refused that computes something else, though it names the same classes."""
    if parity.max_probability_difference <= MAX_FLOAT_DIFFERENCE:
        return None
    return (
        f"{path} not written: nothing was quantized, yet a probability differs from its reference by "
        f"{parity.max_probability_difference:.2g} with {parity.backend}, more than rounding "
        f"({MAX_FLOAT_DIFFERENCE:g}); an operation is computed differently"
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
    probabilities: npt.NDArray[np.float32], images: LabeledImages, contract: ModelContract
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

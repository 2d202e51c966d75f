"""What a converted file is held against before it may have its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr
from convert.runtimes import Answers, answers_everywhere
from convert.selftest import synthetic_inputs
from convert.source import SourceModel
from convert.verify import Parity, compare, judge, judge_float
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets import LabeledImages, fit_pictures


class Measured(Protocol):
    """A candidate against its reference on one runtime."""

    def to_json(self) -> dict[str, Any]: ...

    def to_text(self) -> str: ...


class Examination(Protocol):
    """Pictures, the reference's answers to them, and how much of them a candidate may lose."""

    @property
    def split(self) -> str: ...

    @property
    def images(self) -> Any:
        """Pictures with `len`."""
        ...

    def describe(self, graph: bytes, contract: ModelContract) -> ModelContract:
        """The contract with what only the converted graph tells."""
        ...

    def vectors(self, spec: InputSpec) -> tuple[npt.NDArray[np.uint8], ...]:
        """Inputs of the self-test."""
        ...

    def pixels(self, contract: ModelContract, count: int) -> npt.NDArray[np.uint8]:
        """The first pictures as the device feeds them, uint8 (N, height, width, channels)."""
        ...

    def measure(self, path: Path, name: str, contract: ModelContract) -> list[Any]:
        """Run the self-test and all pictures on every runtime there is, this environment's first.

        Args:
            name: of the file that the candidate is to become.

        Raises:
            ContractError, BackendError: a runtime refuses the file or computes nonsense.
        """
        ...

    def judge(self, path: Path, parity: Any, exact: bool) -> str | None:
        """Why a candidate is refused; None if it may be written.

        Args:
            exact: nothing was quantized in it.
        """
        ...

    def prove(self, path: Path) -> None:
        """Load a finished file and run its self-test.

        Raises:
            ContractError, BackendError: it fails.
        """
        ...


@dataclass(frozen=True)
class Exam:
    """The examination of a classifier."""

    split: str
    images: LabeledImages
    reference: Answers
    min_agreement: float
    tflite_runtime_python: Path | None = None
    """Python of an environment with tflite-runtime, where `.tflite` candidates are examined as well."""

    def describe(self, graph: bytes, contract: ModelContract) -> ModelContract:
        return contract

    def vectors(self, spec: InputSpec) -> tuple[npt.NDArray[np.uint8], ...]:
        return synthetic_inputs(spec)

    def pixels(self, contract: ModelContract, count: int) -> npt.NDArray[np.uint8]:
        return fit_pictures(self.images.images[:count], contract.input)

    def measure(self, path: Path, name: str, contract: ModelContract) -> list[Parity]:
        given, _ = answers_everywhere(path, self.images.images, self.tflite_runtime_python)
        return [
            compare(name, answers, self.reference, contract, self.images, self.split) for answers in given
        ]

    def judge(self, path: Path, parity: Parity, exact: bool) -> str | None:
        return judge(path, parity, self.min_agreement) or (judge_float(path, parity) if exact else None)

    def prove(self, path: Path) -> None:
        with captured_stderr():
            classifier = Classifier.load(path, backend="onnx" if path.suffix == ".onnx" else "litert")
        self_test(classifier)
        classifier.close()


def reference_answers(source: SourceModel, images: LabeledImages) -> Answers:
    """Answers of the Keras model itself."""
    return Answers(source.contract.labels, source.predict_images(images.images), "Keras")

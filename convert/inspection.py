"""`convert verify`: candidates against one reference, on every runtime, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convert.layers import LayerError, tflite_layer_errors, worst_layers
from convert.runtimes import Answers, answers_everywhere, answers_here
from convert.source import SourceModel, load_source
from convert.statement import Statement
from convert.tflite import Recipe, convert_tflite
from convert.verify import Parity, compare, report_split
from edge_runtime.classifier import Classifier
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import fit_pictures, load_for_model
from edge_runtime.modelfile import split_onnx, split_tflite

LAYER_IMAGES = 64
"""Pictures that the per-layer ratio is averaged over."""
CONVERTED = (".tflite", ".onnx")


@dataclass(frozen=True)
class Inspected:
    """One candidate on one runtime."""

    parity: Parity
    passed: bool
    layers: tuple[LayerError, ...]
    """The tensors that lose most; empty where the reference is no Keras model."""

    def to_json(self) -> dict[str, Any]:
        layers = [asdict(layer) for layer in self.layers]
        return {**self.parity.to_json(), "passed": self.passed, "worst_layers": layers}

    def to_text(self) -> str:
        lines = [f"{self.parity.model}: {'passed' if self.passed else 'FAILED'}", self.parity.to_text()]
        if self.layers:
            lines.append("  layers that lose most (signal to noise, own share):")
            lines += [f"    {layer.to_text()}" for layer in self.layers]
        return "\n".join(lines)


class Inspection:
    """Answers of one reference, kept for all candidates."""

    def __init__(
        self,
        reference: Path,
        data_path: Path,
        split: str | None,
        *,
        min_agreement: float,
        worst: int,
        statement: Statement | None = None,
        tflite_runtime_python: Path | None = None,
    ) -> None:
        """
        Args:
            data_path: labelled pictures, read as the reference takes them.
            split: what of them to compare on; None is the first of `REPORT_SPLITS` there is.

        Raises:
            ContractError, BackendError, UsageError: the reference cannot be loaded or run.
            DataError: the pictures cannot be read.
        """
        self._min_agreement, self._worst = min_agreement, worst
        self._python = tflite_runtime_python
        self.notes: list[str] = []
        self._source: SourceModel | None = None
        self._contract: ModelContract
        if reference.suffix in CONVERTED:
            self._contract = Classifier.load(reference).contract
        else:
            self._source = load_source(reference, None, statement)
            self._contract = self._source.contract
        data = load_for_model(data_path, self._contract.input, self._contract.labels)
        self._split, self._images = report_split(data, split)
        pictures = self._images.images
        if self._source is None:
            self._answers = answers_here(reference, pictures, "auto")
        else:
            probabilities = self._source.predict_images(pictures)
            self._answers = Answers(self._contract.labels, probabilities, "Keras")
        self._exact: bytes | None = None

    def of(self, candidate: Path) -> list[Inspected]:
        """Compare a candidate on every runtime that there is.

        Raises:
            ContractError, BackendError: it is damaged, refused, or fails its self-test.
        """
        found, notes = answers_everywhere(candidate, self._images.images, self._python)
        self.notes += [note for note in notes if note not in self.notes]
        layers = self._layers(candidate)
        results = []
        for answers in found:
            parity = compare(
                candidate.name, answers, self._answers, self._contract, self._images, self._split
            )
            results.append(Inspected(parity, parity.argmax_agreement >= self._min_agreement, layers))
        return results

    def _layers(self, candidate: Path) -> tuple[LayerError, ...]:
        if self._source is None or not self._worst:
            return ()
        pixels = fit_pictures(self._images.images[:LAYER_IMAGES], self._contract.input)
        data = candidate.read_bytes()
        if candidate.suffix == ".onnx":
            from convert.onnx import layer_errors

            graph, _ = split_onnx(data, candidate)
            return worst_layers(layer_errors(self._source, graph, pixels), self._worst)
        if self._exact is None:
            self._exact = convert_tflite(self._source, Recipe("float32"), None)
        graph, _ = split_tflite(data, candidate)
        return worst_layers(tflite_layer_errors(self._exact, graph, pixels), self._worst)

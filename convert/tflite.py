"""Keras to TensorFlow Lite."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.calibration import CalibrationSet
from convert.metadata import attach_metadata
from convert.output import candidate_file
from convert.quiet import captured_stderr
from convert.selftest import make_self_test
from convert.source import SourceModel
from convert.verify import Parity, compare, gate
from edge_runtime.backends import load_backend
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import embed_tflite


@dataclass(frozen=True)
class Conversion:
    """A file that passed the gate and was written."""

    out: Path
    quantization: str
    size_bytes: int
    sha256: str
    parity: Parity

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.out),
            "quantization": self.quantization,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            **self.parity.to_json(),
        }

    def to_text(self) -> str:
        head = f"{self.out}: {self.quantization}, {self.size_bytes:,} bytes, sha256 {self.sha256[:12]}"
        return f"{head}\n{self.parity.to_text()}"


def convert_int8(source: SourceModel, calibration: CalibrationSet) -> bytes:
    """Full-int8 graph, static batch 1, int8 in and out, input exactly pixel - 128.

    Raises:
        ContractError: the converter fails, or pixels would not map one to one.
    """
    graph = _int8_graph(source.model, source.contract, calibration.pixels)
    check_exact_input(graph)
    return graph


def write_verified(
    source: SourceModel,
    graph: bytes,
    contract: ModelContract,
    report: tuple[str, LabeledImages],
    out: Path,
    min_agreement: float,
) -> Conversion:
    """Embed the contract, reload the file through the device's classifier, compare, then rename.

    Args:
        graph: bytes of the `.tflite` graph without metadata.
        contract: with `quantization` filled in.
        report: name and pictures of the split that parity is measured on.

    Raises:
        ContractError: the file does not compute what the reference computes; nothing is written.
    """
    sealed = attach_metadata(graph, contract, own_version())
    contract = replace(
        contract,
        producer={**contract.producer, **producer_versions()},
        self_test=make_self_test(sealed, contract.input),
    )
    split, images = report
    with candidate_file(out) as temporary:
        temporary.write_bytes(embed_tflite(sealed, contract))
        classifier = Classifier.load(temporary, backend="litert")
        parity = compare(classifier, source.predict_images(images.images), images, split)
        classifier.close()
        gate(out, parity, min_agreement)
        figures = {key: value for key, value in parity.to_json().items() if key != "model"}
        recorded = replace(contract, validation={**contract.validation, "conversion": figures})
        data = embed_tflite(sealed, recorded)
        temporary.write_bytes(data)
        # The figures were added after the comparison: read the final bytes once more.
        final = Classifier.load(temporary, backend="litert")
        self_test(final)
        final.close()
    quantization = str(contract.quantization.get("scheme", "float32"))
    return Conversion(out, quantization, len(data), final.file.sha256, parity)


def producer_versions() -> dict[str, str]:
    """Versions of everything that had a hand in the file."""
    import keras
    import tensorflow as tf

    return {
        "edge-fer": own_version(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ai-edge-litert": metadata.version("ai-edge-litert"),
        "numpy": np.__version__,
    }


def own_version() -> str:
    """Version of edge-fer, or `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("edge-fer")
    except metadata.PackageNotFoundError:
        return "unknown"


def check_exact_input(graph: bytes) -> None:
    """Refuse an int8 graph that does not see all 256 pixel values as pixel - 128.

    Raises:
        ContractError: another type, scale or zero point; the calibration saw another range.
    """
    backend = load_backend(graph, "litert")
    tensor = backend.input
    backend.close()
    problem = f"type {tensor.dtype}, scale {tensor.scale:g}, zero point {tensor.zero_point}"
    if tensor.dtype != np.int8 or tensor.scale <= 0:
        raise ContractError(f"the converted input is not int8 ({problem})")
    pixels = np.arange(256)
    quantized = np.clip(np.round(pixels / tensor.scale) + tensor.zero_point, -128, 127)
    if not np.array_equal(quantized, pixels - 128):
        raise ContractError(
            f"the converted input does not map pixels 0..255 one to one ({problem}); "
            "calibrate with raw pixels of 0..255 and keep the rescaling inside the model"
        )


def _int8_graph(model: Any, contract: ModelContract, pixels: npt.NDArray[np.uint8]) -> bytes:
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder:
        saved = Path(folder) / "saved_model"
        with captured_stderr():
            export_static(model, contract, saved)
            converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [picture[None].astype(np.float32)] for picture in pixels
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
            return _run_converter(converter)


def export_static(model: Any, contract: ModelContract, folder: Path) -> None:
    """Export a Keras model as a SavedModel with batch 1: no shape arithmetic in the graph.

    A dynamic batch costs tflite-runtime 2.14 its XNNPACK delegate.
    """
    import keras

    spec = keras.InputSpec(shape=contract.input.shape, dtype="float32")
    model.export(str(folder), input_signature=[spec], verbose=False)


def _run_converter(converter: Any) -> bytes:
    try:
        graph: bytes = converter.convert()
    except Exception as error:
        # The converter raises its own and MLIR's errors, pages long; the first line names the op.
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ContractError(f"TensorFlow Lite cannot convert the model: {reason[:300]}") from None
    return graph

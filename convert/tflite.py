"""Keras to TensorFlow Lite: every scheme that the device's runtimes take."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from convert.calibration import CalibrationSet
from convert.exactness import with_exact_rescaling
from convert.quiet import captured_stderr
from convert.source import SourceModel
from edge_runtime.backends import load_backend
from edge_runtime.contract import ModelContract
from edge_runtime.errors import ContractError, UsageError

SCHEMES = ("float32", "float16", "dynamic", "int8", "int16x8")
CALIBRATED = ("int8", "int16x8")
"""Schemes that need representative pictures."""
IO_TYPES = ("int8", "uint8", "float32")


@dataclass(frozen=True)
class Recipe:
    """What becomes of weights, activations, input and output."""

    scheme: str
    """One of `SCHEMES`."""
    io: str = "float32"
    """Type of input and output: one of `IO_TYPES`; other than float32 for scheme `int8` alone."""

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UsageError(f"unknown scheme {self.scheme!r}; choose one of {', '.join(SCHEMES)}")
        if self.io not in IO_TYPES or (self.io != "float32" and self.scheme != "int8"):
            raise UsageError(f"scheme {self.scheme} has no {self.io} input; use --io float32")

    @property
    def name(self) -> str:
        """Name for files and tables: `int8`, `int8-uint8`, `float16`."""
        plain = self.scheme != "int8" or self.io == "int8"
        return self.scheme if plain else f"int8-{self.io}"

    def record(self, calibration: CalibrationSet | None) -> dict[str, Any]:
        """The contract's `quantization`."""
        document: dict[str, Any] = {"scheme": self.scheme, "input": self.io, "output": self.io}
        if calibration is not None and self.scheme in CALIBRATED:
            document["calibration"] = calibration.record
        return document


def convert_tflite(source: SourceModel, recipe: Recipe, calibration: CalibrationSet | None) -> bytes:
    """Graph with static batch 1 by a recipe.

    Args:
        calibration: for the schemes of `CALIBRATED`.

    Raises:
        ContractError: the converter fails, or pixels would not map one to one.
    """
    if recipe.scheme in CALIBRATED and calibration is None:
        raise UsageError(f"scheme {recipe.scheme} needs calibration images; give --data")
    exact = recipe.scheme in CALIBRATED
    model = with_exact_rescaling(source.model) if exact else source.model
    graph = _convert(model, source.contract, recipe, calibration)
    if recipe.io != "float32":
        check_exact_input(graph)
    return graph


def _convert(
    model: Any, contract: ModelContract, recipe: Recipe, calibration: CalibrationSet | None
) -> bytes:
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder, captured_stderr():
        saved = Path(folder) / "saved_model"
        export_static(model, contract, saved)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        if recipe.scheme != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if recipe.scheme == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if recipe.scheme == "dynamic":
            # Per-channel dense layers are version 12 of the operation; tflite-runtime 2.14 knows 11.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        if calibration is not None and recipe.scheme in CALIBRATED:
            pixels = calibration.pixels
            converter.representative_dataset = lambda: ([p[None].astype(np.float32)] for p in pixels)
            sets = tf.lite.OpsSet
            converter.target_spec.supported_ops = [
                sets.TFLITE_BUILTINS_INT8
                if recipe.scheme == "int8"
                else sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        converter.inference_input_type = tf.as_dtype(recipe.io)
        converter.inference_output_type = tf.as_dtype(recipe.io)
        return _run_converter(converter)


def export_static(model: Any, contract: ModelContract, folder: Path) -> None:
    """Export a Keras model as a SavedModel with batch 1: no shape arithmetic in the graph.

    A dynamic batch costs tflite-runtime 2.14 its XNNPACK delegate.

    Raises:
        ContractError: TensorFlow cannot export it, or the folder cannot be written.
    """
    import keras

    spec = keras.InputSpec(shape=contract.input.shape, dtype="float32")
    try:
        model.export(str(folder), input_signature=[spec], verbose=False)
    except Exception as error:
        # TensorFlow's errors share no base class but Exception; a full disk is one of them too.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ContractError(f"TensorFlow cannot export the model: {reason}") from None


def check_exact_input(graph: bytes) -> None:
    """Refuse an integer graph that does not see all 256 pixel values one to one.

    Raises:
        ContractError: float, or another scale or zero point; the calibration saw another range.
    """
    with captured_stderr():
        backend = load_backend(graph, "litert")
    tensor = backend.input
    backend.close()
    problem = f"type {tensor.dtype}, scale {tensor.scale:g}, zero point {tensor.zero_point}"
    if tensor.dtype not in (np.int8, np.uint8) or tensor.scale <= 0:
        raise ContractError(f"the converted input is neither int8 nor uint8 ({problem})")
    limits = np.iinfo(tensor.dtype)
    pixels = np.arange(256)
    quantized = np.clip(np.round(pixels / tensor.scale) + tensor.zero_point, limits.min, limits.max)
    if not np.array_equal(quantized, pixels + limits.min):
        raise ContractError(
            f"the converted input does not map pixels 0..255 one to one ({problem}); "
            "calibrate with raw pixels of 0..255 and keep the rescaling inside the model"
        )


def convert_trained_ranges(source: SourceModel) -> bytes:
    """Full-int8 graph of a fake-quantized model (`convert.qat`), which holds all ranges itself.

    Raises:
        ContractError: the converter fails, or pixels would not map one to one.
    """
    graph = _convert(source.model, source.contract, Recipe("int8", "int8"), None)
    check_exact_input(graph)
    return graph


def convert_int8(source: SourceModel, calibration: CalibrationSet) -> bytes:
    """Full-int8 graph, int8 in and out, input exactly pixel - 128.

    Raises:
        ContractError: the converter fails, or pixels would not map one to one.
    """
    return convert_tflite(source, Recipe("int8", "int8"), calibration)


def producer_versions() -> dict[str, str]:
    """Versions of everything that has a hand in a `.tflite` file."""
    import keras
    import tensorflow as tf

    return {
        "edge-fer": own_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        # The distribution's name varies (tensorflow, tensorflow-cpu); the module knows its version.
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ai-edge-litert": metadata.version("ai-edge-litert"),
    }


def own_version() -> str:
    """Version of edge-fer, or `unknown` in a checkout that is not installed."""
    try:
        return metadata.version("edge-fer")
    except metadata.PackageNotFoundError:
        return "unknown"


def _run_converter(converter: Any) -> bytes:
    try:
        graph: bytes = converter.convert()
    except Exception as error:
        # The converter raises its own and MLIR's errors, pages long; the first line names the op.
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ContractError(f"TensorFlow Lite cannot convert the model: {reason[:300]}") from None
    return graph

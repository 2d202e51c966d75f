"""Keras to ONNX: float32 through tf2onnx, int8 as QDQ through onnxruntime's quantizer."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.calibration import CalibrationSet
from convert.exam import Examination
from convert.layers import worst_layers
from convert.onnx_layers import onnx_layer_errors
from convert.quiet import captured_stderr
from convert.selftest import STEPPED_OTHERS, self_test_of
from convert.source import SourceModel
from convert.tflite import own_version, producer_versions
from convert.write import LAYER_IMAGES, Conversion, write_verified
from edge_runtime.backends.onnx import OnnxBackend
from edge_runtime.contract import InputSpec, ModelContract, SelfTest
from edge_runtime.errors import ContractError, EdgeFerError, UsageError
from edge_runtime.modelfile import embed_onnx

SCHEMES = ("float32", "int8")
OPSET = 17
"""OpenCV 4.11 and every onnxruntime from 1.12 on read it."""
INPUT = "image"
NEARLY_ZERO = float(np.finfo(np.float32).tiny)
"""Stands for the 0 of a padding before MaxPool; see `keep_padding`."""


def convert_onnx(
    source: SourceModel, scheme: str, calibration: CalibrationSet | None = None, nchw: bool = False
) -> bytes:
    """ONNX graph with static batch 1, float32 in and out, raw 0..255 pixels.

    Args:
        calibration: for `int8`.
        nchw: channels first, as OpenCV's dnn module feeds a network.

    Raises:
        ContractError: tf2onnx or the quantizer fails.
    """
    if scheme not in SCHEMES:
        raise UsageError(f"unknown scheme {scheme!r}; choose one of {', '.join(SCHEMES)}")
    graph = _export(source, nchw)
    if scheme == "float32":
        return graph
    if calibration is None:
        raise UsageError("scheme int8 needs calibration images; give --data")
    return _quantize(_prepared(graph), calibration.pixels, nchw)


def write_onnx(
    source: SourceModel, graph: bytes, scheme: str, contract: ModelContract, exam: Examination, out: Path
) -> Conversion:
    """Embed the contract, reload the file as the device does, compare, then rename.

    Raises:
        ContractError: the file does not compute what the reference computes; nothing is written.
    """
    versions = {name: metadata.version(name) for name in ("tf2onnx", "onnx", "onnxruntime")}
    contract = exam.describe(graph, contract)
    contract = replace(
        contract,
        producer={**contract.producer, **producer_versions(), **versions},
        self_test=_self_test(graph, exam.vectors(contract.input), scheme),
    )

    def hint() -> str:
        return _layer_hint(source, graph, exam)

    final, parities = write_verified(lambda current: embed_onnx(graph, current), contract, exam, out, hint)
    digest = hashlib.sha256(final).hexdigest()
    return Conversion(out, f"onnx-{scheme}", len(final), digest, parities[0], None)


def quantization_record(scheme: str, calibration: CalibrationSet | None) -> dict[str, Any]:
    """The contract's `quantization`."""
    record: dict[str, Any] = {"scheme": scheme, "format": "qdq" if scheme == "int8" else "float"}
    return {**record, "calibration": calibration.record} if calibration else record


def layer_errors(source: SourceModel, graph: bytes, pixels: npt.NDArray[np.uint8]) -> Any:
    """Signal-to-noise ratios of a quantized graph against the float graph that it was made from."""
    nchw = _channels_first(graph, source.contract.input)
    return onnx_layer_errors(_prepared(_export(source, nchw)), graph, arranged(pixels, nchw))


def arranged(pixels: npt.NDArray[np.uint8], nchw: bool) -> npt.NDArray[np.float32]:
    """Pictures (N, height, width, channels) as the graph takes them, float32."""
    values = pixels.astype(np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if nchw else values


def _export(source: SourceModel, nchw: bool) -> bytes:
    import tensorflow as tf

    with _quiet_loggers(), captured_stderr():
        import tf2onnx

        specification = tf.TensorSpec(source.contract.input.shape, tf.float32, name=INPUT)
        function = tf.function(source.model, input_signature=(specification,))
        try:
            model, _ = tf2onnx.convert.from_function(
                function,
                input_signature=(specification,),
                opset=OPSET,
                inputs_as_nchw=[INPUT] if nchw else None,
            )
        except Exception as error:
            # tf2onnx raises ValueError, KeyError and its own; to the user all of it means one thing.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ContractError(f"tf2onnx cannot convert the model: {reason}") from None
    keep_padding(model.graph)
    model.doc_string = f"{source.contract.name}, made by edge-fer {own_version()}"
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def keep_padding(graph: Any) -> bool:
    """Keep onnxruntime from merging a padding with 0 into the MaxPool behind it.

    MaxPool pads with minus infinity, so after the merge (Pad_Fusion, onnxruntime 1.31) the borders of
    features below 0 come out wrong; 1.32 does so no more. It merges paddings with exactly 0 alone.

    Returns:
        whether the graph was changed.
    """
    from onnx import numpy_helper

    pooled = {node.input[0] for node in graph.node if node.op_type == "MaxPool"}
    quantized = any("QuantizeLinear" in node.op_type for node in graph.node)
    changed = False
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type != "Pad" or node.output[0] not in pooled or len(node.input) < 2:
            continue
        if any(item.name == "mode" and item.s != b"constant" for item in node.attribute):
            continue
        if len(node.input) > 2 and node.input[2]:
            constant = constants.get(node.input[2])
            if constant is None or constant.dtype != np.float32 or constant.any():
                continue
        elif quantized:
            continue  # without a constant nothing shows the type, which may be an integer here
        name = f"{node.output[0]}_value"
        value = np.asarray(NEARLY_ZERO, np.float32)
        graph.initializer.append(numpy_helper.from_array(value, name))
        inputs = [*node.input[:2], name, *node.input[3:]]
        del node.input[:]
        node.input.extend(inputs)
        changed = True
    return changed


def _prepared(graph: bytes) -> bytes:
    """Batch normalization folded, shapes inferred: what the quantizer wants."""
    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder, _quiet_loggers():
        from onnxruntime.quantization import quant_pre_process

        given, prepared = Path(folder) / "given.onnx", Path(folder) / "prepared.onnx"
        given.write_bytes(graph)
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        return prepared.read_bytes()


def _quantize(graph: bytes, pixels: npt.NDArray[np.uint8], nchw: bool) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder, _quiet_loggers(), captured_stderr():
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self._pictures = iter(arranged(pixels, nchw))

            def get_next(self) -> Mapping[str, npt.NDArray[np.float32]] | None:
                picture = next(self._pictures, None)
                return None if picture is None else {INPUT: picture[None]}

        given, quantized = Path(folder) / "given.onnx", Path(folder) / "quantized.onnx"
        given.write_bytes(graph)
        try:
            quantize_static(
                str(given),
                str(quantized),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:
            # The quantizer raises whatever its helpers raise.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ContractError(f"onnxruntime cannot quantize the model: {reason}") from None
        return quantized.read_bytes()


def _self_test(graph: bytes, inputs: Sequence[npt.NDArray[np.uint8]], scheme: str) -> SelfTest:
    """Vectors with a tolerance that holds for onnxruntime on other processors.

    It chooses kernels by the processor's instructions, so its own results vary a little with them.
    """
    plain = OnnxBackend(graph, optimize=False)
    test = self_test_of(OnnxBackend(graph), inputs, [plain])
    largest = max(abs(value) for values in test.outputs for value in values)
    others = test.tolerance["default"]
    if scheme == "int8":
        others = max(others, STEPPED_OTHERS * largest)
    return replace(test, tolerance={"onnx": others, "default": others})


def _layer_hint(source: SourceModel, graph: bytes, exam: Examination) -> str:
    try:
        worst = worst_layers(layer_errors(source, graph, exam.pixels(source.contract, LAYER_IMAGES)), 1)
    except EdgeFerError:
        return ""
    return f"; look at layer {worst[0].name} ({worst[0].op}, {worst[0].sqnr_db:.1f} dB)" if worst else ""


def _channels_first(graph: bytes, spec: InputSpec) -> bool:
    import onnx

    (given,) = onnx.load_model_from_string(graph).graph.input
    shape = tuple(size.dim_value for size in given.type.tensor_type.shape.dim)
    return shape == (1, spec.channels, spec.height, spec.width)


@contextmanager
def _quiet_loggers() -> Iterator[None]:
    """tf2onnx and the quantizer log to the root logger."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

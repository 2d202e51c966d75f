"""`convert attach-contract`: a `.tflite` or `.onnx` file made elsewhere becomes one that edge-fer runs.

The device feeds raw 0..255 pixels. Where the graph was trained on another range, the multiplication and
the shift go into the graph; its weights stay as they are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.metadata import AlignedBuilder, attach_metadata
from convert.output import candidate_file
from convert.quiet import captured_stderr
from convert.selftest import make_self_test, self_test_of, synthetic_inputs
from convert.statement import Statement
from convert.tflite import own_version
from edge_runtime.backends import load_backend
from edge_runtime.backends.onnx import OnnxBackend
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.contract import ModelContract
from edge_runtime.errors import ContractError, UsageError
from edge_runtime.modelfile import CONTRACT_NAME, embed_onnx, embed_tflite, split_onnx, split_tflite

RAW = (0.0, 255.0)
_ENDINGS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "Softmax": "softmax", "Sigmoid": "sigmoid"}
_CARRIERS = (
    "DEQUANTIZE",
    "QUANTIZE",
    "RESHAPE",
    "Identity",
    "DequantizeLinear",
    "QuantizeLinear",
    "Reshape",
)
"""Operations behind the last activation that change nothing of what its values mean."""
_PLAIN = ("FULLY_CONNECTED", "CONV_2D", "MEAN", "ADD", "Gemm", "MatMul", "Add", "Conv", "Squeeze")
"""Operations that a graph of logits ends in."""


@dataclass(frozen=True)
class Attached:
    """A file that now carries a contract."""

    out: Path
    contract: ModelContract
    sha256: str

    def to_json(self) -> dict[str, Any]:
        spec = self.contract.input
        return {
            "file": str(self.out),
            "sha256": self.sha256,
            "labels": list(self.contract.labels),
            "input": [spec.height, spec.width, spec.channels],
            "task": self.contract.task,
            "activation": self.contract.activation,
        }

    def to_text(self) -> str:
        spec, labels = self.contract.input, ", ".join(self.contract.labels)
        return (
            f"{self.out}: {spec.height}x{spec.width} {spec.color}, {self.contract.activation}, "
            f"labels {labels}; sha256 {self.sha256[:12]}"
        )


def attach_contract(path: Path, out: Path, statement: Statement, name: str | None = None) -> Attached:
    """Give a model file a contract by its owner's statement.

    Raises:
        UsageError: something that the graph does not show was not said.
        ContractError: damaged, has a contract already, or graph and statement do not fit.
        BackendError: the interpreter refuses the graph.
    """
    statement.check_complete(path)
    if path.suffix not in (".tflite", ".onnx") or out.suffix != path.suffix:
        raise UsageError(f"{path}: attach-contract takes a .tflite or .onnx and writes the same kind")
    if not path.exists():
        raise ContractError(f"{path}: no such model file")
    onnx = path.suffix == ".onnx"
    data = path.read_bytes()
    graph, members = split_onnx(data, path) if onnx else split_tflite(data, path)
    if CONTRACT_NAME in members:
        raise ContractError(f"{path}: already has a contract; convert the model again to change it")
    contract, fitted = (_fit_onnx if onnx else _fit_tflite)(path, graph, statement)
    source = {"edge-fer": own_version(), "source_sha256": hashlib.sha256(data).hexdigest()}
    contract = replace(contract, name=name or contract.name, producer=source)
    contract = replace(contract, quantization={"scheme": "as made elsewhere"})
    if onnx:
        plain = [OnnxBackend(fitted, optimize=False)]
        test = self_test_of(OnnxBackend(fitted), synthetic_inputs(contract.input), plain)
        content = embed_onnx(fitted, replace(contract, self_test=test))
    else:
        sealed = attach_metadata(fitted, contract, "unknown")
        test = make_self_test(sealed, contract.input)
        content = embed_tflite(sealed, replace(contract, self_test=test))
    with candidate_file(out) as temporary:
        temporary.write_bytes(content)
        with captured_stderr():
            classifier = Classifier.load(temporary)
        self_test(classifier)
        attached = Attached(out, classifier.contract, classifier.file.sha256)
        classifier.close()
    return attached


def _fit_tflite(path: Path, graph: bytes, statement: Statement) -> tuple[ModelContract, bytes]:
    from ai_edge_litert import schema_py_generated as schema

    with captured_stderr():
        backend = load_backend(graph, "litert")
    tensor, result = backend.input, backend.outputs[0]
    backend.close()
    model = schema.ModelT.InitFromPackedBuf(graph, 0)
    names = {value: key for key, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [
        max(model.operatorCodes[operator.opcodeIndex].builtinCode, 0)
        or model.operatorCodes[operator.opcodeIndex].deprecatedBuiltinCode
        for operator in model.subgraphs[0].operators
    ]
    contract = statement.contract(
        path,
        input_shape=tensor.shape,
        outputs=int(np.prod(result.shape)),
        last_activation=_ending([names[code] for code in codes]),
    )
    low, high = statement.input_range or RAW
    if _takes_pixels(tensor.dtype, tensor.scale, tensor.zero_point, low, high):
        return contract, graph
    _prepend(model, schema, low, (high - low) / 255)
    builder = AlignedBuilder(len(graph) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return contract, bytes(builder.Output())


def _takes_pixels(dtype: np.dtype, scale: float, zero_point: int, low: float, high: float) -> bool:
    """Whether pixels of 0..255 reach the graph as it was trained, without another operation."""
    if dtype == np.float32:
        return (low, high) == RAW
    pixels = np.arange(256)
    limits = np.iinfo(dtype)
    values = low + pixels * (high - low) / 255
    quantized = np.clip(np.round(values / scale + zero_point), limits.min, limits.max)
    return dtype in (np.int8, np.uint8) and np.array_equal(quantized, pixels + limits.min)


def _prepend(model: Any, schema: Any, low: float, scale: float) -> None:
    """Put `pixel * scale + low`, and a quantization where the graph is quantized, before a graph."""
    subgraph = model.subgraphs[0]
    old = int(subgraph.inputs[0])
    template = subgraph.tensors[old]
    quantized = template.type != schema.TensorType.FLOAT32
    shape = [1, *(int(size) for size in template.shape[1:])]

    def tensor(name: str, dimensions: list[int], content: npt.NDArray[np.float64] | None = None) -> int:
        item = schema.TensorT()
        item.name, item.shape, item.type, item.buffer = name, dimensions, schema.TensorType.FLOAT32, 0
        if content is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content.astype("<f4").tobytes(), np.uint8)
            model.buffers.append(buffer)
            item.buffer = len(model.buffers) - 1
        subgraph.tensors.append(item)
        return len(subgraph.tensors) - 1

    def operator(name: str, inputs: list[int], output: int, options: str | None) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1
        model.operatorCodes.append(code)
        item = schema.OperatorT()
        item.opcodeIndex = len(model.operatorCodes) - 1
        item.inputs, item.outputs = inputs, [output]
        if options:
            item.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            item.builtinOptions = getattr(schema, f"{options}T")()
        return item

    image = tensor("pixels", shape)
    added: list[Any] = []
    current = image
    steps = [("MUL", "MulOptions", scale)] if scale != 1 else []
    steps += [("ADD", "AddOptions", low)] if low else []
    for index, (name, options, constant) in enumerate(steps):
        last = index == len(steps) - 1 and not quantized
        target = old if last else tensor(f"input_range_{name.lower()}", shape)
        value = tensor(f"input_range_{name.lower()}_constant", [1], np.array([constant]))
        added.append(operator(name, [current, value], target, options))
        current = target
    if quantized:
        added.append(operator("QUANTIZE", [current], old, "QuantizeOptions"))
    subgraph.operators = [*added, *subgraph.operators]
    subgraph.inputs = [image]
    for signature in model.signatureDefs or []:
        for entry in signature.inputs:
            entry.tensorIndex = image


def _fit_onnx(path: Path, graph: bytes, statement: Statement) -> tuple[ModelContract, bytes]:
    import onnx
    from onnx import helper, numpy_helper

    from convert.onnx import keep_padding

    backend = OnnxBackend(graph)
    shape, result = backend.input.shape, backend.outputs[0]
    dtype, name = backend.input.dtype, backend.input.name
    backend.close()
    if dtype != np.float32:
        raise ContractError(f"{path}: takes {dtype}; attach-contract knows float32 inputs of ONNX models")
    model = onnx.load_model_from_string(graph)
    contract = statement.contract(
        path,
        input_shape=shape,
        outputs=int(np.prod(result.shape)),
        last_activation=_ending([node.op_type for node in model.graph.node]),
    )
    low, high = statement.input_range or RAW
    if (low, high) == RAW:
        changed = keep_padding(model.graph)
        return contract, model.SerializeToString(deterministic=True) if changed else graph
    keep_padding(model.graph)
    inner = f"{name}_in_range"
    for node in model.graph.node:
        for index, item in enumerate(node.input):
            if item == name:
                node.input[index] = inner
    constants = {"scale": (high - low) / 255, "low": low}
    for key, value in constants.items():
        array = np.array([value], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, f"input_range_{key}"))
    middle = f"{name}_scaled"
    model.graph.node.insert(0, helper.make_node("Mul", [name, "input_range_scale"], [middle]))
    model.graph.node.insert(1, helper.make_node("Add", [middle, "input_range_low"], [inner]))
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ContractError(f"{path}: not a valid ONNX model ({str(error).splitlines()[0]})") from None
    return contract, model.SerializeToString(deterministic=True)


def _ending(operations: list[str]) -> str | None:
    """Activation that a graph ends in: `softmax`, `sigmoid`, `linear`, or None where it does not show."""
    for name in reversed(operations):
        if name in _ENDINGS:
            return _ENDINGS[name]
        if name in _PLAIN:
            return "linear"
        if name not in _CARRIERS:
            return None
    return None

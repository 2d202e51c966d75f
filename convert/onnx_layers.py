"""Signal-to-quantization-noise ratio of an ONNX graph, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.layers import LayerError, own_drop, ratio_db, short_name

_BOOKKEEPING = ("QuantizeLinear", "DequantizeLinear")
_DEQUANTIZED = "_DequantizeLinear_Output"
_ERRORS_ONLY = 3


def onnx_layer_errors(
    reference: bytes, candidate: bytes, pictures: npt.NDArray[np.float32]
) -> tuple[LayerError, ...]:
    """Compare all tensors that both graphs compute under the same name, in the graph's order.

    Args:
        reference: the float graph that was quantized.
        pictures: float32 (N, …), each as the graph takes it without its batch.
    """
    import onnx

    exact, rounded = (onnx.load_model_from_string(data) for data in (reference, candidate))
    nodes = {
        name: node
        for node in rounded.graph.node
        for name in node.output
        if node.op_type not in _BOOKKEEPING
    }
    computed = {name for node in exact.graph.node for name in node.output}
    shared = [name for name in nodes if name in computed]
    if not shared:
        return ()
    # The quantizer drops ReLUs, whose clipping its ranges do: only what is dequantized can be compared.
    passed_on = {name for node in rounded.graph.node for name in node.output}
    twins = [name + _DEQUANTIZED if name + _DEQUANTIZED in passed_on else name for name in shared]
    sessions = [(_session(exact, shared), shared), (_session(rounded, twins), twins)]
    feed = exact.graph.input[0].name
    signal, noise = np.zeros(len(shared)), np.zeros(len(shared))
    for picture in pictures:
        wanted, given = (session.run(names, {feed: picture[None]}) for session, names in sessions)
        for index, (a, b) in enumerate(zip(wanted, given, strict=True)):
            if a.shape == b.shape and a.dtype == b.dtype == np.float32:
                signal[index] += float(np.square(a, dtype=np.float64).sum())
                noise[index] += float(np.square(a - b, dtype=np.float64).sum())
    ratios = {name: ratio_db(signal[i], noise[i]) for i, name in enumerate(shared)}
    feeds = {name: [_origin(item) for item in nodes[name].input] for name in shared}
    return tuple(
        LayerError(short_name(name), nodes[name].op_type, ratios[name], own_drop(name, ratios, feeds))
        for name in shared
    )


def _origin(name: str) -> str:
    """The tensor that a quantize and dequantize pair passes on."""
    return name.removesuffix(_DEQUANTIZED)


def _session(model: Any, names: Sequence[str]) -> Any:
    """The graph as it is written, without fusions, with inner tensors as outputs."""
    import onnx
    import onnxruntime

    there = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in there
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

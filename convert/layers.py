"""Where a converted graph loses precision: signal-to-quantization-noise ratio, tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr
from edge_runtime.backends.tflite import tensor_info
from edge_runtime.preprocess import to_tensor

MAX_DB = 150.0
"""Ratio reported for tensors that agree to the last bit."""

ROUNDING_DB = 45.0
"""What rounding to 8 bits leaves by itself: an operation fed with better than this is not to blame."""


@dataclass(frozen=True)
class LayerError:
    """Noise of one tensor of the candidate against the same tensor of the float graph."""

    name: str
    op: str
    sqnr_db: float
    """10 log10(signal power / noise power), noise of everything before it included."""
    drop_db: float
    """How much lower than the worst of the tensors that feed it: what this operation itself adds."""

    def to_text(self) -> str:
        return f"{self.sqnr_db:6.1f} dB  {-self.drop_db:+6.1f} dB  {self.op:18} {self.name}"


def tflite_layer_errors(
    reference: bytes, candidate: bytes, pixels: npt.NDArray[np.uint8]
) -> tuple[LayerError, ...]:
    """Compare all tensors that both graphs compute under the same name, in the graph's order.

    Args:
        reference: float32 `.tflite` of the same model.
        pixels: uint8 (N, height, width, channels).
    """
    exact, rounded = _Probe(reference), _Probe(candidate)
    shared = [name for name in rounded.ops if name in exact.ops]
    signal, noise = dict.fromkeys(shared, 0.0), dict.fromkeys(shared, 0.0)
    for picture in pixels:
        wanted, given = exact.run(picture), rounded.run(picture)
        for name in shared:
            if wanted[name].shape == given[name].shape:
                signal[name] += float(np.square(wanted[name]).sum())
                noise[name] += float(np.square(wanted[name] - given[name]).sum())
    ratios = {name: ratio_db(signal[name], noise[name]) for name in shared}
    return tuple(
        LayerError(short_name(name), rounded.ops[name], ratios[name], own_drop(name, ratios, rounded.feeds))
        for name in shared
    )


def own_drop(name: str, ratios: Mapping[str, float], feeds: Mapping[str, Sequence[str]]) -> float:
    """How far a tensor's ratio lies below `ROUNDING_DB` and the worst of what feeds it; 0 for the first."""
    before = [ratios[feed] for feed in feeds[name] if feed in ratios]
    return max(0.0, min(*before, ROUNDING_DB) - ratios[name]) if before else 0.0


def worst_layers(errors: Sequence[LayerError], count: int = 3) -> tuple[LayerError, ...]:
    """The tensors that lose most themselves, worst first."""
    return tuple(sorted(errors, key=lambda error: (-error.drop_db, error.sqnr_db))[:count])


def ratio_db(signal: float, noise: float) -> float:
    """10 log10(signal / noise), within ±`MAX_DB`."""
    if noise <= 0:
        return MAX_DB
    if signal <= 0:
        return -MAX_DB
    return min(MAX_DB, max(-MAX_DB, 10 * math.log10(signal / noise)))


def short_name(name: str) -> str:
    """Layers of a tensor: the converter joins `model/layer/operation` of all it fused by `;`."""
    layers = [part.split("/")[-2] if "/" in part else part for part in name.split(";")]
    return "+".join(dict.fromkeys(layers))


class _Probe:
    """A graph run by the interpreter's own kernels with all intermediate tensors kept."""

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with captured_stderr():
            self._interpreter = Interpreter(
                model_content=model,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        details = {int(d["index"]): d for d in self._interpreter.get_tensor_details()}
        self.ops: dict[str, str] = {}
        self.feeds: dict[str, tuple[str, ...]] = {}
        self._tensors: dict[str, dict[str, Any]] = {}
        for node in self._interpreter._get_ops_details():
            for index in map(int, node["outputs"]):
                name = details[index]["name"]
                self.ops[name] = node["op_name"]
                self.feeds[name] = tuple(
                    details[int(i)]["name"] for i in node["inputs"] if int(i) in details
                )
                self._tensors[name] = details[index]
        (self._input,) = self._interpreter.get_input_details()

    def run(self, picture: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float64]]:
        tensor = to_tensor(picture, tensor_info(self._input))
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        return dict(self._values())

    def _values(self) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
        for name, details in self._tensors.items():
            values = self._interpreter.get_tensor(details["index"]).astype(np.float64)
            scale, zero_point = details["quantization"]
            yield name, (values - zero_point) * scale if scale else values

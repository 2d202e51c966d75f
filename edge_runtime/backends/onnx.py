"""Backend `onnx`: onnxruntime on the CPU, for `.onnx` files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.backends.base import Backend, TensorInfo
from edge_runtime.errors import BackendError, BackendUnavailableError

_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
_ERRORS_ONLY = 3


def load(data: bytes, threads: int = 1) -> Backend:
    """Load an `.onnx` file's bytes.

    Raises:
        BackendUnavailableError: onnxruntime is not installed or cannot be imported.
        BackendError: it refuses the model.
    """
    return OnnxBackend(data, threads)


class OnnxBackend:
    """Runs an ONNX graph; a graph with channels first is fed transposed, so that callers see NHWC."""

    def __init__(self, data: bytes, threads: int = 1, optimize: bool = True) -> None:
        """
        Args:
            optimize: whether onnxruntime may fuse operations; conversion measures the difference.

        Raises:
            BackendUnavailableError: onnxruntime is not installed or cannot be imported.
            BackendError: it refuses the model.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailableError(
                f"backend 'onnx' needs onnxruntime ({error}). Install: pip install 'edge-fer[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        package = f"onnxruntime {onnxruntime.__version__}"
        try:
            self._session: Any = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # Its exceptions share no base class but Exception.
            raise BackendError(f"{package} refuses the model: {_one_line(error)}") from None
        self.name = "onnx"
        self.description = f"{package} cpu threads={threads}"
        self.tolerance_key = "onnx"
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise BackendError(f"{package}: the model takes {len(inputs)} inputs, one is expected")
        given = _info(inputs[0])
        self._input_name = given.name
        self._channels_first = _is_channels_first(given.shape)
        shape = given.shape
        if self._channels_first:
            shape = (shape[0], shape[2], shape[3], shape[1])
        self.input = TensorInfo(given.name, shape, given.dtype)
        self.outputs = tuple(map(_info, self._session.get_outputs()))

    def invoke(self, tensor: npt.NDArray) -> tuple[npt.NDArray, ...]:
        if self._channels_first:
            tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        try:
            return tuple(self._session.run(None, {self._input_name: tensor}))
        except Exception as error:
            raise BackendError(f"{self.description}: {_one_line(error)}") from None

    def close(self) -> None:
        del self._session


def _info(argument: Any) -> TensorInfo:
    """Description of an onnxruntime argument; an open batch is 1."""
    if argument.type not in _TYPES:
        known = ", ".join(_TYPES)
        raise BackendError(f"tensor {argument.name!r} has type {argument.type}; expected one of {known}")
    first, *rest = argument.shape or [1]
    if any(not isinstance(size, int) for size in rest):
        raise BackendError(
            f"tensor {argument.name!r} has the open shape {argument.shape}; only the batch may be open"
        )
    shape = (first if isinstance(first, int) else 1, *rest)
    return TensorInfo(argument.name, shape, np.dtype(_TYPES[argument.type]))


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

"""The interpreter API that ai-edge-litert and tflite-runtime share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.backends.base import TensorInfo
from edge_runtime.errors import BackendError


class TfliteBackend:
    """Runs a `.tflite` graph through an `Interpreter` class of either package."""

    def __init__(
        self, interpreter_class: Any, data: bytes, *, name: str, package: str, threads: int
    ) -> None:
        """
        Args:
            interpreter_class: the package's `Interpreter`.
            data: bytes of the `.tflite` file; appended files are ignored by the interpreter.
            package: name and version for `description`.
            threads: threads of one invoke, at least 1.

        Raises:
            BackendError: the interpreter refuses the model.
        """
        try:
            self._interpreter = interpreter_class(model_content=data, num_threads=threads)
            self._interpreter.allocate_tensors()
            operators = tuple(op["op_name"] for op in self._interpreter._get_ops_details())
        except (ValueError, RuntimeError, SystemError, TypeError) as error:
            raise BackendError(f"{package} refuses the model: {_one_line(error)}") from None
        xnnpack = "DELEGATE" in operators
        self.name = name
        self.operators = operators
        """Operators as the interpreter lists them; each `DELEGATE` is a partition that a delegate took."""
        delegate = " xnnpack" if xnnpack else ""
        self.description = f"{package}{delegate} threads={threads}"
        self.tolerance_key = f"{name}-xnnpack" if xnnpack else name
        (input_details,) = self._interpreter.get_input_details()
        output_details = self._interpreter.get_output_details()
        self.input = tensor_info(input_details)
        self.outputs = tuple(map(tensor_info, output_details))
        self._input_index = input_details["index"]
        self._output_indices = [details["index"] for details in output_details]

    def invoke(self, tensor: npt.NDArray) -> tuple[npt.NDArray, ...]:
        try:
            self._interpreter.set_tensor(self._input_index, tensor)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise BackendError(f"{self.description}: {_one_line(error)}") from None
        return tuple([self._interpreter.get_tensor(index) for index in self._output_indices])

    def rerun(self) -> None:
        """Run the graph on the tensor that was set last, outputs left where they are: the bare call."""
        self._interpreter.invoke()

    def close(self) -> None:
        del self._interpreter


def tensor_info(details: dict[str, Any]) -> TensorInfo:
    """Description of a tensor from an interpreter's details."""
    scale, zero_point = details["quantization"]
    return TensorInfo(
        name=details["name"],
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

"""The seam between edge-fer and the interpreters that run a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class TensorInfo:
    """Shape, type and quantization of an input or output tensor."""

    name: str
    shape: tuple[int, ...]
    """Static shape; batch is 1."""
    dtype: np.dtype
    scale: float = 0.0
    """Quantization scale; 0 for a float tensor."""
    zero_point: int = 0

    @property
    def quantized(self) -> bool:
        return self.scale > 0


class Backend(Protocol):
    """One model loaded into one interpreter, single client, not thread-safe."""

    name: str
    """Name on the command line: `litert`, `tflite-runtime`, `onnx`."""
    description: str
    """Runtime, version, delegate and threads, e.g. `ai-edge-litert 2.3.0 xnnpack threads=1`."""
    tolerance_key: str
    """Key of `SelfTest.tolerance` that applies: `litert-xnnpack`, `litert`, `tflite-runtime`, `onnx`."""
    input: TensorInfo
    outputs: tuple[TensorInfo, ...]

    def invoke(self, tensor: npt.NDArray) -> tuple[npt.NDArray, ...]:
        """Run the graph once.

        Args:
            tensor: array of `input.shape` and `input.dtype`.

        Returns:
            One array per output, valid until the next call (they may be views of the interpreter's
            memory: copy what must last).

        Raises:
            BackendError: the interpreter failed.
        """
        ...

    def close(self) -> None:
        """Release the interpreter and its memory."""
        ...

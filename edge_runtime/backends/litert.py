"""Backend `litert`: Google's ai-edge-litert, with XNNPACK for int8."""

from __future__ import annotations

from importlib import metadata

from edge_runtime.backends.base import Backend
from edge_runtime.backends.tflite import TfliteBackend
from edge_runtime.errors import BackendUnavailableError


def load(data: bytes, threads: int = 1) -> Backend:
    """Load a `.tflite` file's bytes.

    Raises:
        BackendUnavailableError: ai-edge-litert is not installed or cannot be imported.
        BackendError: it refuses the model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BackendUnavailableError(
            f"backend 'litert' needs ai-edge-litert ({error}). Install: pip install ai-edge-litert"
        ) from None
    package = f"ai-edge-litert {metadata.version('ai-edge-litert')}"
    return TfliteBackend(Interpreter, data, name="litert", package=package, threads=threads)

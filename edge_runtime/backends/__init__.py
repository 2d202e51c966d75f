"""Interpreters that run a model, chosen by name and imported when chosen."""

from __future__ import annotations

from importlib import import_module

from edge_runtime.backends.base import Backend, TensorInfo
from edge_runtime.errors import BackendUnavailableError, UsageError
from edge_runtime.modelfile import TFLITE_IDENTIFIER
from edge_runtime.numbers import MAX_THREADS

_MODULES = {
    "litert": "edge_runtime.backends.litert",
    "tflite-runtime": "edge_runtime.backends.tflite_runtime",
    "onnx": "edge_runtime.backends.onnx",
}
_FOR_TFLITE, _FOR_ONNX = ("litert", "tflite-runtime"), ("onnx",)
NAMES = ("auto", *_MODULES)

__all__ = ["NAMES", "Backend", "TensorInfo", "load_backend"]


def load_backend(data: bytes, name: str = "auto", threads: int = 1) -> Backend:
    """Load the bytes of a `.tflite` or `.onnx` file into the interpreter called `name`.

    `auto` takes the first for this kind of file that is installed, in the order of `NAMES`; a named one
    is never replaced by another.

    Raises:
        UsageError: unknown name, one for the other kind of file, or a number of threads that cannot be.
        BackendUnavailableError: it is not installed or cannot work here.
        BackendError: it refuses the model.
    """
    if name not in NAMES:
        raise UsageError(f"unknown backend {name!r}; choose one of {', '.join(NAMES)}")
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be 1..{MAX_THREADS}. Received: {threads}")
    tflite = data[4:8] == TFLITE_IDENTIFIER
    suitable = _FOR_TFLITE if tflite else _FOR_ONNX
    if name != "auto":
        if name not in suitable:
            kind = ".tflite" if tflite else ".onnx"
            raise UsageError(f"backend {name!r} cannot run {kind} files; use {' or '.join(suitable)}")
        backend: Backend = import_module(_MODULES[name]).load(data, threads)
        return backend
    reasons = []
    for candidate in suitable:
        try:
            backend = import_module(_MODULES[candidate]).load(data, threads)
        except BackendUnavailableError as error:
            reasons.append(str(error))
        else:
            return backend
    raise BackendUnavailableError("no interpreter is available: " + " | ".join(reasons))

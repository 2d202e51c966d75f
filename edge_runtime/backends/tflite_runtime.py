"""Backend `tflite-runtime`: the older package, the only one for 32-bit Raspberry Pi OS."""

from __future__ import annotations

from importlib import metadata

import numpy as np

from edge_runtime.backends.base import Backend
from edge_runtime.backends.tflite import TfliteBackend
from edge_runtime.errors import BackendUnavailableError


def load(data: bytes, threads: int = 1) -> Backend:
    """Load a `.tflite` file's bytes.

    Raises:
        BackendUnavailableError: tflite-runtime is not installed, or numpy is too new for it.
        BackendError: it refuses the model.
    """
    try:
        version = metadata.version("tflite-runtime")
    except metadata.PackageNotFoundError:
        raise BackendUnavailableError(
            "backend 'tflite-runtime' needs tflite-runtime (Python 3.11 or older). "
            "Install: pip install 'edge-fer[tflite-runtime]'"
        ) from None
    # With numpy 2 the import succeeds and the interpreter then fails with a SystemError.
    if int(np.__version__.split(".")[0]) >= 2:
        raise BackendUnavailableError(
            f"tflite-runtime {version} cannot work with numpy {np.__version__}. "
            "Install: pip install 'numpy<2'"
        )
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError as error:
        raise BackendUnavailableError(
            f"tflite-runtime {version} cannot be imported ({error}). "
            "Install: pip install --force-reinstall 'edge-fer[tflite-runtime]'"
        ) from None
    package = f"tflite-runtime {version}"
    return TfliteBackend(Interpreter, data, name="tflite-runtime", package=package, threads=threads)

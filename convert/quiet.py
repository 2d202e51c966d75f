"""Keep TensorFlow's start-up and converter chatter off the user's terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from edge_runtime.errors import EdgeFerError

TAIL_LINES = 5


def start_tensorflow() -> None:
    """Import TensorFlow without its start-up messages."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        with captured_stderr():
            import keras  # noqa: F401
            import tensorflow  # noqa: F401
    except ImportError as error:
        raise EdgeFerError(
            f"conversion needs TensorFlow and Keras ({error}). Install: pip install 'edge-fer[host]'"
        ) from None


@contextlib.contextmanager
def captured_stderr(tail: bool = True) -> Iterator[None]:
    """Send file descriptor 2 to a temporary file while the block runs.

    The converter writes to it from C++, past Python's logging. When the block fails in an unforeseen way,
    the last lines are shown, because they often hold the reason.

    Args:
        tail: whether to show them; not where the caller makes one line of every failure.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink:
        saved = os.dup(2)
        os.dup2(sink.fileno(), 2)
        failed = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
            failed = False
        except (EdgeFerError, KeyboardInterrupt, SystemExit):
            failed = False  # the one line of the error says it
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            if failed and tail:
                sink.seek(0)
                lines = sink.read().decode("utf-8", "replace").splitlines()
                for line in [line for line in lines if line.strip()][-TAIL_LINES:]:
                    sys.stderr.write(f"converter: {line[:300]}\n")

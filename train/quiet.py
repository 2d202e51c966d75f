"""Keep the greetings of Keras' backends and of LiteRT off the user's terminal, and nothing else."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module

_GREETING = re.compile(
    r"""WARNING:\ All\ log\ messages\ before\ absl::InitializeLog
    |[IW]\d{4}\ [\d:.]+\s+\d+\ \S+:\d+\]                # absl's form: level, time, thread, place
    |\d{4}-\d\d-\d\d\ [\d:.]+:\ [IW]\ \S+:\d+\]        # TensorFlow's own form
    |To\ enable\ the\ following\ instructions:
    |INFO:\ Created\ TensorFlow\ Lite""",
    re.VERBOSE,
)


def start_keras() -> None:
    """Import Keras and its backend without what they print by themselves below the level of an error.

    A user who sets TF_CPP_MIN_LOG_LEVEL has chosen what to see and sees all of it.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import_module("keras")
        return
    # Errors of TensorFlow come as exceptions too; what it logs as errors is that there is no GPU.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with without_greetings():
        import_module("keras")
    # Advice for programmers: retracing, and that .h5 is an old form.
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def without_greetings() -> Iterator[None]:
    """Hold back file descriptor 2 while the block runs, then pass on every line that is no greeting.

    TensorFlow writes to it from C++ before any setting of its log level is read.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held.read().decode("utf-8", "replace").splitlines(keepends=True):
                if not _GREETING.match(line):
                    sys.stderr.write(line)

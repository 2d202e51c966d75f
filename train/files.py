"""Writing results so that an interruption never leaves half a file under the final name."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_runtime.errors import DataError

FULL = os.strerror(errno.ENOSPC)


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it.

    Raises:
        DataError: the disk is full or the folder is not writable; what was there stays.
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a failed writing into one line.

    On a full disk h5py raises errors of several kinds and prints more when it cannot close its file;
    TensorFlow has errors of its own.

    Raises:
        DataError: `path` cannot be written.
    """
    printed, reason = io.StringIO(), ""
    try:
        with contextlib.redirect_stderr(printed):
            try:
                yield
            except OSError as error:
                reason = error.strerror or str(error)
            except Exception as error:
                if FULL not in str(error):
                    raise
                reason = FULL
            if reason:
                # What h5py left open prints when it is collected.
                gc.collect()
    finally:
        if not reason:
            sys.stderr.write(printed.getvalue())
    if reason:
        raise DataError(f"{path}: cannot be written ({FULL if FULL in reason else reason})")


def write_json(path: Path, document: Any) -> None:
    text = json.dumps(document, indent=1) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

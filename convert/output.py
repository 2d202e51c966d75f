"""Write model files so that a failed run leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.errors import EdgeFerError, UsageError


def check_out(out: Path, suffix: str) -> None:
    """Refuse a bad name for the output before any work is done.

    Raises:
        UsageError: another suffix, a folder, or in a folder that does not exist or may not be written to.
    """
    if out.suffix != suffix:
        raise UsageError(f"--out must end in {suffix}. Received: {out}")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out}: is a folder or a device; give the name of the file to write")
    check_folder(out.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder for outputs before any work is done.

    Raises:
        UsageError: there is none, or it may not be written to.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder}: may not be written to; choose another --out")


@contextlib.contextmanager
def candidate_file(out: Path) -> Iterator[Path]:
    """A temporary path beside `out` with the same suffix; it becomes `out` if the block succeeds.

    Raises:
        EdgeFerError: it cannot be written.
    """
    temporary = out.with_name(f".{out.stem}.tmp{os.getpid()}{out.suffix}")
    try:
        yield temporary
        temporary.replace(out)
    except OSError as error:
        raise EdgeFerError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)

"""What the device checks share: where they keep files, how they fail, how they run programs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Root of the checkout."""

CACHE = Path(os.environ.get("EDGE_FER_DEVICE_CACHE", ROOT / ".cache" / "device")).resolve()
"""Downloads and extracted trees; ignored by git, may be removed at any time."""

SKIPPED = 77
"""Exit status of a check that could not run, as automake has it."""


class SkippedError(Exception):
    """The check cannot run on this machine; the message says what is missing."""


class FailedError(Exception):
    """The check ran and found something wrong; the message says what."""


def say(message: str) -> None:
    """Print one line of progress to stderr."""
    print(f"device: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def only_run() -> Iterator[None]:
    """Hold the cache for this process.

    Raises:
        SkippedError: another run holds it.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SkippedError("another run of the device checks is using the cache") from None
        yield


def need(program: str, hint: str) -> None:
    """Look for a program on PATH.

    Raises:
        SkippedError: it is not there.
    """
    if shutil.which(program) is None:
        raise SkippedError(f"{program} is not installed; {hint}")


def call(
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its status and output; `env` adds to the environment.

    Raises:
        FailedError: it ran longer than `timeout_s`.
    """
    words = [str(word) for word in command]
    try:
        return subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"{' '.join(words[:6])} … ran longer than {timeout_s:g} s") from None


def last_lines(text: str, count: int = 12) -> str:
    """The end of a program's output, for an error message."""
    return "\n".join(text.strip().splitlines()[-count:])

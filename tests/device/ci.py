"""`tests/device/run ci`: the checks that fit into the time that is left, each skipped with the reason."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.device.common import SKIPPED

RUN = Path(__file__).with_name("run")
CHECKS = ((("aarch64", "--quick"), 120), (("picamera2",), 120))
"""Arguments of each check, most telling first, and the seconds below which it is not begun.

A check leaves that much to those that follow, where it has as much itself.
"""
GRACE_S = 5.0
"""From SIGTERM to SIGKILL, and after it."""


def check(seconds: float, command: Sequence[str | Path] = (sys.executable, RUN)) -> int:
    """Run the checks for at most `seconds` and twice `GRACE_S`; prints what they say to stdout.

    A check that cannot run, or that runs out of time, is skipped with the reason in one line.

    Args:
        command: what takes the arguments of `CHECKS`.

    Returns:
        The number of checks that failed.
    """
    deadline_s = time.monotonic() + seconds
    failed = 0
    for position, (words, least_s) in enumerate(CHECKS):
        left_s = deadline_s - time.monotonic()
        reserved_s = sum(later_s + 2 * GRACE_S for _, later_s in CHECKS[position + 1 :])
        if left_s - reserved_s >= least_s:
            left_s -= reserved_s
        if left_s < least_s:
            _skip(words, f"{max(0, left_s):.0f} s are left, it is not begun below {least_s} s")
            continue
        status, said = run_within([*command, *words], left_s)
        lines = said.splitlines()
        if status is None:
            _skip(words, f"out of time after {left_s:.0f} s")
        elif status == SKIPPED:
            mark = f"{words[0]}: skipped: "
            reasons = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
            _skip(words, reasons[-1] if reasons else "no reason was given")
        else:
            print(said, end="", flush=True)
            failed += status != 0
    return failed


def run_within(command: Sequence[str | Path], limit_s: float) -> tuple[int | None, str]:
    """Exit status, None for one that was ended for its time, and stdout; stderr goes to ours."""
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        # A session of its own, so that all it started ends with it.
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, start_new_session=True, text=True
        )
        status: int | None = None
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(child)
        out.seek(0)
        return status, out.read()


def _end(child: subprocess.Popen[str]) -> None:
    """End a process and all in its session, politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)


def _skip(words: Sequence[str], reason: str) -> None:
    print(f"ci: device checks skipped: {' '.join(words)}: {reason}", flush=True)

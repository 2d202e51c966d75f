"""Instructions per call: a cost that does not wobble with the clock or the neighbours.

The kernel's hardware counter is used where it can be opened; else valgrind counts, in an emulated CPU
without AVX-512. Figures of the two are not comparable, so every record names the source.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.sampler import MeasurementError, run_watched

COUNTED_CALLS = 100
FEW_CALLS, PROBE_CALLS, MOST_CALLS = 10, 30, 310
"""Calls of runs in valgrind: the difference of two runs leaves out start-up, import and load."""
RUN_NOISE = 2e6
"""Instructions by which those vary from run to run; enough calls make that a small share of a call."""
PRECISION = 0.002
"""That share. Valgrind emulates every multiply-add of floating-point kernels: seconds per call, so that
there are no more calls than needed."""
_VALGRIND_TIMEOUT_S = 3600
"""Of one run; the machine may have other things to do."""

_SYSCALLS = {"x86_64": 298, "aarch64": 241, "armv7l": 364}
_TYPE_HARDWARE, _COUNT_INSTRUCTIONS = 0, 1
# disabled = bit 0, inherit = bit 1 (threads that start later), exclude_kernel = bit 5, exclude_hv = bit 6
_FLAGS = 1 << 1 | 1 << 5 | 1 << 6


class InstructionCounter:
    """The kernel's counter of instructions in user space, of this process and threads it starts."""

    def __init__(self) -> None:
        """Open the counter.

        Raises:
            OSError: the kernel, its settings or the (virtual) machine do not give it.
        """
        number = _SYSCALLS.get(platform.machine())
        if number is None:
            raise OSError(f"no known perf_event_open on {platform.machine()}")
        size = 112
        attributes = struct.pack("=IIQQQQQ", _TYPE_HARDWARE, size, _COUNT_INSTRUCTIONS, 0, 0, 0, _FLAGS)
        buffer = ctypes.create_string_buffer(attributes.ljust(size, b"\0"), size)
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.syscall(number, buffer, 0, -1, -1, 0)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def read(self) -> int:
        """Instructions since the counter was opened."""
        return int(struct.unpack("=Q", os.read(self._descriptor, 8))[0])

    def close(self) -> None:
        os.close(self._descriptor)


def count_instructions(job: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """Instructions per call of a latency job, and where the figure is from.

    Returns:
        (None, None) where neither a hardware counter nor valgrind is to be had.

    Raises:
        EdgeFerError: the model or backend cannot be loaded.
    """
    result, _ = run_watched("benchmarks.measure_instructions", {**job, "calls": COUNTED_CALLS})
    if result["instructions_per_call"] is not None:
        return result["instructions_per_call"], "hardware counter"
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None, None
    per_call = per_call_of(lambda calls: _callgrind(valgrind, {**job, "calls": calls}))
    return per_call, _valgrind_version(valgrind)


def per_call_of(total: Callable[[int], int]) -> float:
    """Instructions per call from the totals of runs, precise to about `PRECISION`.

    Args:
        total: instructions of a whole run with so many calls.

    Raises:
        MeasurementError: more calls took no more instructions.
    """
    start = total(FEW_CALLS)
    calls = PROBE_CALLS
    per_call = (total(calls) - start) / (calls - FEW_CALLS)
    if per_call > 0:
        wanted = min(math.ceil(RUN_NOISE / (PRECISION * per_call)) + FEW_CALLS, MOST_CALLS)
        if wanted <= calls:
            return per_call
        calls = wanted
    else:
        calls = MOST_CALLS  # so little per call that the noise hid it
    per_call = (total(calls) - start) / (calls - FEW_CALLS)
    if per_call <= 0:
        raise MeasurementError("more calls took no more instructions; count again")
    return per_call


def _callgrind(valgrind: str, job: Mapping[str, Any]) -> int:
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        out = Path(folder) / "callgrind.out"
        prefix = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet"]
        run_watched("benchmarks.measure_instructions", job, prefix, _VALGRIND_TIMEOUT_S)
        try:
            return instructions_in(out.read_text())
        except OSError:
            raise MeasurementError("valgrind wrote no result; leave out --instructions") from None


def instructions_in(text: str) -> int:
    """Total of a callgrind output file.

    Raises:
        MeasurementError: the file has no total.
    """
    match = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    if match is None:
        raise MeasurementError("valgrind's result has no total; leave out --instructions")
    return int(match[1])


def _valgrind_version(valgrind: str) -> str:
    done = subprocess.run([valgrind, "--version"], capture_output=True, text=True, check=False)
    return f"callgrind, {done.stdout.strip()}"

"""The measuring side: what happens inside the fresh process."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import parsers
from edge_runtime.errors import EdgeFerError


def serve(measure: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Run `measure` on the job in the first argument and write its result to the second.

    Expected errors travel in the result, so that the parent can raise them again.
    """
    job, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        result = measure(job)
    except EdgeFerError as error:
        result = {"error": str(error), "kind": type(error).__name__}
    path.write_text(json.dumps(result))
    return 0


def memory_bytes(key: str) -> int | None:
    """`VmRSS` (resident now) or `VmHWM` (resident at most) of this process."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    kib = parsers.memory_kib(text).get(key)
    return None if kib is None else kib * 1024


def timed_ns(call: Callable[[], Any]) -> tuple[Any, int]:
    """The call's result and its wall time."""
    started = time.perf_counter_ns()
    result = call()
    return result, time.perf_counter_ns() - started


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Keep Python's garbage collector out of the timed calls."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

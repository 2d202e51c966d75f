"""Inside a fresh process: run a known number of calls, and count their instructions where possible."""

from __future__ import annotations

from typing import Any

from benchmarks.child import quiet_collector, serve
from benchmarks.instructions import InstructionCounter
from benchmarks.measure_latency import load_model, one_call


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Run `job["calls"]` calls; the count is None where the kernel gives no counter.

    Raises:
        EdgeFerError: the model or backend cannot be loaded.
    """
    counter = _open_counter()  # before the interpreter starts its threads, so that it follows them
    call = one_call(load_model(job), job["threads"])
    per_call = None
    with quiet_collector():
        call()
        before = None if counter is None else counter.read()
        for _ in range(job["calls"]):
            call()
        if counter is not None and before is not None:
            per_call = (counter.read() - before) / job["calls"]
    return {"instructions_per_call": per_call}


def _open_counter() -> InstructionCounter | None:
    try:
        return InstructionCounter()
    except OSError:
        return None


if __name__ == "__main__":
    raise SystemExit(serve(measure))

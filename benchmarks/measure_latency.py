"""Inside the fresh process of `benchmarks latency`: load, warm up, time every call."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.child import memory_bytes, quiet_collector, serve, timed_ns

FRAME_HW = (480, 640)
BOX_PX = 160
"""A face one to two metres from a 640x480 webcam."""

BLOCK_CALLS = 20
WARMUP_MAX_S = 10.0


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Time one model.

    Args:
        job: `model`, `backend`, `threads`, `calls`.

    Raises:
        EdgeFerError: the model or backend cannot be loaded.
    """
    rss_before = memory_bytes("VmRSS")
    _, import_ns = timed_ns(_import_runtime)
    from edge_runtime.classifier import Classifier

    classifier, load_ns = timed_ns(lambda: Classifier.load(job["model"], job["backend"], job["threads"]))
    call = one_call(classifier, job["threads"])
    _, first_ns = timed_ns(call)
    rows: list[tuple[int, int, int]] = []
    with quiet_collector():
        steady = _warm_up(call, rows)
        warmups = len(rows)
        for _ in range(job["calls"]):
            rows.append(call())
        bare_ns = _bare_invoke(classifier.backend, job["calls"])
    rss_steady, rss_peak = memory_bytes("VmRSS"), memory_bytes("VmHWM")
    preprocess, infer, cpu = zip(*rows, strict=True)
    total = tuple(a + b for a, b in zip(preprocess, infer, strict=True))
    stages = {"preprocess": preprocess, "infer": infer, "total": total}
    operators = getattr(classifier.backend, "operators", None)
    return {
        "model": classifier.contract.name,
        "model_file": classifier.file.path.name,
        "model_sha256": classifier.file.sha256,
        "model_bytes": len(classifier.file.data),
        "backend": classifier.backend.description,
        "backend_name": classifier.backend.name,
        "threads": job["threads"],
        "frame_hw": list(FRAME_HW),
        "box_px": BOX_PX,
        "stages": {
            name: {"values_ns": list(values[warmups:]), "warmups_ns": list(values[:warmups])}
            for name, values in stages.items()
        },
        "cpu_ns": list(cpu[warmups:]),
        "warmup_steady": steady,
        "import_ms": import_ns / 1e6,
        "load_ms": load_ns / 1e6,
        "first_call_ms": first_ns / 1e6,
        "rss_before_load_bytes": rss_before,
        "rss_steady_bytes": rss_steady,
        "rss_peak_bytes": rss_peak,
        "operators": None if operators is None else dict(Counter(operators)),
        "bare_invoke_ns": bare_ns,
    }


def _import_runtime() -> None:
    import edge_runtime.pipeline  # noqa: F401


def one_call(classifier: Any, threads: int) -> Callable[[], tuple[int, int, int]]:
    """A function that cuts a face out of a frame and classifies it, and returns its times.

    The frame is noise: int8 kernels take the same time whatever the pixels are.
    """
    import cv2
    import numpy as np

    from edge_runtime.pipeline import FaceReader
    from edge_runtime.preprocess import Box

    cv2.setNumThreads(threads)
    generator = np.random.default_rng(0)
    luma = generator.integers(0, 256, FRAME_HW, np.uint8)
    bgr = generator.integers(0, 256, (*FRAME_HW, 3), np.uint8)
    box = Box((FRAME_HW[1] - BOX_PX) / 2, (FRAME_HW[0] - BOX_PX) / 2, BOX_PX, BOX_PX)
    reader = FaceReader(classifier)
    wall_ns, cpu_ns = time.perf_counter_ns, time.process_time_ns

    def call() -> tuple[int, int, int]:
        cpu_before = cpu_ns()
        started = wall_ns()
        tensor = classifier.prepare(reader.crop(luma, bgr, box))
        prepared = wall_ns()
        classifier.infer(tensor)
        done = wall_ns()
        return prepared - started, done - prepared, cpu_ns() - cpu_before

    return call


def _warm_up(call: Callable[[], tuple[int, int, int]], rows: list[tuple[int, int, int]]) -> bool:
    """Call until the times have stopped falling; whether they have."""
    from benchmarks.stats import is_steady

    deadline = time.monotonic() + WARMUP_MAX_S
    medians: list[float] = []
    while not is_steady(medians):
        if time.monotonic() > deadline:
            return False
        block = [call() for _ in range(BLOCK_CALLS)]
        rows.extend(block)
        medians.append(statistics.median(preprocess + infer for preprocess, infer, _ in block))
    return True


def _bare_invoke(backend: Any, calls: int) -> list[int] | None:
    """Times of the interpreter's call alone: what Python adds is the rest of `infer`."""
    rerun = getattr(backend, "rerun", None)
    if rerun is None:
        return None
    return [timed_ns(rerun)[1] for _ in range(calls)]


if __name__ == "__main__":
    raise SystemExit(serve(measure))

"""Inside the fresh process of `benchmarks latency`: load, warm up, time every call."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.child import memory_bytes, quiet_collector, serve, timed_ns

FRAME_HW = (480, 640)
BOX_PX = 160
"""A face one to two metres from a 640x480 webcam."""

NO_BOX = 0
"""In place of `BOX_PX` for a detector, which takes the whole frame."""

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
    model, load_ns = timed_ns(lambda: load_model(job))
    call = one_call(model, job["threads"])
    _, first_ns = timed_ns(call)
    rows: list[tuple[int, int, int]] = []
    with quiet_collector():
        steady = _warm_up(call, rows)
        warmups = len(rows)
        for _ in range(job["calls"]):
            rows.append(call())
        bare_ns = _bare_invoke(model.backend, job["calls"])
    rss_steady, rss_peak = memory_bytes("VmRSS"), memory_bytes("VmHWM")
    preprocess, infer, cpu = zip(*rows, strict=True)
    total = tuple(a + b for a, b in zip(preprocess, infer, strict=True))
    stages = {"preprocess": preprocess, "infer": infer, "total": total}
    operators = getattr(model.backend, "operators", None)
    return {
        "model": model.contract.name,
        "model_file": model.file.path.name,
        "model_sha256": model.file.sha256,
        "model_bytes": len(model.file.data),
        "backend": model.backend.description,
        "backend_name": model.backend.name,
        "threads": job["threads"],
        "frame_hw": list(FRAME_HW),
        "box_px": NO_BOX if model.contract.task == "detect" else BOX_PX,
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


def load_model(job: Mapping[str, Any]) -> Any:
    """The classifier or detector of a job.

    Raises:
        EdgeFerError: it cannot be loaded.
    """
    from edge_runtime.classifier import Classifier
    from edge_runtime.detectors.edge import EdgeDetector
    from edge_runtime.modelfile import read_model

    detects = read_model(job["model"]).contract.task == "detect"
    load = EdgeDetector.load if detects else Classifier.load
    return load(job["model"], job["backend"], job["threads"])


def one_call(model: Any, threads: int) -> Callable[[], tuple[int, int, int]]:
    """A function that does what the device does with a frame, and returns its times.

    A classifier gets a face cut out of the frame, a detector the whole of it. The frame is noise: int8
    kernels take the same time whatever the pixels are.
    """
    import cv2
    import numpy as np

    cv2.setNumThreads(threads)
    generator = np.random.default_rng(0)
    luma = generator.integers(0, 256, FRAME_HW, np.uint8)
    bgr = generator.integers(0, 256, (*FRAME_HW, 3), np.uint8)
    if model.contract.task == "detect":
        return _timed(lambda: model.fit(luma), lambda _: model.find())
    from edge_runtime.pipeline import FaceReader
    from edge_runtime.preprocess import Box

    box = Box((FRAME_HW[1] - BOX_PX) / 2, (FRAME_HW[0] - BOX_PX) / 2, BOX_PX, BOX_PX)
    reader = FaceReader(model)
    return _timed(lambda: model.prepare(reader.crop(luma, bgr, box)), model.infer)


def _timed(prepare: Callable[[], Any], infer: Callable[[Any], Any]) -> Callable[[], tuple[int, int, int]]:
    wall_ns, cpu_ns = time.perf_counter_ns, time.process_time_ns

    def call() -> tuple[int, int, int]:
        cpu_before = cpu_ns()
        started = wall_ns()
        tensor = prepare()
        prepared = wall_ns()
        infer(tensor)
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

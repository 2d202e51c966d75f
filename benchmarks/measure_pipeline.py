"""Inside the fresh process of `benchmarks pipeline`: whole frames through the device's own pipeline."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.child import memory_bytes, quiet_collector, serve

WARMUP_FRAMES = 10
MEMORY_EVERY_S = 1.0


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Run the pipeline on a source.

    Args:
        job: `source`, `realtime`, `model`, `backend`, `threads`, `detector`, `frames` (None for all).

    Raises:
        EdgeFerError: source, detector, model or backend cannot be opened, or too few frames came.
    """
    import cv2

    from edge_runtime.classifier import Classifier
    from edge_runtime.detectors import load_detector
    from edge_runtime.errors import SourceError
    from edge_runtime.pipeline import Pipeline
    from edge_runtime.records import STAGES, FrameRecord
    from edge_runtime.sources import SourceOptions, open_source

    cv2.setNumThreads(job["threads"])
    classifier = Classifier.load(job["model"], job["backend"], job["threads"])
    detector = load_detector(job["detector"])
    kind, _, file = job["detector"].partition(":")
    color = classifier.contract.input.color == "rgb"
    source = open_source(job["source"], SourceOptions(color=color, realtime=job["realtime"]))
    limit = None if job["frames"] is None else job["frames"] + WARMUP_FRAMES
    pipeline = Pipeline(source, detector, classifier)
    records: list[FrameRecord] = []
    memory: list[dict[str, Any]] = []
    started = cpu_started = ended = cpu_ended = 0
    try:
        with quiet_collector():
            for number, (_, record) in enumerate(pipeline.records(limit), start=1):
                records.append(record)
                if number < WARMUP_FRAMES:
                    continue
                ended, cpu_ended = time.perf_counter_ns(), time.process_time_ns()
                if number == WARMUP_FRAMES:
                    started, cpu_started = ended, cpu_ended
                if not memory or (ended - started) / 1e9 - memory[-1]["t_s"] >= MEMORY_EVERY_S:
                    memory.append({"t_s": (ended - started) / 1e9, "rss_bytes": memory_bytes("VmRSS") or 0})
    finally:
        source.close()
    timed = records[WARMUP_FRAMES:]
    if not timed:
        raise SourceError(
            f"{job['source']}: {len(records)} frames; a benchmark needs more than {WARMUP_FRAMES}"
        )
    return {
        "model": classifier.contract.name,
        "model_file": classifier.file.path.name,
        "model_sha256": classifier.file.sha256,
        "backend": classifier.backend.description,
        "backend_name": classifier.backend.name,
        "threads": job["threads"],
        # The folder that a source lies in is nobody's business but its owner's.
        "source": source.description.replace(job["source"], Path(job["source"]).name),
        "realtime": job["realtime"],
        "detector": f"{kind}:{Path(file).name}" if file else kind,
        "stages": {
            stage: {
                "values_ns": [round(record.timing_ms[stage] * 1e6) for record in timed],
                "warmups_ns": [round(record.timing_ms[stage] * 1e6) for record in records[:WARMUP_FRAMES]],
            }
            for stage in STAGES
        },
        "age_ns": [round(record.age_ms * 1e6) for record in timed],
        "wall_s": (ended - started) / 1e9,
        "cpu_s": (cpu_ended - cpu_started) / 1e9,
        "frames_with_faces": sum(bool(record.faces) for record in timed),
        "faces": sum(len(record.faces) for record in timed),
        "dropped": timed[-1].dropped - records[WARMUP_FRAMES - 1].dropped,
        "memory": memory,
        "rss_peak_bytes": memory_bytes("VmHWM"),
    }


if __name__ == "__main__":
    raise SystemExit(serve(measure))

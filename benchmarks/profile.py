"""Time per operator, where a runtime measures it."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PROFILED_CALLS = 200


def onnx_profile(model: Path, threads: int) -> list[dict[str, Any]] | None:
    """Mean time of every node by onnxruntime's profiler, slowest first; None where it is absent.

    ai-edge-litert and tflite-runtime give no such figures through Python.
    """
    try:
        import numpy as np
        import onnxruntime
    except ImportError:
        return None
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        (tensor,) = session.get_inputs()
        kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}
        shape = [size if isinstance(size, int) else 1 for size in tensor.shape]
        zeros = np.zeros(shape, kinds[tensor.type])
        for _ in range(PROFILED_CALLS):
            session.run(None, {tensor.name: zeros})
        events = json.loads(Path(session.end_profiling()).read_text())
    return operator_times(events)


def operator_times(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean microseconds per node from onnxruntime's events, slowest first."""
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            kind = str(event.get("args", {}).get("op_name", ""))
            durations[name.removesuffix("_kernel_time"), kind].append(float(event["dur"]))
    rows = [
        {"name": name, "kind": kind, "mean_us": sum(values) / len(values)}
        for (name, kind), values in durations.items()
    ]
    return sorted(rows, key=lambda row: (-row["mean_us"], row["name"]))

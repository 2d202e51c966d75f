"""Records with seeded noise in place of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.accuracy_record import AccuracyRecord, ClassFigures, DataInfo, Reliability, RiskCoverage
from benchmarks.host import HostInfo, HostState
from benchmarks.record import (
    Environment,
    LatencyRecord,
    MemorySample,
    OperatorTime,
    PipelineRecord,
    Samples,
)
from benchmarks.sampler import void_reasons

HOST = HostInfo(
    board="Raspberry Pi 4 Model B Rev 1.1",
    revision="c03111",
    machine="aarch64",
    cpu="Cortex-A72",
    cpu_features=("asimd",),
    cores=4,
    virtual=None,
    memory_bytes=4 << 30,
    governor="performance",
    frequency_min_mhz=600.0,
    frequency_max_mhz=1800.0,
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="6.6.51+rpt-rpi-v8",
    python="3.11.2",
    libraries={"numpy": "1.26.4", "onnxruntime": None},
    power_source=None,
    fingerprint="0123456789abcdef",
)
OTHER_HOST = replace(HOST, board="Raspberry Pi 5 Model B Rev 1.0", fingerprint="fedcba9876543210")


def state(t_s: float = 0.0, throttled: int | None = 0, **changes: object) -> HostState:
    """A calm board, changed as told."""
    calm = HostState(
        t_s=t_s,
        temperature_c=48.7,
        frequency_mhz=1800.0,
        throttled=throttled,
        thermal_events=None,
        watts=None,
        energy_uj=None,
        jiffies={"busy": int(100 * t_s), "steal": 0, "total": int(400 * t_s)},
        memory_available_bytes=3 << 30,
        load_1min=0.1,
    )
    return replace(calm, **changes)  # type: ignore[arg-type]


def environment(
    states: Sequence[HostState] | None = None, host: HostInfo = HOST, others: float = 0.0
) -> Environment:
    """What surrounded a run; void for the reasons that the program itself would give."""
    seen = tuple(states or (state(0.0), state(2.0), state(4.0)))
    return Environment(
        host=host,
        states=seen,
        others_cpu=others,
        steal=0.0,
        idle_watts=None,
        run_watts=None,
        energy_source=None,
        void=tuple(void_reasons(seen, others, 0.0)),
        warnings=(),
    )


def noise(
    seed: int, median_ms: float = 1.0, calls: int = 1000, scatter: float = 0.05, correlation: float = 0.3
) -> tuple[int, ...]:
    """Times in nanoseconds: log-normal, neighbours alike, now and then a straggler."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(0, 1, calls)
    for index in range(1, calls):
        steps[index] = correlation * steps[index - 1] + (1 - correlation**2) ** 0.5 * steps[index]
    values = np.exp(scatter * steps) * median_ms * 1e6
    values[generator.uniform(size=calls) < 0.01] *= 3
    return tuple(int(value) for value in values)


def latency(
    seed: int = 0,
    median_ms: float = 1.0,
    calls: int = 1000,
    model: str = "edge-fer-small",
    around: Environment | None = None,
    instructions: float | None = None,
    scatter: float = 0.05,
    threads: int = 1,
) -> LatencyRecord:
    """A record of one process."""
    total = noise(seed, median_ms, calls, scatter)
    preprocess = tuple(value // 10 for value in total)
    infer = tuple(value - small for value, small in zip(total, preprocess, strict=True))
    warm = (int(median_ms * 2e6),)
    return LatencyRecord(
        started="2026-01-02T03:04:05+00:00",
        model=model,
        model_file=f"{model}.tflite",
        model_sha256=("a" if model == "edge-fer-small" else "b") * 64,
        model_bytes=1_000_000,
        backend=f"ai-edge-litert 2.3.0 xnnpack threads={threads}",
        backend_name="litert",
        threads=threads,
        frame_hw=(480, 640),
        box_px=160,
        stages={
            "preprocess": Samples(preprocess, warm),
            "infer": Samples(infer, warm),
            "total": Samples(total, warm),
        },
        cpu_ns=total,
        warmup_steady=True,
        import_ms=400.0,
        load_ms=10.0,
        first_call_ms=3.0,
        rss_before_load_bytes=30 << 20,
        rss_steady_bytes=60 << 20,
        rss_peak_bytes=70 << 20,
        operators={"DELEGATE": 1},
        bare_invoke_ns=infer,
        litert_benchmark_ms=0.9,
        operator_profile=(
            OperatorTime("conv1", "Conv", 400 * median_ms),
            OperatorTime("conv2", "Conv", 200 * median_ms),
            OperatorTime("add", "Add", 190 * median_ms),
            OperatorTime("squeeze", "Squeeze", 6 * median_ms),
            OperatorTime("reshape", "Reshape", 4 * median_ms),
        ),
        instructions_per_call=instructions,
        instructions_source=None if instructions is None else "hardware counter",
        environment=around or environment(),
    )


def pipeline(seed: int = 0, around: Environment | None = None) -> PipelineRecord:
    """A record of 200 whole frames."""
    total = noise(seed, 20.0, 200)
    stages = {
        stage: Samples(total if stage == "total" else tuple(value // 4 for value in total), (1,))
        for stage in ("capture", "detect", "preprocess", "infer", "total")
    }
    return PipelineRecord(
        started="2026-01-02T03:04:05+00:00",
        model="edge-fer-small",
        model_file="edge-fer-small.tflite",
        model_sha256="a" * 64,
        backend="ai-edge-litert 2.3.0 xnnpack threads=1",
        backend_name="litert",
        threads=1,
        source="video webcam.mp4 640x480",
        realtime=False,
        detector="haar",
        stages=stages,
        age_ns=total,
        wall_s=sum(total) / 1e9,
        cpu_s=sum(total) / 1e9 * 1.1,
        frames_with_faces=190,
        faces=195,
        dropped=0,
        memory=(MemorySample(0.0, 60 << 20), MemorySample(1.0, 61 << 20)),
        rss_peak_bytes=70 << 20,
        environment=around or environment(),
    )


def accuracy(model: str = "edge-fer-small", correct: int = 70) -> AccuracyRecord:
    """A record of 100 pictures in two classes."""
    figures = ClassFigures(precision=0.7, recall=0.7, f1=0.7, support=50)
    return AccuracyRecord(
        model=model,
        model_file=f"{model}.tflite",
        model_sha256=("a" if model == "edge-fer-small" else "b") * 64,
        model_bytes=1_000_000,
        backend="ai-edge-litert 2.3.0 xnnpack threads=1",
        data=DataInfo(digest="d" * 64, split="PublicTest", unlabelled=0),
        n=100,
        top1=correct / 100,
        top1_interval=(0.6, 0.8),
        balanced_accuracy=0.7,
        macro_f1=0.7,
        ece=0.05,
        ece_bins=15,
        reliability=Reliability((100,), (0.7,), (None,)),
        risk_coverage=RiskCoverage(0.2, (1.0,), (0.3,), (0.1,)),
        classes={"happy": figures, "sad": figures},
        labels=("happy", "sad"),
        confusion=((correct, 0), (100 - correct, 0)),
        leak_free=None,
        ferplus=None,
        paired=(),
        host=HOST,
    )

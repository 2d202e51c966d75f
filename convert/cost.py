"""What a model costs: multiply-accumulates, parameters, and CPU time per picture here."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.quiet import captured_stderr
from edge_runtime.classifier import Classifier
from edge_runtime.modelfile import read_model

WARMUPS, RUNS = 20, 300


@dataclass(frozen=True)
class Cost:
    """Size of the computation, counted in the float32 `.tflite` graph."""

    macs: int
    """Multiply-accumulates of convolutions and dense layers for one picture."""
    parameters: int
    """Weights and biases of those."""


def count_cost(graph: bytes) -> Cost:
    """Count a float32 graph; shapes are static, so the graph says it all."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(graph, 0)
    subgraph = model.subgraphs[0]
    kinds = schema.BuiltinOperator
    macs = parameters = 0
    for operator in subgraph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.FULLY_CONNECTED):
            continue
        kernel = subgraph.tensors[operator.inputs[1]]
        output = subgraph.tensors[operator.outputs[0]]
        weights, values = int(np.prod(kernel.shape)), int(np.prod(output.shape))
        # Each output value takes one filter: all inputs of a pixel, or one channel where depthwise.
        filters = int(kernel.shape[-1] if kind == kinds.DEPTHWISE_CONV_2D else kernel.shape[0])
        macs += values * weights // filters
        parameters += weights
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            parameters += int(np.prod(subgraph.tensors[operator.inputs[2]].shape))
    return Cost(macs, parameters)


def median_cpu_ms(path: Path) -> float:
    """Median CPU time of one inference, as the device runs the model, one thread, this machine.

    A figure to compare formats by, not a benchmark: `python -m benchmarks latency` makes those.
    """
    with captured_stderr():
        model, call = _one_call(path)
    times = []
    for _ in range(WARMUPS + RUNS):
        start = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - start)
    model.close()
    return float(np.median(times[WARMUPS:])) / 1e6


def _one_call(path: Path) -> tuple[Any, Callable[[], Any]]:
    """A model and what it does with one picture that lies ready; a detector decodes its outputs too."""
    contract = read_model(path).contract
    if contract.task == "detect":
        from convert.detector_exam import load_detector

        detector = load_detector(path, score_threshold=None)
        detector.fit(np.full((contract.input.height, contract.input.width), 128, np.uint8))
        return detector, detector.find
    classifier = Classifier.load(path)
    tensor = classifier.prepare(np.full(contract.input.shape[1:], 128, np.uint8))
    return classifier, lambda: classifier.infer(tensor)


def machine_name() -> str:
    """Processor and number of CPUs, as a table names the machine that its times are from."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} CPUs"

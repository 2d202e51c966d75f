"""Self-test vectors: synthetic pictures with the outputs that the reference runtime computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr
from edge_runtime.backends import Backend, load_backend
from edge_runtime.contract import InputSpec, SelfTest
from edge_runtime.errors import ContractError
from edge_runtime.preprocess import to_tensor

NOISE_SEED = 48
NOISE_CELLS = 8
BARS = 6
OTHER_RUNTIMES_LSB = 6
"""Least tolerance of integer outputs for runtimes other than the reference, units in the last place.

The runtimes round requantization differently; over tens of layers this adds up to a few units."""
FLOAT_TOLERANCE = 1e-4
"""Tolerance of float outputs for the reference runtime, fraction of the largest output."""
FLOAT_OTHERS = 1e-3
"""Likewise for other runtimes, where the graph computes in float."""
STEPPED_OTHERS = 0.05
"""Likewise, where it is quantized inside: `OTHER_RUNTIMES_LSB` of 127 steps."""


def synthetic_inputs(spec: InputSpec) -> tuple[npt.NDArray[np.uint8], ...]:
    """Four uint8 (height, width, channels) pictures that a network tells apart and deflate shrinks."""
    down, across = np.mgrid[0 : spec.height, 0 : spec.width].astype(np.float64)
    down, across = down / max(spec.height - 1, 1), across / max(spec.width - 1, 1)
    gradient = 255 * (0.7 * across + 0.3 * down)
    bars = 40 + 175 * (np.floor(across * BARS * 0.999) % 2) * (np.floor(down * 3 * 0.999) != 1)
    cells = np.random.default_rng(NOISE_SEED).integers(0, 256, (NOISE_CELLS, NOISE_CELLS))
    noise = cells[
        np.minimum((down * NOISE_CELLS).astype(int), NOISE_CELLS - 1),
        np.minimum((across * NOISE_CELLS).astype(int), NOISE_CELLS - 1),
    ]
    pictures = (gradient, _face(down, across), noise, bars)
    return tuple(
        np.repeat(np.clip(np.round(p), 0, 255).astype(np.uint8)[..., None], spec.channels, axis=2)
        for p in pictures
    )


def _face(down: npt.NDArray[np.float64], across: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A bright ellipse with dark eyes and mouth, in eight steps of brightness."""

    def blob(y: float, x: float, h: float, w: float) -> npt.NDArray[np.float64]:
        distance = ((down - y) / h) ** 2 + ((across - x) / w) ** 2
        return np.clip(1.6 - distance, 0, 1)

    shade = 0.25 + 0.6 * blob(0.5, 0.5, 0.48, 0.38)
    for eye_x in (0.33, 0.67):
        shade = shade - 0.5 * blob(0.4, eye_x, 0.06, 0.09)
    shade = shade - 0.4 * blob(0.74, 0.5, 0.07, 0.2)
    return np.round(shade * 8) / 8 * 255


def make_self_test(
    model: bytes, spec: InputSpec, inputs: Sequence[npt.NDArray[np.uint8]] | None = None
) -> SelfTest:
    """Self-test of a `.tflite` graph: ai-edge-litert with XNNPACK, its portable kernels measured.

    Args:
        model: bytes of the graph.
        inputs: uint8 (height, width, channels) pictures; None takes the synthetic ones.

    Raises:
        ContractError: two vectors give the same output, so the graph does not look at its input.
        BackendError: the interpreter refuses the graph.
    """
    with captured_stderr():
        reference, plain = load_backend(model, "litert"), _backend_without_delegates(model)
    pictures = synthetic_inputs(spec) if inputs is None else inputs
    return self_test_of(reference, pictures, [plain], computes_in_steps(model))


def computes_in_steps(model: bytes) -> bool:
    """Whether a `.tflite` graph holds 8 or 16-bit integers, whatever its input and output are.

    Weights of the dynamic range are such: a runtime then rounds the activations in its own way.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.TensorType
    steps = (kinds.INT8, kinds.UINT8, kinds.INT16)
    graph = schema.Model.GetRootAsModel(model, 0)
    return any(
        graph.Subgraphs(part).Tensors(index).Type() in steps
        for part in range(graph.SubgraphsLength())
        for index in range(graph.Subgraphs(part).TensorsLength())
    )


def self_test_of(
    reference: Backend,
    inputs: Sequence[npt.NDArray[np.uint8]],
    others: Sequence[Backend],
    stepped: bool = False,
) -> SelfTest:
    """Outputs that a runtime computes, and tolerances by how far other kernels are from them.

    Args:
        stepped: the graph is known to be quantized inside.

    Raises:
        ContractError: two vectors give the same output.
    """
    outputs = [_run(reference, pixels) for pixels in inputs]
    if len({values.tobytes() for values in outputs}) < len(outputs):
        raise ContractError(
            "the graph gives the same output for different pictures; its weights are lost or "
            "untrained: export the model again"
        )
    deviations = [
        float(np.abs(_run(other, pixels) - expected).max())
        for other in others
        for pixels, expected in zip(inputs, outputs, strict=True)
    ]
    return SelfTest(
        inputs=tuple(pixels.tobytes() for pixels in inputs),
        outputs=tuple(tuple(_plain_numbers(values, reference)) for values in outputs),
        reference=reference.description,
        tolerance=_tolerances(reference, outputs, max(deviations, default=0.0), stepped),
    )


def _tolerances(
    reference: Backend, outputs: list[npt.NDArray[np.float64]], measured: float, stepped: bool
) -> dict[str, float]:
    if all(np.issubdtype(tensor.dtype, np.integer) for tensor in reference.outputs):
        others = max(2 * measured, OTHER_RUNTIMES_LSB)
        # Integer arithmetic: XNNPACK gives the same bits on x86-64 and aarch64.
        return {reference.tolerance_key: 0.0, "default": others}
    largest = max(max(float(np.abs(values).max()) for values in outputs), 1e-3)
    # A graph that is quantized inside jumps by whole steps where another kernel rounds otherwise.
    jumps = stepped or measured > FLOAT_OTHERS * largest
    others = max(2 * measured, (STEPPED_OTHERS if jumps else FLOAT_OTHERS) * largest)
    return {reference.tolerance_key: FLOAT_TOLERANCE * largest, "default": others}


def _run(backend: Backend, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """All outputs as one row of values, in the graph's order."""
    raw = backend.invoke(to_tensor(pixels, backend.input))
    return np.concatenate([values.reshape(-1) for values in raw]).astype(np.float64)


def _plain_numbers(values: npt.NDArray[np.float64], backend: Backend) -> list[float]:
    if all(np.issubdtype(tensor.dtype, np.integer) for tensor in backend.outputs):
        return [int(value) for value in values]
    return [float(np.float32(value)) for value in values]


def _backend_without_delegates(model: bytes) -> Backend:
    """ai-edge-litert with its portable kernels, which round as the older runtimes do."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edge_runtime.backends.tflite import TfliteBackend

    plain = partial(
        Interpreter,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    return TfliteBackend(plain, model, name="litert", package="ai-edge-litert", threads=1)

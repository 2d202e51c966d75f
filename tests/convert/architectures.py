"""Convert every architecture of `train` untrained, and write how near the files come to Keras.

python -m tests.convert.architectures --out docs/conversion/architectures.json

Interrupted, it goes on where it was; remove the file to begin anew. With `--save NAME` one architecture is
written as a `.keras` file instead, to measure what its shape costs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.calibration import CalibrationSet
from convert.cost import count_cost
from convert.delegation import delegation_of
from convert.quiet import captured_stderr, start_tensorflow
from convert.runtimes import answers_elsewhere
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite
from edge_runtime.backends import load_backend
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets import FER2013_LABELS
from edge_runtime.modelfile import embed_keras, embed_tflite
from edge_runtime.preprocess import to_tensor

SEED = 11
PICTURES, CALIBRATION = 8, 24
RECIPES = (Recipe("float32"), Recipe("dynamic"), Recipe("int8", "int8"))
FORMATS = (*(recipe.name for recipe in RECIPES), "onnx-float32", "onnx-int8")
UNTRAINED: dict[str, Any] = {"weights": "none"}

CASES: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "cnn_4block": ((48, 48, 1), {}),
    "cnn_baseline": ((48, 48, 1), {}),
    "cnn_bn": ((48, 48, 1), {}),
    "cnn_csv": ((48, 48, 1), {}),
    "edge_resnet": ((48, 48, 1), {}),
    "face_resnet": ((48, 48, 1), {}),
    "happy_sad": ((256, 256, 3), {}),
    "mini_xception": ((64, 64, 1), {}),
    "resnet50": ((48, 48, 3), UNTRAINED),
    "resnet50v2": ((48, 48, 3), UNTRAINED),
    "vgg16": ((48, 48, 3), UNTRAINED),
}
"""Architecture -> input shape, as its recipe has it where that is small, and parameters."""
DETECTORS = ("edge_face",)
"""Architectures with several outputs, which `convert.detector` converts."""


def examine(architecture: str, tflite_runtime_python: Path | None = None) -> dict[str, Any]:
    """Convert one architecture to every format and compare each with Keras.

    Args:
        tflite_runtime_python: run the quantized `.tflite` files there as well, whose operations have the
            newest versions; an error if it refuses one.

    Raises:
        EdgeFerError: a format cannot be made or run.
    """
    from convert.onnx import convert_onnx

    source = untrained(architecture)
    spec = source.contract.input
    rng = np.random.default_rng(SEED)
    pixels = rng.integers(0, 256, (CALIBRATION, *spec.shape[1:]), np.uint8)
    extremes = np.stack([np.zeros_like(pixels[0]), np.full_like(pixels[0], 255)])
    calibration = CalibrationSet(np.concatenate([pixels, extremes]), {})
    given = pixels[:PICTURES]
    wanted = source.outputs(given)
    formats, parameters = {}, 0
    for recipe in RECIPES:
        graph = convert_tflite(source, recipe, calibration)
        parameters = parameters or count_cost(graph).parameters
        delegation = delegation_of(graph)
        formats[recipe.name] = {
            "deviation": deviation(graph, "litert", given, wanted),
            "pieces": delegation.partitions,
            "outside": list(delegation.outside),
        }
        if tflite_runtime_python is not None and recipe.scheme != "float32":
            run_elsewhere(embed_tflite(graph, source.contract), given, tflite_runtime_python)
    for scheme in ("float32", "int8"):
        graph = convert_onnx(source, scheme, calibration)
        found = deviation(graph, "onnx", given, wanted)
        formats[f"onnx-{scheme}"] = {"deviation": found, "pieces": None, "outside": []}
    return {
        "architecture": architecture,
        "input": list(spec.shape[1:]),
        "parameters": parameters,
        "tflite_runtime": tflite_runtime_python is not None,
        "formats": formats,
    }


def untrained(architecture: str) -> SourceModel:
    """An architecture with random weights; biases and normalization too, as if it had been trained."""
    import keras

    from train.models import build_model

    shape, parameters = CASES[architecture]
    sigmoid = architecture == "happy_sad"
    keras.utils.set_random_seed(SEED)
    model = build_model(architecture, shape, 1 if sigmoid else 7, **parameters)
    rng = np.random.default_rng(SEED)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            gamma, variance = rng.uniform(0.8, 1.2, (2, *size))
            beta, mean = rng.normal(0, 0.1, (2, *size))
            layer.set_weights([gamma, beta, mean, variance])
    contract = ModelContract(
        name=architecture,
        task="sigmoid" if sigmoid else "softmax",
        labels=("happy", "sad") if sigmoid else FER2013_LABELS,
        input=InputSpec(shape[0], shape[1], "luma" if shape[2] == 1 else "rgb"),
        activation="logits",
    )
    return SourceModel(Path(architecture), model, contract)


def deviation(
    graph: bytes, name: str, pixels: npt.NDArray[np.uint8], wanted: npt.NDArray[np.float32]
) -> float:
    """Largest deviation of an output, fraction of the span of all wanted outputs and zero."""
    with captured_stderr():
        backend = load_backend(graph, name)
    (output,) = backend.outputs
    values = np.stack([backend.invoke(to_tensor(p, backend.input))[0].ravel().copy() for p in pixels])
    backend.close()
    given = values.astype(np.float64)
    if output.quantized:
        given = (given - output.zero_point) * output.scale
    span = max(wanted.max(), 0) - min(wanted.min(), 0)
    return float(np.abs(given - wanted).max() / span)


def run_elsewhere(data: bytes, pixels: npt.NDArray[np.uint8], python: Path) -> None:
    """Run a file on tflite-runtime in another environment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        images = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        answers_elsewhere(path, images, "tflite-runtime", python)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.convert.architectures", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--tflite-runtime-python", type=Path, metavar="PYTHON")
    parser.add_argument("--save", choices=CASES, help="write this one to --out as FILE.keras")
    arguments = parser.parse_args(argv)
    start_tensorflow()
    if arguments.save:
        source = untrained(arguments.save)
        source.model.save(arguments.out)
        embed_keras(arguments.out, source.contract)
        return 0
    done = {}
    if arguments.out.exists():
        done = {row["architecture"]: row for row in json.loads(arguments.out.read_text())["architectures"]}
    for architecture in CASES:
        if architecture in done:
            continue
        print(f"{architecture} …", file=sys.stderr, flush=True)
        done[architecture] = examine(architecture, arguments.tflite_runtime_python)
        rows = [done[name] for name in CASES if name in done]
        record = {"formats": list(FORMATS), "pictures": PICTURES, "architectures": rows}
        temporary = arguments.out.with_suffix(f".tmp{os.getpid()}")
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        temporary.replace(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m train restore`: a converted model as a Keras model again, which can be trained further.

Conversion folds every batch normalization into the convolution before it and rounds the weights;
`train.unfold` puts it back.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.classifier import Classifier
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import DataError, EdgeFerError, UsageError
from train.data import TrainingData
from train.distill import converted_logits
from train.files import write_json
from train.fit import FitOptions, load_prepared, write_model
from train.inference import MODEL_NAME, predict_logits
from train.models import build_model
from train.quiet import without_greetings
from train.recipe import Recipe
from train.run import STATE_NAME, Identity
from train.unfold import MOMENT_PICTURES, Folded, feeding, fill

PROBES = 512
"""Training pictures on which both forms must answer alike."""
LEAST_CORRELATION = 0.98

FloatArray = npt.NDArray[np.float32]


class RestoreError(EdgeFerError):
    """The recipe's network does not compute what the converted model computes."""


def restore(model_file: Path, recipe: Recipe, data_path: Path, out: Path, options: FitOptions) -> float:
    """Write a converted classifier as `model.keras`, in the layers of a recipe.

    Where the data are those that it was trained on, the run knows again which pictures were held out.

    Args:
        model_file: `.tflite` file with a contract, int8 or float32.

    Returns:
        Correlation of both forms' logits on training pictures.

    Raises:
        ContractError: no such file, damaged, or without a contract.
        DataError: unreadable data, or `out` holds a run.
        UsageError: the recipe's network is another, or a model that ends in probabilities.
        RestoreError: the network gives other answers than the file.
    """
    if any((out / name).exists() for name in (MODEL_NAME, STATE_NAME)):
        raise DataError(f"{out}: holds a run already; give another --out or delete the folder")
    with without_greetings():
        released = Classifier.load(model_file)
    contract = released.contract
    if contract.activation != "logits":
        raise UsageError(f"{model_file}: ends in {contract.activation}; only models that end in logits")
    # Targets are not needed, and so no votes for them.
    plain = replace(recipe, data=replace(recipe.data, votes=0.0))
    prepared = load_prepared(plain, data_path, options)
    if contract.labels != prepared.train.class_names or contract.input != prepared.input:
        raise UsageError(
            f"{model_file}: takes {contract.input.shape[1:]} and names {', '.join(contract.labels)}; "
            f"recipe {recipe.name!r} with this data takes {prepared.input.shape[1:]} and names "
            f"{', '.join(prepared.train.class_names)}"
        )
    # Branches were merged when the model was handed over.
    parameters = {name: value for name, value in recipe.model.parameters.items() if name != "branches"}
    model = build_model(recipe.model.architecture, contract.input.shape[1:], contract.outputs, **parameters)
    rng = np.random.default_rng([options.seed, 11])
    images = prepared.train.images[rng.permutation(len(prepared.train))]
    pictures = fit_pictures(images[:MOMENT_PICTURES], contract.input)
    try:
        fill(model, read_folded(released.file.data, model), pictures.astype(np.float32))
    except ValueError as error:
        raise UsageError(f"{model_file}: not the network of recipe {recipe.name!r} ({error})") from None
    exact = predict_logits(model, images[:PROBES], contract.input)
    rounded = converted_logits(released, fit_pictures(images[:PROBES], contract.input))
    likeness = float(np.corrcoef(_centred(exact), _centred(rounded))[0, 1])
    if not likeness >= LEAST_CORRELATION:
        raise RestoreError(
            f"{model_file}: recipe {recipe.name!r} with its weights answers otherwise, correlation "
            f"{likeness:.3f}; give the recipe that it was trained with"
        )
    _write(model, released, recipe, prepared, out, options.seed)
    return likeness


def read_folded(graph: bytes, model: keras.Model) -> dict[str, Folded]:
    """Weights of a TFLite graph by the names of the Keras layers that they came from.

    The converter keeps the layers' names in its tensors' names, joined by `;` where it fused several.

    Raises:
        ValueError: an operation with weights is none of the model's convolutions or dense layers.
    """
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.ModelT.InitFromPackedBuf(graph, 0)
    subgraph = parsed.subgraphs[0]
    kinds = schema.BuiltinOperator
    wanted = {layer.name for layer in model.layers if _folds(layer)}
    found: dict[str, Folded] = {}
    for operator in subgraph.operators:
        code = parsed.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in (kinds.CONV_2D, kinds.FULLY_CONNECTED):
            continue
        indices = (*operator.inputs[1:3], operator.outputs[0])
        tensors = [subgraph.tensors[index] for index in indices if index >= 0]
        names = _layer_names([tensor.name.decode() for tensor in tensors], model.name) & wanted
        if len(names) != 1 or len(tensors) != 3:
            raise ValueError(
                f"its operation {tensors[-1].name.decode()[:60]!r} is no layer of that network"
            )
        kernel, bias = (_values(tensor, parsed.buffers[tensor.buffer].data) for tensor in tensors[:2])
        name = names.pop()
        # TFLite has a convolution's output channels first, and so a dense layer's.
        kernel = np.moveaxis(kernel, 0, -1)
        before = feeding(model.get_layer(name))
        if isinstance(before, keras.layers.Rescaling):
            # The converter divides the kernel instead of the pixels.
            kernel = kernel / np.float32(before.scale)
        found[name] = Folded(kernel, bias)
    return found


def _centred(logits: npt.NDArray) -> npt.NDArray:
    """Logits (N, classes) without the constant that softmax passes over, flat."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True)).reshape(-1)


def _values(tensor: Any, data: Any) -> FloatArray:
    """A constant tensor as float32, its quantization undone."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.TensorType
    types = {kinds.FLOAT32: "<f4", kinds.INT8: "i1", kinds.INT32: "<i4"}
    if data is None or tensor.type not in types:
        raise ValueError(f"its tensor {tensor.name.decode()[:60]!r} holds no int8 or float32 weights")
    values = np.frombuffer(data.tobytes(), types[tensor.type]).reshape(tensor.shape).astype(np.float64)
    quantization = tensor.quantization
    if quantization is not None and quantization.scale is not None and len(quantization.scale):
        # Weights are symmetric: their zero point is 0.
        scale = np.asarray(quantization.scale, np.float64)
        values = values * scale.reshape(-1, *(1,) * (values.ndim - 1))
    return values.astype(np.float32)


def _layer_names(tensor_names: list[str], model_name: str) -> set[str]:
    """Names of layers in tensors' names; the exporter gave all the suffix that the model's name has."""
    paths = [part.split("/") for name in tensor_names for part in name.split(";") if "/" in part]
    names: set[str] = set()
    for path in paths:
        root = re.fullmatch(re.escape(model_name) + r"(_\d+)?", path[0])
        if root is not None:
            names.update(component.removesuffix(root[1] or "") for component in path[1:-1])
    return names


def _folds(layer: keras.Layer) -> bool:
    return type(layer) in (keras.layers.Conv2D, keras.layers.Dense)


def restored_contract(contract: ModelContract, sha256: str) -> ModelContract:
    """The contract of a converted file without what the conversion put in.

    Args:
        sha256: of that file.
    """
    producer = {**contract.producer, "restored_from_sha256": sha256}
    return replace(contract, graph_sha256="", self_test=None, quantization={}, producer=producer)


def _write(
    model: keras.Model, released: Classifier, recipe: Recipe, prepared: TrainingData, out: Path, seed: int
) -> None:
    contract = restored_contract(released.contract, released.file.sha256)
    write_model(out / MODEL_NAME, model, contract)
    digest = prepared.train.digest()
    if contract.producer.get("train_sha256") == digest:
        identity = Identity(recipe, seed, digest, {"restored_from_sha256": released.file.sha256})
        write_json(out / STATE_NAME, {"identity": identity.to_dict()})
    else:
        print(
            f"{out}: the model was trained on other pictures than this data and --seed give; which were "
            "held out is not known",
            file=sys.stderr,
        )

"""Quantization-aware fine-tuning: `python -m train fit --qat RUN`.

Batch normalization is folded into the convolutions, a fake-quantized copy of the network is trained,
and what is handed over is the folded network in stock layers, with the range of every activation in
`model.ranges.json` beside it (docs/training.md describes the file).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from edge_runtime.contract import InputSpec
from edge_runtime.datasets import LabeledImages, fit_pictures
from edge_runtime.errors import UsageError
from train.data import TrainingData
from train.draft import Calibration
from train.files import write_json
from train.fit import FitOptions, extra_identity, finish, load_prepared, prepare_devices, recipe_job
from train.inference import TrainedModel, load_trained
from train.loop import Outcome, train
from train.quantlayers import (
    ActivationRange,
    QuantizedConv2D,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
)
from train.recipe import Recipe
from train.run import Identity, RunFolder

RANGES_NAME = "model.ranges.json"
RANGES_SCHEMA = 1
RANGE_SUFFIX = "_range"
DEPTHWISE_SUFFIX = "_depthwise"
CALIBRATION_IMAGES = 256

DEFAULT_EPOCHS = 3
RATE_FACTOR = 0.01
"""Learning rate of the fine-tuning as part of the recipe's."""

_ROUNDED: dict[type, Any] = {
    layers.Conv2D: QuantizedConv2D,
    layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    layers.Dense: QuantizedDense,
}
_PASSING = (layers.InputLayer, layers.MaxPooling2D, layers.Flatten, layers.Reshape, layers.Dropout)
"""Layers whose output has the range of their input."""
_OTHERS = (layers.BatchNormalization, layers.ReLU, layers.Add, layers.GlobalAveragePooling2D)


def qat_recipe(recipe: Recipe, epochs: int | None, learning_rate: float | None) -> Recipe:
    """The recipe's fine-tuning: few epochs of whole pictures on a cosine from a low rate."""
    schedule = replace(
        recipe.train,
        epochs=epochs or DEFAULT_EPOCHS,
        learning_rate=learning_rate or RATE_FACTOR * recipe.train.learning_rate,
        schedule="cosine",
        warmup_epochs=0.0,
        patience=0,
        train_layers=(),
        picture_px=0,
    )
    return replace(recipe, train=schedule, phases=())


def fit_qat(recipe: Recipe, source: Path, data_path: Path, out: Path, options: FitOptions) -> Path:
    """Fine-tune a trained model for int8, or resume; writes `model.keras` and `model.ranges.json`.

    Args:
        recipe: as `qat_recipe` makes it.
        source: run folder or `.keras` file of the float model.

    Raises:
        UsageError: the model has a layer that is not supported.
        DataError: as `fit`.
    """
    prepare_devices(recipe, options)
    trained = load_trained(source)
    prepared = load_prepared(recipe, data_path, options)
    if trained.contract.input != prepared.input or trained.contract.labels != prepared.train.class_names:
        raise UsageError(f"{trained.path}: its input or labels are not those of recipe {recipe.name!r}")
    digest = hashlib.sha256(trained.path.read_bytes()).hexdigest()
    extra = {"qat_source_sha256": digest, **extra_identity(recipe, options)}
    identity = Identity(recipe, options.seed, prepared.train.digest(), extra)
    run = RunFolder(out, identity)
    folded = fold_batch_normalization(trained.model)
    job = replace(
        recipe_job(recipe, prepared, run, options),
        make_model=lambda: quantized_copy(
            folded, calibration_ranges(folded, prepared.train, prepared.input, options.seed)
        ),
    )
    outcome = train(job)
    ranges = copy_weights_back(outcome.model, folded)
    write_json(out / RANGES_NAME, ranges)
    calibration = options.calibration or _calibration_of(trained, prepared)
    # Branches were merged before, and the architecture's module cannot build the folded network.
    plain = replace(recipe, model=replace(recipe.model, parameters={}))
    return finish(plain, prepared, Outcome(folded, outcome.history), run, identity, calibration)


def fold_batch_normalization(model: keras.Model) -> keras.Model:
    """The same function without BatchNormalization: its factors go into the convolution before it.

    A separable convolution becomes the two that it is made of, as int8 has a tensor between them.

    Raises:
        UsageError: a layer that is not supported, or a normalization that follows no convolution.
    """
    model = split_separable(model)
    _check_supported(model)
    norms = {layer.name: _source(layer) for layer in model.layers if _is_norm(layer)}
    for name, conv in norms.items():
        if type(conv) not in _ROUNDED or len(_consumers(conv)) != 1:
            raise UsageError(f"layer {name!r} cannot be folded: it does not follow one convolution alone")
    convs = {conv.name for conv in norms.values()}

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in convs:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:
        return arguments[0] if _is_norm(layer) else layer(*arguments, **named)

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in folded.layers:
        layer.set_weights(
            model.get_layer(layer.name).get_weights()
            if layer.name not in convs
            else _folded_weights(model.get_layer(layer.name))
        )
    return folded


def split_separable(model: keras.Model) -> keras.Model:
    """The same function with a depthwise and a 1x1 convolution in place of every SeparableConv2D.

    The 1x1 convolution keeps the name, the depthwise one has `_depthwise` appended.
    """
    separable = {layer.name: layer for layer in model.layers if type(layer) is layers.SeparableConv2D}
    if not separable:
        return model

    def clone(layer: Any) -> Any:
        if layer.name not in separable:
            return type(layer).from_config(layer.get_config())
        activation = keras.activations.serialize(layer.activation)
        return layers.Conv2D(
            layer.filters, 1, use_bias=layer.use_bias, activation=activation, name=layer.name
        )

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:
        if layer.name not in separable:
            return layer(*arguments, **named)
        whole = separable[layer.name]
        depthwise = layers.DepthwiseConv2D(
            whole.kernel_size,
            strides=whole.strides,
            padding=whole.padding,
            depth_multiplier=whole.depth_multiplier,
            dilation_rate=whole.dilation_rate,
            use_bias=False,
            name=layer.name + DEPTHWISE_SUFFIX,
        )
        return layer(depthwise(*arguments))

    split = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in separable:
            split.get_layer(layer.name + DEPTHWISE_SUFFIX).set_weights(weights[:1])
            weights = weights[1:]
        split.get_layer(layer.name).set_weights(weights)
    return split


def quantized_copy(folded: keras.Model, ranges: dict[str, tuple[float, float]]) -> keras.Model:
    """A copy that rounds weights, and activations where int8 has a tensor of its own.

    Args:
        ranges: lowest and highest value by layer, to start from.
    """
    inputs = {layer.name for layer in folded.layers if isinstance(layer, layers.Rescaling)}

    def clone(layer: Any) -> Any:
        return _ROUNDED.get(type(layer), type(layer)).from_config(layer.get_config())

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:
        x = layer(*arguments, **named)
        if layer.name not in ranges:
            return x
        low, high = ranges[layer.name]
        fixed = layer.name in inputs
        return ActivationRange(low, high, fixed, name=layer.name + RANGE_SUFFIX)(x)

    copy = keras.models.clone_model(folded, clone_function=clone, call_function=call)
    for layer in folded.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def calibration_ranges(
    folded: keras.Model, data: LabeledImages, spec: InputSpec, seed: int
) -> dict[str, tuple[float, float]]:
    """Range of every int8 tensor over random training pictures; that of the input is all pixels."""
    chosen = [layer for layer in folded.layers if _has_range(layer)]
    probe = keras.Model(folded.inputs, [layer.output for layer in chosen])
    rng = np.random.default_rng([seed, 10])
    rows = rng.choice(len(data), min(CALIBRATION_IMAGES, len(data)), replace=False)
    outputs = probe.predict_on_batch(fit_pictures(data.images[rows], spec).astype(np.float32))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    ranges = {
        layer.name: (min(float(np.min(value)), 0.0), max(float(np.max(value)), 0.0))
        for layer, value in zip(chosen, outputs, strict=True)
    }
    for layer in chosen:
        if isinstance(layer, layers.Rescaling):
            ends = (float(layer.offset), float(layer.offset + 255 * layer.scale))
            ranges[layer.name] = (min(*ends, 0.0), max(ends))
    return ranges


def copy_weights_back(quantized: keras.Model, folded: keras.Model) -> dict[str, Any]:
    """Put the trained weights into the stock model; returns the document of the ranges file."""
    activations = {}
    for layer in folded.layers:
        layer.set_weights(quantized.get_layer(layer.name).get_weights())
        if _has_range(layer):
            ranged = quantized.get_layer(layer.name + RANGE_SUFFIX)
            activations[layer.name] = [float(ranged.low), float(ranged.high)]
    return {
        "schema": RANGES_SCHEMA,
        "activations": activations,
        "weights": "int8 symmetric, one scale per output channel: largest absolute value / 127",
    }


def _check_supported(model: keras.Model) -> None:
    for layer in model.layers:
        known = type(layer) in _ROUNDED or isinstance(layer, (*_PASSING, *_OTHERS, layers.Rescaling))
        if not known:
            raise UsageError(
                f"--qat does not know the layer {layer.name!r} ({type(layer).__name__}); it takes "
                "Conv2D, DepthwiseConv2D, SeparableConv2D, Dense, BatchNormalization, ReLU, Add and "
                "poolings; quantize after training instead"
            )


def _has_range(layer: Any) -> bool:
    """Whether int8 has a tensor of its own for a layer's output: not where a ReLU is fused onto it."""
    if isinstance(layer, _PASSING):
        return False
    following = _consumers(layer)
    return not (len(following) == 1 and isinstance(following[0], layers.ReLU))


def _consumers(layer: Any) -> list[Any]:
    return [node.operation for node in layer._outbound_nodes]


def _source(layer: Any) -> Any:
    return layer.input._keras_history.operation


def _is_norm(layer: Any) -> bool:
    return isinstance(layer, layers.BatchNormalization)


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, layers.DepthwiseConv2D)


def _folded_weights(conv: Any) -> list[npt.NDArray[np.float32]]:
    (norm,) = _consumers(conv)
    kernel, *rest = (weight.astype(np.float64) for weight in conv.get_weights())
    bias = rest[0] if rest else 0.0
    weights = iter(weight.astype(np.float64) for weight in norm.get_weights())
    gamma = next(weights) if norm.scale else 1.0
    beta = next(weights) if norm.center else 0.0
    mean, variance = next(weights), next(weights)
    factor = gamma / np.sqrt(variance + norm.epsilon)
    # A depthwise kernel has its output channels in the last two axes.
    by_channel = factor.reshape(kernel.shape[2:]) if _is_depthwise(conv) else factor
    return [(kernel * by_channel).astype(np.float32), ((bias - mean) * factor + beta).astype(np.float32)]


def _calibration_of(trained: TrainedModel, prepared: TrainingData) -> Calibration | None:
    """That of the float model, where nothing is held out to fit a new one on."""
    contract = trained.contract
    if prepared.validation is not None or not contract.validation:
        return None
    return Calibration(contract.temperature, contract.uncertain_below, contract.validation)

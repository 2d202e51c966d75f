"""Conversion of what quantization-aware training hands over, without a representative set.

`train fit --qat` leaves a folded network of stock layers and, beside it, `MODEL.ranges.json` with the
lowest and highest output of every layer that is an int8 tensor of its own (docs/conversion.md). Here
both become a fake-quantized model: the converter takes its ranges, and it is the reference of the gate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from convert.source import SourceModel
from edge_runtime.errors import ContractError

RANGES_SCHEMA = 1
INPUT_RANGE = (0.0, 255.0)
LEVELS, WEIGHT_LEVELS = 255, 127


@dataclass(frozen=True)
class Ranges:
    """Ranges that training recorded."""

    activations: Mapping[str, tuple[float, float]]
    """Lowest and highest output by layer name."""
    sha256: str
    """Digest of the file."""


class _FakeQuant(keras.layers.Layer):
    """Rounds an activation to the 256 steps of a range."""

    def __init__(self, low: float, high: float, **named: Any) -> None:
        super().__init__(**named)
        self._low, self._high = low, high

    def call(self, inputs: Any) -> Any:
        return tf.quantization.fake_quant_with_min_max_args(inputs, self._low, self._high)


class _RoundedConv2D(keras.layers.Conv2D):
    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, _rounded(kernel))


class _RoundedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    def call(self, inputs: Any) -> Any:
        height, width, taken, multiplier = self.kernel.shape
        kernel = _rounded(tf.reshape(self.kernel, (height, width, taken * multiplier)))
        outputs = keras.ops.depthwise_conv(
            inputs,
            tf.reshape(kernel, self.kernel.shape),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        outputs = tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs
        return outputs if self.activation is None else self.activation(outputs)


class _RoundedDense(keras.layers.Dense):
    """A dense layer as a 1x1 convolution: the converter cannot transpose a kernel with many scales."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        taken, units = self.kernel.shape
        pixels = tf.reshape(inputs, (-1, 1, 1, taken))
        kernel = _rounded(tf.reshape(self.kernel, (1, 1, taken, units)))
        outputs = tf.nn.conv2d(pixels, kernel, 1, "VALID")
        outputs = tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs
        return tf.reshape(outputs if self.activation is None else self.activation(outputs), (-1, units))


_ROUNDED: dict[type, Any] = {
    keras.layers.Conv2D: _RoundedConv2D,
    keras.layers.DepthwiseConv2D: _RoundedDepthwiseConv2D,
    keras.layers.Dense: _RoundedDense,
}
_PASSING = (keras.layers.MaxPooling2D, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout)
"""Layers whose output has the steps of their input."""


def ranges_path(model: Path) -> Path:
    """Where the ranges of a model lie: `model.keras` -> `model.ranges.json`."""
    return model.with_suffix(".ranges.json")


def read_ranges(path: Path) -> Ranges:
    """Read a ranges file.

    Raises:
        ContractError: missing, damaged, another schema, or a range without zero.
    """
    try:
        content = path.read_bytes()
        document = json.loads(content)
        schema, recorded = document["schema"], document["activations"].items()
        pairs = {name: (float(low), float(high)) for name, (low, high) in recorded}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"{path}: not a ranges file of `train fit --qat` ({error})") from None
    if schema != RANGES_SCHEMA:
        raise ContractError(f"{path}: schema {schema!r} is not {RANGES_SCHEMA}; train again")
    for name, (low, high) in pairs.items():
        if not (np.isfinite([low, high]).all() and low <= 0 <= high and low < high):
            raise ContractError(f"{path}: range of {name!r} must span zero. Received: [{low}, {high}]")
    return Ranges(pairs, hashlib.sha256(content).hexdigest())


def fake_quantized(source: SourceModel, ranges: Ranges) -> SourceModel:
    """The model that rounds as int8 will, with the ranges of training.

    Raises:
        ContractError: a range for a layer that the model does not have, or one that cannot be rounded.
    """
    model = source.model
    names = {layer.name for layer in model.layers}
    strange = sorted(set(ranges.activations) - names)
    if strange:
        raise ContractError(
            f"{source.path}: has no layer {strange[0]!r}, which its ranges name; train again"
        )
    folded = {layer.name: float(layer.scale) for layer in model.layers if _folds_away(layer)}
    steps: dict[int, float] = {}
    taken_steps: dict[str, float] = {}

    def clone(layer: Any) -> Any:
        return _ROUNDED.get(type(layer), type(layer)).from_config(layer.get_config())

    def call(layer: Any, *arguments: Any, **named: Any) -> Any:
        first = arguments[0]
        if isinstance(layer, keras.layers.Rescaling):
            first = _FakeQuant(*INPUT_RANGE, name=f"{layer.name}_pixels")(first)
            steps[id(first)] = 1.0
            if layer.name in folded:
                return first
            arguments = (first, *arguments[1:])
        step = steps.get(id(first))
        if step is not None:
            taken_steps[layer.name] = step
        outputs = layer(*arguments, **named)
        if layer.name in ranges.activations:
            low, high = ranges.activations[layer.name]
            outputs = _FakeQuant(low, high, name=f"{layer.name}_range")(outputs)
            steps[id(outputs)] = (high - low) / LEVELS
        elif step is not None and isinstance(layer, _PASSING):
            steps[id(outputs)] = step
        return outputs

    try:
        copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    except (TypeError, ValueError, AttributeError) as error:
        raise ContractError(
            f"{source.path}: cannot be fake-quantized ({error}); leave out --ranges"
        ) from None
    for layer in model.layers:
        if layer.name in folded:
            continue
        weights = layer.get_weights()
        feeding = _producer(layer)
        if feeding is not None and feeding.name in folded:
            # Rounding is relative to the largest weight: a factor before it changes nothing.
            weights[0] = weights[0] * np.float32(folded[feeding.name])
        if type(layer) in _ROUNDED and len(weights) == 2 and layer.name in taken_steps:
            weights[1] = _rounded_bias(weights[1], weights[0], taken_steps[layer.name])
        copy.get_layer(layer.name).set_weights(weights)
    return replace(source, model=copy)


def _folds_away(layer: Any) -> bool:
    """Whether a layer only scales the input of one convolution, whose kernel can take the factor over."""
    if not isinstance(layer, keras.layers.Rescaling) or np.any(np.asarray(layer.offset) != 0):
        return False
    following = [node.operation for node in layer._outbound_nodes]
    return len(following) == 1 and type(following[0]) in _ROUNDED and np.ndim(layer.scale) == 0


def _producer(layer: Any) -> Any:
    if isinstance(layer, keras.layers.InputLayer) or isinstance(layer.input, list):
        return None
    return layer.input._keras_history.operation


def _rounded_bias(
    bias: npt.NDArray[np.float32], kernel: npt.NDArray[np.float32], input_step: float
) -> npt.NDArray[np.float32]:
    """A bias as int8 kernels hold it: int32, in steps of the input's times the weights'."""
    by_channel = np.abs(kernel).reshape(-1, len(bias))
    largest = np.maximum(by_channel.max(axis=0), 1e-9)
    step = input_step * largest.astype(np.float64) / WEIGHT_LEVELS
    return (np.round(bias / step) * step).astype(np.float32)


def _rounded(kernel: Any) -> Any:
    """Symmetric int8 steps, one scale per output channel (the last axis)."""
    axes = list(range(len(kernel.shape) - 1))
    largest = tf.maximum(tf.reduce_max(tf.abs(kernel), axis=axes), 1e-9)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, num_bits=8, narrow_range=True
    )

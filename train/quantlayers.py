"""Layers that compute in training what int8 will compute: fake quantization in plain Keras 3.

Rounding has no gradient; it is passed through where the value was not clipped (straight-through
estimator, Bengio et al. 2013, arXiv 1308.3432; for integer inference Jacob et al. 2017,
arXiv 1712.05877). Weights are symmetric per output channel, activations asymmetric per tensor, as in
TensorFlow Lite's int8.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from train.strided import convolve_subsampled, strided_pointwise

WEIGHT_LEVELS = 127
MOMENTUM = 0.99
"""Of the moving average of an activation's range."""


def fake_quantize_weights(kernel: Any, channel_axes: tuple[int, ...]) -> Any:
    """Round a kernel to int8 steps, one scale per output channel."""
    axes = tuple(axis for axis in range(len(kernel.shape)) if axis not in channel_axes)
    scale = ops.maximum(ops.max(ops.abs(kernel), axis=axes, keepdims=True), 1e-9) / WEIGHT_LEVELS
    rounded = ops.round(kernel / scale) * scale
    return kernel + ops.stop_gradient(rounded - kernel)


def fake_quantize(x: Any, low: Any, high: Any) -> Any:
    """Round to the 256 steps of a range; the range is moved so that zero is one of them."""
    scale = ops.maximum(high - low, 1e-6) / 255
    zero = ops.clip(ops.round(-low / scale), 0, 255)
    lowest, highest = -zero * scale, (255 - zero) * scale
    clipped = ops.clip(x, lowest, highest)
    rounded = ops.round(clipped / scale) * scale
    return clipped + ops.stop_gradient(rounded - clipped)


@keras.saving.register_keras_serializable("edge_fer")
class QuantizedConv2D(layers.Conv2D):
    """Conv2D whose kernel is rounded."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        rounded = fake_quantize_weights(kernel, (3,))
        if strided_pointwise(self):
            return convolve_subsampled(inputs, rounded, self.strides)
        return super().convolution_op(inputs, rounded)


@keras.saving.register_keras_serializable("edge_fer")
class QuantizedDepthwiseConv2D(layers.DepthwiseConv2D):
    """DepthwiseConv2D whose kernel is rounded."""

    def call(self, inputs: Any) -> Any:
        outputs = ops.depthwise_conv(
            inputs,
            fake_quantize_weights(self.kernel, (2, 3)),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        outputs = ops.add(outputs, self.bias) if self.use_bias else outputs
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("edge_fer")
class QuantizedDense(layers.Dense):
    """Dense whose kernel is rounded."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        x = ops.matmul(inputs, fake_quantize_weights(self.kernel, (1,)))
        return ops.add(x, self.bias) if self.use_bias else x


@keras.saving.register_keras_serializable("edge_fer")
class ActivationRange(layers.Layer):
    """Rounds an activation to its range, which follows the batches while training."""

    def __init__(self, low: float = 0.0, high: float = 1.0, fixed: bool = False, **named: Any) -> None:
        super().__init__(**named)
        self.start_low, self.start_high, self.fixed = low, high, fixed

    def build(self, input_shape: Any) -> None:
        for name, value in (("low", self.start_low), ("high", self.start_high)):
            start = keras.initializers.Constant(value)
            setattr(self, name, self.add_weight(name=name, shape=(), initializer=start, trainable=False))

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training and not self.fixed:
            for variable, seen in (
                (self.low, ops.minimum(ops.min(inputs), 0.0)),
                (self.high, ops.maximum(ops.max(inputs), 0.0)),
            ):
                variable.assign(MOMENTUM * variable + (1 - MOMENTUM) * ops.stop_gradient(seen))
        return fake_quantize(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "low": self.start_low,
            "high": self.start_high,
            "fixed": self.fixed,
        }

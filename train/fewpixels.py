"""3x3 convolutions of small pictures with many channels, with a faster gradient of their kernel.

TensorFlow 2.21's takes three times as long in bfloat16 on a CPU with AMX as nine matrix products, one for
every pixel of the kernel; of a step of edge-fer-base these gradients were two fifths.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

MOST_PIXELS = 64
"""Output pixels per picture up to which the products are faster."""
FEWEST_CHANNELS = 128
"""Output channels from which on they are."""


def has_slow_gradient(layer: Any) -> bool:
    """Whether a layer is a convolution whose kernel's gradient the products compute faster."""
    return (
        type(layer) is layers.Conv2D
        and tuple(layer.kernel_size) == (3, 3)
        and layer.compute_dtype == "bfloat16"
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
        and None not in layer.output.shape[1:3]
        and layer.output.shape[1] * layer.output.shape[2] <= MOST_PIXELS
        and layer.filters >= FEWEST_CHANNELS
    )


@keras.saving.register_keras_serializable("edge_fer")
class ProductGradientConv2D(layers.Conv2D):
    """Conv2D of 3x3, padded to the same size, whose kernel learns by matrix products; TensorFlow only."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        import tensorflow as tf

        @tf.custom_gradient
        def convolve(pictures: Any, weights: Any) -> Any:
            outputs = tf.nn.conv2d(pictures, weights, self.strides, "SAME")

            def gradients(upstream: Any) -> Any:
                back = tf.nn.conv2d_transpose(
                    upstream, weights, tf.shape(pictures), self.strides, padding="SAME"
                )
                return back, kernel_gradient(pictures, upstream, self.strides)

            return outputs, gradients

        return convolve(inputs, tf.convert_to_tensor(kernel))


def kernel_gradient(pictures: Any, upstream: Any, strides: tuple[int, int]) -> Any:
    """Gradient (3, 3, in, out) of a 3x3 kernel.

    Args:
        pictures: (N, H, W, in) that were convolved, padded to the same size.
        upstream: (N, H', W', out), the gradient of what came out.
    """
    import tensorflow as tf

    high, wide, channels = upstream.shape[1:]
    rows, columns = (
        _padding(size, out, step)
        for size, out, step in zip(pictures.shape[1:3], (high, wide), strides, strict=True)
    )
    padded = tf.pad(pictures, [(0, 0), rows, columns, (0, 0)])
    flat = tf.reshape(upstream, (-1, channels))
    down, right = strides
    products = [
        tf.matmul(
            tf.reshape(
                padded[:, y : y + down * high : down, x : x + right * wide : right],
                (-1, pictures.shape[3]),
            ),
            flat,
            transpose_a=True,
        )
        for y in range(3)
        for x in range(3)
    ]
    return tf.reshape(tf.stack(products), (3, 3, pictures.shape[3], channels))


def _padding(size: int, out: int, step: int) -> tuple[int, int]:
    """Pixels before and after, as TensorFlow's SAME; as many as every slice can be taken from."""
    total = max((out - 1) * step + 3 - size, 0)
    before = total // 2
    return before, max(total - before, 2 + step * out - size - before)

"""1x1 convolutions with a stride, in a form that TensorFlow trains without a fault on a CPU.

TensorFlow 2.21 with oneDNN (AVX-512) writes beyond its buffer in the gradient of the kernel of a 1x1
convolution with stride 2 and fewer than 16 input channels: the process dies, or goes on with damaged
memory. Taking every second pixel first and convolving those computes the same.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

SOUND_CHANNELS = 16
"""Input channels from which on the gradient is right."""


def convolve_subsampled(inputs: Any, kernel: Any, strides: tuple[int, int]) -> Any:
    """1x1 convolution (N, H, W, C) of every `strides`-th pixel, beginning with the first."""
    return ops.conv(inputs[:, :: strides[0], :: strides[1]], kernel, strides=1, padding="valid")


def strided_pointwise(layer: Any) -> bool:
    """Whether a layer is a 1x1 convolution with a stride."""
    return (
        isinstance(layer, layers.Conv2D)
        and tuple(layer.kernel_size) == (1, 1)
        and max(layer.strides) > 1
        and layer.groups == 1
    )


def has_faulty_gradient(layer: Any) -> bool:
    """Whether TensorFlow's gradient of a layer writes beyond its buffer."""
    return (
        type(layer) is layers.Conv2D and strided_pointwise(layer) and layer.kernel.shape[2] < SOUND_CHANNELS
    )


@keras.saving.register_keras_serializable("edge_fer")
class SubsampledConv2D(layers.Conv2D):
    """1x1 Conv2D with a stride, which it applies before the convolution."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return convolve_subsampled(inputs, kernel, self.strides)

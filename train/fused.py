"""Batch normalization as one operation of TensorFlow, forwards and backwards.

Keras 3 composes it from elementwise operations, each a pass over memory. Fused, a training step of
edge-fer-small takes three quarters of the CPU time; the results differ by rounding.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

LEAST_EPSILON = 1.001e-5
"""TensorFlow raises smaller ones to this."""


def fusible(layer: Any) -> bool:
    """Whether a layer is what the operation computes: all of Keras' options but the usual are refused."""
    return (
        type(layer) is layers.BatchNormalization
        and len(layer.input.shape) == 4
        and layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not layer.synchronized
        and not getattr(layer, "renorm", False)
        and layer.epsilon >= LEAST_EPSILON
        and layer.compute_dtype in ("float32", "bfloat16")
    )


@keras.saving.register_keras_serializable("edge_fer")
class FusedBatchNormalization(layers.BatchNormalization):
    """BatchNormalization of (N, H, W, C) that trains in one operation; TensorFlow only.

    Pictures may be float32 or bfloat16; moments, scale and shift are float32.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow

        outputs, mean, variance, *_ = tensorflow.compat.v1.nn.fused_batch_norm(
            inputs,
            ops.convert_to_tensor(self.gamma),
            ops.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=True,
        )
        count = ops.cast(ops.prod(ops.shape(inputs)[:3]), "float32")
        # The operation's is the unbiased estimate; Keras averages the biased one.
        variance *= ops.maximum(count - 1, 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs

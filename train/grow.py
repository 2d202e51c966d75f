"""Start a wider or deeper network from a trained one, as a network that computes the same.

Net2Net (Chen et al. 2016, arXiv 1511.05641). A new channel is a copy of an old one, and what reads both
divides its weights between them at random, so that gradients tell the copies apart. A new residual block
begins as the identity: the last scale in its branch is zero.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

Channels = npt.NDArray[np.int64]
"""For every channel of the larger network the one of the smaller network that it copies."""


def grow(small: keras.Model, large: keras.Model, seed: int) -> None:
    """Fill `large` with weights that give the logits of `small`, but for rounding.

    Layers are told apart by their names. Where a new branch is added to what was there, the sum must
    have been left as it is by what follows, as a ReLU leaves the output of another.

    Args:
        seed: of how weights are divided between copies; new branches keep their own initial weights.

    Raises:
        ValueError: `large` lacks a layer, or a channel, of `small`, or is otherwise not a larger `small`.
    """
    rng = np.random.default_rng(seed)
    there = {layer.name: layer for layer in small.layers if layer.weights}
    lacking = sorted(there.keys() - {layer.name for layer in large.layers})
    if lacking:
        raise ValueError(f"it has no layer {lacking[0]!r}")
    copies: dict[str, Channels | None] = {}
    for layer in large.layers:
        if isinstance(layer, keras.layers.InputLayer):
            copies[layer.name] = np.arange(layer.output.shape[-1])
            continue
        feeding = layers_before(layer)
        inputs = [copies[before.name] for before in feeding]
        if isinstance(layer, keras.layers.Add):
            copies[layer.name] = _sum(layer, feeding, inputs)
        elif not layer.weights:
            copies[layer.name] = inputs[0]
        elif layer.name in there:
            copies[layer.name] = _fill(there[layer.name], layer, inputs[0], rng)
        else:
            copies[layer.name] = None


def layers_before(layer: keras.Layer) -> list[Any]:
    """The layers whose outputs a layer of a functional network takes, in its order."""
    tensors = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    return [tensor._keras_history.operation for tensor in tensors]


def _fill(
    small: keras.Layer, large: keras.Layer, inputs: Channels | None, rng: np.random.Generator
) -> Channels:
    """Set the weights of one layer and return what its output channels copy."""
    if inputs is None or type(small) is not type(large):
        raise ValueError(f"its layer {large.name!r} is another")
    if isinstance(large, keras.layers.BatchNormalization):
        large.set_weights([value[inputs] for value in small.get_weights()])
        return inputs
    kernel, *bias = small.get_weights()
    shape = large.get_weights()[0].shape
    same_form = kernel.shape[:-2] == shape[:-2] and inputs.max() + 1 == kernel.shape[-2]
    if not same_form or len(inputs) != shape[-2] or shape[-1] < kernel.shape[-1]:
        raise ValueError(f"its layer {large.name!r} is smaller, or of another form")
    # The same for every pair of widths, so that the channels of a residual sum stay together.
    outputs = np.arange(shape[-1]) % kernel.shape[-1]
    wide = kernel[..., inputs, :][..., outputs] * _shares(shape, inputs, rng)
    large.set_weights([wide, *(value[outputs] for value in bias)])
    return outputs


def _shares(shape: tuple[int, ...], inputs: Channels, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Random parts of 1 (..., inputs, outputs), which add up to 1 over the copies of one channel."""
    # Of exponentials, so that any division is as likely as another.
    parts = np.moveaxis(rng.exponential(size=shape), -2, 0)
    totals = np.zeros((inputs.max() + 1, *parts.shape[1:]))
    np.add.at(totals, inputs, parts)
    return np.moveaxis(parts / totals[inputs], 0, -2)


def _sum(layer: keras.Layer, feeding: list[keras.Layer], inputs: list[Channels | None]) -> Channels | None:
    """Switch off the new branches of a sum and return what the sum's channels copy."""
    known = [channels for channels in inputs if channels is not None]
    if any(not np.array_equal(channels, known[0]) for channels in known):
        raise ValueError(f"its layer {layer.name!r} adds other channels")
    for before, channels in zip(feeding, inputs, strict=True):
        if channels is None and known:
            _switch_off(before)
    return known[0] if known else None


def _switch_off(layer: keras.Layer) -> None:
    if isinstance(layer, keras.layers.Add):
        for before in layers_before(layer):
            _switch_off(before)
    elif isinstance(layer, keras.layers.BatchNormalization):
        layer.gamma.assign(np.zeros(layer.gamma.shape))
    else:
        raise ValueError(f"its layer {layer.name!r} cannot be switched off")

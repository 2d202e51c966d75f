"""Start a narrower network from a trained one, with its most important channels.

A channel counts as much as the weights that read it times the scale that its normalization gives it
(magnitude pruning of whole filters: Li et al. 2016, arXiv 1608.08710; of normalization's scales: Liu et
al. 2017, arXiv 1708.06519). What is left answers otherwise and has to be trained on.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from train.grow import layers_before

Channels = npt.NDArray[np.int64]

_KNOWN = (keras.layers.Conv2D, keras.layers.Dense, keras.layers.BatchNormalization)


def narrow(large: keras.Model, small: keras.Model) -> None:
    """Fill `small` with weights of `large`; channels that a sum joins are kept or left together.

    Raises:
        ValueError: other layers, colours or classes, a layer that is wider or of another form, or one that
            is neither a plain convolution, nor dense, nor a batch normalization.
    """
    layers = {layer.name: layer for layer in large.layers}
    weighty = [layer for layer in small.layers if layer.weights]
    if {layer.name for layer in weighty} != {name for name, layer in layers.items() if layer.weights}:
        raise ValueError("it has other layers")
    for layer in weighty:
        if type(layer) not in _KNOWN or getattr(layer, "groups", 1) != 1:
            raise ValueError(f"its layer {layer.name!r} is of a kind that cannot be narrowed")
    ends = [[end.shape[-1] for end in (*model.inputs, *model.outputs)] for model in (large, small)]
    if ends[0] != ends[1]:
        raise ValueError("it has other colours or classes")
    groups = _groups(large)
    kept: dict[str, Channels] = {}
    for layer in small.layers:
        channels = layer.output.shape[-1]
        group = groups[layer.name]
        if group not in kept:
            kept[group] = _most_important(large, groups, group, channels)
        if len(kept[group]) != channels:
            raise ValueError(f"its layer {layer.name!r} is wider, or sums other channels")
    for layer in weighty:
        _fill(
            layers[layer.name], layer, kept[groups[layers_before(layer)[0].name]], kept[groups[layer.name]]
        )


def _groups(model: keras.Model) -> dict[str, str]:
    """For every layer the name of the first whose output channels are the same, through sums too."""
    groups: dict[str, str] = {}
    for layer in model.layers:
        if isinstance(layer, (keras.layers.InputLayer, keras.layers.Conv2D, keras.layers.Dense)):
            groups[layer.name] = layer.name
            continue
        first, *others = [groups[before.name] for before in layers_before(layer)]
        groups = {name: first if group in others else group for name, group in groups.items()}
        groups[layer.name] = first
    return groups


def _most_important(model: keras.Model, groups: dict[str, str], group: str, count: int) -> Channels:
    """Which channels of a group are kept, ascending."""
    width = model.get_layer(group).output.shape[-1]
    reading, scales = np.zeros(width), np.zeros(width)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and groups[layer.name] == group:
            scales += np.square(layer.gamma) + np.square(layer.beta)
        elif hasattr(layer, "kernel") and groups[layers_before(layer)[0].name] == group:
            squares = np.moveaxis(np.square(np.asarray(layer.kernel, np.float64)), -2, 0)
            if len(squares) != width:
                raise ValueError(f"its layer {layer.name!r} reads places, not channels")
            reading += squares.reshape(width, -1).sum(axis=1)
    importance = reading * scales if scales.any() else reading
    return np.sort(np.argsort(-importance, kind="stable")[:count])


def _fill(large: Any, small: Any, inputs: Channels, outputs: Channels) -> None:
    if type(large) is not type(small):
        raise ValueError(f"its layer {small.name!r} is another")
    if isinstance(small, keras.layers.BatchNormalization):
        values = [value[outputs] for value in large.get_weights()]
    else:
        kernel, *bias = large.get_weights()
        values = [kernel[..., inputs, :][..., outputs], *(value[outputs] for value in bias)]
    if [value.shape for value in values] != [value.shape for value in small.get_weights()]:
        raise ValueError(f"its layer {small.name!r} has another form")
    small.set_weights(values)

"""Start a narrower network from a trained one, with the channels that are hardest to do without.

Channels are left out one after another, always the one whose absence changes least what the next layers
compute on given pictures once their remaining weights have been refitted by least squares: Optimal Brain
Surgeon (Hassibi and Stork 1993) for whole channels (Kurtic et al. 2023, arXiv 2302.04089). Few channels
less cost next to nothing; after many the network has to be trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from train.grow import layers_before

Channels = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

BATCH = 16
DAMPING = 1e-6
"""Added to the diagonal of inputs' second moments, part of its mean: some inputs are always 0."""

_KNOWN = (keras.layers.Conv2D, keras.layers.Dense, keras.layers.BatchNormalization)


def narrow(large: keras.Model, small: keras.Model, pictures: npt.NDArray[Any]) -> None:
    """Fill `small` with weights of `large`; channels that a sum joins are kept or left together.

    Args:
        pictures: (N, H, W, C) as `large` takes them, on which it is compared with what is left of it.

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
    widths: dict[str, int] = {}
    for layer in weighty:
        name, group, width = layer.name, groups[layer.name], layer.output.shape[-1]
        if width > layers[name].output.shape[-1] or widths.get(group, width) != width:
            raise ValueError(f"its layer {name!r} is wider, or sums other channels")
        widths[group] = width
    kept: dict[str, Channels] = {}
    kernels: dict[str, npt.NDArray[np.float32]] = {}
    for group, width in widths.items():
        kept[group] = np.arange(layers[group].output.shape[-1])
        if width < len(kept[group]):
            kept[group], refitted = _leave_out(large, groups, group, width, pictures)
            kernels |= refitted
    for layer in weighty:
        _fill(layers[layer.name], layer, kernels.get(layer.name), kept[groups[layer.name]])


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


def _leave_out(
    model: keras.Model, groups: dict[str, str], group: str, width: int, pictures: npt.NDArray[Any]
) -> tuple[Channels, dict[str, npt.NDArray[np.float32]]]:
    """Which channels of a group are kept, ascending, and the refitted kernels of what reads them."""
    reading = [
        layer
        for layer in model.layers
        if hasattr(layer, "kernel") and groups[layers_before(layer)[0].name] == group
    ]
    count = model.get_layer(group).output.shape[-1]
    for layer in reading:
        if layer.kernel.shape[-2] != count:
            raise ValueError(f"its layer {layer.name!r} reads places, not channels")
    readers = [
        _Reader(layer, moments)
        for layer, moments in zip(reading, _moments(model, reading, pictures), strict=True)
    ]
    left = list(range(count))
    while len(left) > width:
        costs = np.sum([reader.costs(left) for reader in readers], axis=0)
        channel = left.pop(int(np.argmin(costs)))
        for reader in readers:
            reader.leave_out(channel)
    kernels = {layer.name: reader.kernel(left) for layer, reader in zip(reading, readers, strict=True)}
    return np.array(left), kernels


class _Reader:
    """The weights of one layer, and how well they could do without an input channel."""

    def __init__(self, layer: Any, moments: Matrix) -> None:
        kernel = layer.get_weights()[0].astype(np.float64)
        self._shape = kernel.shape
        self._inputs = np.arange(kernel[..., 0].size).reshape(-1, kernel.shape[-2])
        self._weights = kernel.reshape(-1, kernel.shape[-1])
        damped = moments + np.eye(len(moments)) * DAMPING * (np.trace(moments) / len(moments) or 1.0)
        self._inverse = np.linalg.inv(damped)
        self._power = float(np.sum(self._weights * (damped @ self._weights))) or 1.0

    def costs(self, channels: Sequence[int]) -> npt.NDArray[np.float64]:
        """Mean squared change of the outputs without each channel, part of their mean square."""
        rows = self._inputs[:, list(channels)].T
        weights = self._weights[rows]
        corners = self._inverse[rows[:, :, None], rows[:, None, :]]
        return np.asarray(np.sum(weights * np.linalg.solve(corners, weights), axis=(1, 2)) / self._power)

    def leave_out(self, channel: int) -> None:
        """Refit the other weights to the outputs without a channel."""
        rows = self._inputs[:, channel]
        columns = self._inverse[:, rows]
        share = np.linalg.solve(columns[rows], np.hstack([self._weights[rows], columns.T]))
        outputs = self._weights.shape[1]
        self._weights = self._weights - columns @ share[:, :outputs]
        self._inverse -= columns @ share[:, outputs:]

    def kernel(self, channels: Sequence[int]) -> npt.NDArray[np.float32]:
        return self._weights.reshape(self._shape)[..., list(channels), :].astype(np.float32)


def _moments(model: keras.Model, reading: Sequence[Any], pictures: npt.NDArray[Any]) -> list[Matrix]:
    """Second moments (inputs, inputs) of what each layer multiplies by its kernel, in its order."""
    feeding = keras.Model(model.inputs, [layer.input for layer in reading])
    sizes = [int(np.prod(layer.kernel.shape[:-1])) for layer in reading]
    moments = [np.zeros((size, size)) for size in sizes]
    for start in range(0, len(pictures), BATCH):
        batch = keras.ops.convert_to_tensor(pictures[start : start + BATCH], "float32")
        maps = feeding(batch, training=False)
        for layer, values, total in zip(
            reading, maps if len(reading) > 1 else [maps], moments, strict=True
        ):
            # The patches of many large pictures would not fit into memory.
            for row in range(len(values)):
                inputs = _inputs(layer, values[row : row + 1])
                total += inputs.T @ inputs
    return moments


def _inputs(layer: Any, values: Any) -> Matrix:
    """What a layer multiplies by its kernel, one row per place."""
    if isinstance(layer, keras.layers.Conv2D):
        values = keras.ops.image.extract_patches(
            values, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding
        )
    return keras.ops.convert_to_numpy(values).reshape(-1, values.shape[-1]).astype(np.float64)


def _fill(large: Any, small: Any, kernel: npt.NDArray[np.float32] | None, outputs: Channels) -> None:
    if type(large) is not type(small):
        raise ValueError(f"its layer {small.name!r} is another")
    first, *others = large.get_weights()
    values = [value[..., outputs] for value in (first if kernel is None else kernel, *others)]
    if [value.shape for value in values] != [value.shape for value in small.get_weights()]:
        raise ValueError(f"its layer {small.name!r} has another form")
    small.set_weights(values)

"""The weights of dlib's face recognition network, in the layers of `face_resnet`.

dlib writes a network as its layers from input to output; each convolution and each scaling (`affine`, a
batch normalization whose moments are folded) is a name followed by one tensor of parameters
(https://github.com/davisking/dlib, dlib/dnn/layers.h). An integer is a byte that counts the bytes to
follow, with its highest bit for the sign; floats are four bytes, little endian.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import DataError
from train.unfold import Folded, fill

SUFFIX = ".dat"
MEANS = (122.782, 117.001, 104.298)
"""What dlib subtracts from red, green and blue (dlib/dnn/input.h); then it divides by 256."""

_LAYER = re.compile(rb"con_\d|affine_")
_TENSOR_VERSION = 2

FloatArray = npt.NDArray[np.float32]


def adopt(path: Path, model: keras.Model, pictures: FloatArray) -> None:
    """Fill a `face_resnet` with dlib's weights, all but its last layer.

    Pictures of one channel take the kernels' sum over red, green and blue.

    Args:
        path: `dlib_face_recognition_resnet_model_v1.dat`.
        pictures: (N, H, W, C), 0..255, to measure the moments of batch normalization on.

    Raises:
        DataError: the file cannot be read, is damaged, or holds another network.
    """
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    try:
        parameters = _read(path.read_bytes())
        if len(parameters) != 2 * len(convolutions):
            raise ValueError(f"{len(parameters)} layers with weights, not {2 * len(convolutions)}")
        layers = zip(convolutions, parameters[::2], parameters[1::2], strict=True)
        folded = {
            layer.name: _fold(*tensors, shape=layer.kernel.shape, first=layer is convolutions[0])
            for layer, *tensors in layers
        }
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"--start {path}: not the weights of dlib's face recognition ({error})") from None
    last = model.layers[-1]
    folded[last.name] = Folded(*last.get_weights())
    fill(model, folded, pictures)


def _read(data: bytes) -> list[FloatArray]:
    """Parameters of every convolution and every scaling, in their order."""
    found, position = [], 0
    while (match := _LAYER.search(data, position)) is not None:
        values, position = _tensor(data, match.end())
        found.append(values)
    return found


def _tensor(data: bytes, position: int) -> tuple[FloatArray, int]:
    version, position = _integer(data, position)
    if version != _TENSOR_VERSION:
        raise ValueError(f"a tensor of version {version}")
    shape = []
    for _ in range(4):
        size, position = _integer(data, position)
        shape.append(size)
    count = math.prod(shape)
    values = np.frombuffer(data, "<f4", count, position)
    if not np.isfinite(values).all():
        raise ValueError("weights that are no numbers")
    return values, position + 4 * count


def _integer(data: bytes, position: int) -> tuple[int, int]:
    size = data[position] & 0x7F
    end = position + 1 + size
    if not 1 <= size <= 8 or data[position] & 0x80:
        raise ValueError(f"no size at byte {position}")
    return int.from_bytes(data[position + 1 : end], "little"), end


def _fold(convolution: FloatArray, scaling: FloatArray, *, shape: tuple[int, ...], first: bool) -> Folded:
    """One convolution and its scaling as kernel and bias.

    Args:
        convolution: filters (out, in, H, W) and biases (out,), flat.
        scaling: factors and offsets (2 * out,).
        shape: of the Keras kernel, (H, W, in, out).
        first: whether it takes the pictures.
    """
    high, wide, channels, filters = shape
    sources = len(MEANS) if first else channels
    if scaling.size != 2 * filters or convolution.size != filters * (sources * high * wide + 1):
        raise ValueError(f"{convolution.size} weights in a layer, not those of {tuple(shape)}")
    kernel = convolution[:-filters].reshape(filters, sources, high, wide).astype(np.float64)
    bias = convolution[-filters:].astype(np.float64)
    if first:
        bias = bias - kernel.sum(axis=(2, 3)) @ np.array(MEANS) / 256
        if channels == 1:
            kernel = kernel.sum(axis=1, keepdims=True)
    factors, offsets = scaling.astype(np.float64).reshape(2, filters)
    kernel = kernel.transpose(2, 3, 1, 0) * factors
    return Folded(kernel.astype(np.float32), (bias * factors + offsets).astype(np.float32))

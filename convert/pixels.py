"""Labelled pictures as a model's contract wants them: colour and size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.contract import InputSpec
from edge_runtime.preprocess import Box, crop_face, to_luma


def fit_pictures(images: npt.NDArray[np.uint8], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Colour and size of a model's input for whole pictures that are faces already.

    Args:
        images: uint8 (N, H, W) luma or (N, H, W, 3) RGB.

    Returns:
        uint8 (N, height, width, channels).
    """
    rgb = images.ndim == 4
    if not rgb and spec.color == "luma" and images.shape[1:] == (spec.height, spec.width):
        return images[..., None]
    fitted = np.empty((len(images), *spec.shape[1:]), np.uint8)
    for source, target in zip(images, fitted, strict=True):
        picture = source
        if rgb and spec.color == "luma":
            picture = to_luma(np.ascontiguousarray(source[..., ::-1]))
        elif not rgb and spec.color == "rgb":
            picture = np.repeat(source[..., None], 3, axis=2)
        whole = Box(0, 0, picture.shape[1], picture.shape[0])
        target[:] = crop_face(picture, whole, spec).reshape(target.shape)
    return fitted

"""From a frame and a face box to the tensor that a model takes: the only such code of the repository.

Training reads 48x48 pictures as they are; the device cuts them out of frames. Both go through
`to_tensor`, and everything that frames a face goes through `crop_region` and `crop_face`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.backends.base import TensorInfo
from edge_runtime.contract import CropSpec, InputSpec

UInt8Array = npt.NDArray[np.uint8]

_INT8 = np.dtype(np.int8)
_SIGN_BIT = np.array(0x80, np.uint8)


@dataclass(frozen=True)
class Box:
    """A face box in pixels of the frame; may reach beyond the frame's edges.

    Detectors report boxes in one convention, that of OpenCV's frontal-face cascade: a square from the
    middle of the forehead to the chin. A detector that frames faces otherwise converts its boxes.
    """

    x: float
    """Left edge."""
    y: float
    """Top edge."""
    w: float
    h: float

    def iou(self, other: Box) -> float:
        """Intersection over union with another box, 0..1."""
        across = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        down = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        if across <= 0 or down <= 0:
            return 0.0
        shared = across * down
        return shared / (self.w * self.h + other.w * other.h - shared)


def to_luma(image: UInt8Array) -> UInt8Array:
    """BT.601 full-range luma, (H, W), of a gray (H, W), (H, W, 1) or BGR (H, W, 3) uint8 image.

    OpenCV's BGR2GRAY weights are those of BT.601 and its 8-bit range is full; gray images pass
    through unchanged.
    """
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[return-value]


def crop_region(box: Box, crop: CropSpec) -> Box:
    """Apply the contract's margin, offset and squaring to a detector's box."""
    center_x = box.x + box.w / 2
    center_y = box.y + box.h / 2 + crop.offset_y * box.h
    w = box.w * (1 + 2 * crop.margin)
    h = box.h * (1 + 2 * crop.margin)
    if crop.square:
        w = h = max(w, h)
    return Box(center_x - w / 2, center_y - h / 2, w, h)


def crop_face(image: UInt8Array, region: Box, spec: InputSpec, out: UInt8Array | None = None) -> UInt8Array:
    """Cut a region out of an image and resize it to the model's input size.

    Shrinking averages over pixels (`INTER_AREA`), growing is bilinear. What lies outside of the image
    repeats its border.

    Args:
        image: uint8 (H, W) luma, or (H, W, 3) RGB when the spec asks for it.
        region: as `crop_region` returns it.
        out: uint8 (height, width[, 3]) buffer to fill; allocated when None.

    Returns:
        uint8 (height, width[, 3]).
    """
    left, top = round(region.x), round(region.y)
    right = max(round(region.x + region.w), left + 1)
    bottom = max(round(region.y + region.h), top + 1)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[:2] != (bottom - top, right - left):
        inside = _with_repeated_border(image, left, top, right, bottom)
    shrinks = (bottom - top) * (right - left) > spec.height * spec.width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (spec.width, spec.height)
    return cv2.resize(inside, size, dst=out, interpolation=interpolation)  # type: ignore[return-value]


def _with_repeated_border(image: UInt8Array, left: int, top: int, right: int, bottom: int) -> UInt8Array:
    rows, columns = image.shape[:2]
    row_index = np.clip(np.arange(top, bottom), 0, rows - 1)
    column_index = np.clip(np.arange(left, right), 0, columns - 1)
    return image[row_index[:, None], column_index]


def to_tensor(pixels: UInt8Array, tensor: TensorInfo, out: npt.NDArray | None = None) -> npt.NDArray:
    """Turn 0..255 pixels into a model's input tensor.

    An int8 input is `pixel ^ 0x80`, exactly: its zero point is -128 and its scale spans 0..255, which
    `load_model` checks. uint8 and float inputs take the pixel's value itself.

    Args:
        pixels: uint8 (height, width[, channels]).
        out: buffer of the tensor's shape and type to fill; allocated when None.

    Returns:
        array of `tensor.shape` and `tensor.dtype`.
    """
    if out is None:
        out = np.empty(tensor.shape, tensor.dtype)
    tensor_filler(pixels, tensor, out)()
    return out


def tensor_filler(pixels: UInt8Array, tensor: TensorInfo, out: npt.NDArray) -> Callable[[], object]:
    """`to_tensor` for buffers that are filled again and again: fills `out` from `pixels` at each call."""
    shaped = pixels.reshape(tensor.shape)
    if tensor.dtype == _INT8:
        return partial(np.bitwise_xor, shaped, _SIGN_BIT, out.view(np.uint8))
    return partial(np.copyto, out, shaped, casting="unsafe")

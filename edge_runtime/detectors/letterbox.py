"""Frames of any size into the picture that a detector takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from edge_runtime.preprocess import UInt8Array

MAX_HALF_STEPS = 15
"""Largest odd number of half pixels whose squared sums fit into 16 bits: 15 * 15 * 255 < 65536."""


class Letterbox:
    """Resizes frames into the upper left corner of one picture, keeping their aspect.

    Shrinking averages over pixels (`INTER_AREA`), growing is bilinear. Buffers are made when frames of
    another size come; the picture's part that frames do not cover is filled then, too.
    """

    def __init__(self, out: UInt8Array, fill: int) -> None:
        """
        Args:
            out: uint8 (height, width), filled by each call.
            fill: value of the part that the frame does not cover.
        """
        self._out = out
        self._fill = fill
        self._hw = (0, 0)
        self._scale = 1.0
        self._steps: list[Callable[[UInt8Array], UInt8Array]] = []

    def __call__(self, luma: UInt8Array) -> float:
        """Fill the picture from a frame, uint8 (H, W); returns its pixels per pixel of the frame."""
        if luma.shape != self._hw:
            self._plan(*luma.shape)
        for step in self._steps:
            luma = step(luma)
        return self._scale

    def _plan(self, rows: int, columns: int) -> None:
        height, width = self._out.shape
        self._hw = (rows, columns)
        self._scale = scale = min(width / columns, height / rows)
        w = min(width, max(1, round(columns * scale)))
        h = min(height, max(1, round(rows * scale)))
        self._out[h:] = self._fill
        self._out[:h, w:] = self._fill
        self._steps = []
        while rows % 2 == 0 and columns % 2 == 0 and rows >= 4 * h and columns >= 4 * w:
            # Averages over 2x2 pixels run in vector instructions, those over 4x4 do not: a sixth of the
            # time.
            rows, columns = rows // 2, columns // 2
            self._steps.append(_resize_into(np.empty((rows, columns), np.uint8), cv2.INTER_AREA))
        target = self._out[:h, :w]
        half_steps = 2 * rows // h
        if (
            (2 * rows, 2 * columns) == (half_steps * h, half_steps * w)
            and half_steps % 2
            and 3 <= half_steps <= MAX_HALF_STEPS
        ):
            self._steps.append(HalfPixelMean((rows, columns), target))
        else:
            self._steps.append(_resize_into(target, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


class HalfPixelMean:
    """`INTER_AREA` by a factor of 1.5, 2.5 and so on up to 7.5: the same values in a third of the time.

    Such a factor makes two pixels of an odd number of pixels, the one in the middle shared between them.
    Sums of whole rows run in vector instructions; the columns are summed as rows of the transposed picture.
    Sums are of integers and their divisor is odd, so no mean lies between two values.
    """

    def __init__(self, hw: tuple[int, int], out: UInt8Array) -> None:
        """
        Args:
            hw: size of the pictures to shrink.
            out: uint8 (height, width), filled by each call; both are hw / factor.
        """
        rows, columns = hw
        height, width = out.shape
        half_steps = 2 * rows // height
        self._out = out
        self._mean = 1 / half_steps**2
        self._wide = np.empty(hw, np.uint16)
        self._rows = np.empty((height, columns), np.uint16)
        self._turned = np.empty((columns, height), np.uint16)
        self._sums = np.empty((width, height), np.uint16)
        self._means = np.empty((width, height), np.uint8)
        self._sum_rows = _RowSums(self._wide, self._rows, half_steps)
        self._sum_columns = _RowSums(self._turned, self._sums, half_steps)

    def __call__(self, picture: UInt8Array) -> UInt8Array:
        np.copyto(self._wide, picture)
        self._sum_rows()
        cv2.transpose(self._rows, dst=self._turned)
        self._sum_columns()
        cv2.convertScaleAbs(self._sums, dst=self._means, alpha=self._mean)
        return cv2.transpose(self._means, dst=self._out)  # type: ignore[return-value]


class _RowSums:
    """Sums of `half_steps` half rows each, from one array of uint16 into another."""

    def __init__(self, rows: np.ndarray, sums: np.ndarray, half_steps: int) -> None:
        whole = half_steps // 2
        self._middle = rows[whole::half_steps]
        self._parts = [
            (sums[side::2], [rows[first + index :: half_steps] for index in range(whole)])
            for side, first in ((0, 0), (1, whole + 1))
        ]

    def __call__(self) -> None:
        for total, (first, *others) in self._parts:
            if others:
                cv2.add(first, others[0], dst=total)
                for other in others[1:]:
                    cv2.add(total, other, dst=total)
                cv2.add(total, total, dst=total)
            else:
                cv2.add(first, first, dst=total)
            cv2.add(total, self._middle, dst=total)


def letterbox(luma: UInt8Array, out: UInt8Array, fill: int) -> float:
    """Resize one frame into the upper left corner of a picture; see `Letterbox`.

    Args:
        luma: uint8 (H, W).
        out: uint8 (height, width), filled; the part that the frame does not cover becomes `fill`.

    Returns:
        Pixels of `out` per pixel of `luma`.
    """
    return Letterbox(out, fill)(luma)


def _resize_into(target: UInt8Array, interpolation: int) -> Callable[[UInt8Array], UInt8Array]:
    height, width = target.shape
    return partial(cv2.resize, dsize=(width, height), dst=target, interpolation=interpolation)  # type: ignore[return-value]

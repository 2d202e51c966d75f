"""Turn, mirror and cut frames as an installation needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2

from edge_runtime.errors import SourceError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources.base import Frame, FrameSource
from edge_runtime.sources.options import Transform

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def apply(transform: Transform, image: UInt8Array) -> UInt8Array:
    """Transform (H, W[, 3]); the region alone is a view of `image`.

    Raises:
        SourceError: the region reaches beyond the frame.
    """
    if transform.region is not None:
        x, y, width, height = transform.region
        if y + height > image.shape[0] or x + width > image.shape[1]:
            raise SourceError(
                f"region {x},{y},{width},{height} reaches beyond the frame of "
                f"{image.shape[1]}x{image.shape[0]}; choose a smaller one"
            )
        image = image[y : y + height, x : x + width]
    if transform.rotate:
        image = cv2.rotate(image, _TURNS[transform.rotate])  # type: ignore[assignment]
    if transform.mirror:
        image = cv2.flip(image, 1)  # type: ignore[assignment]
    return image


class TransformedSource:
    """Another source's frames, transformed."""

    def __init__(self, source: FrameSource, transform: Transform) -> None:
        self.description = source.description
        self._source = source
        self._transform = transform

    def frames(self) -> Iterator[Frame]:
        """Yield the other source's frames, transformed.

        Raises:
            SourceError: as the other source, or the region reaches beyond the frame.
        """
        transform = self._transform
        for frame in self._source.frames():
            bgr = None if frame.bgr is None else apply(transform, frame.bgr)
            yield replace(frame, luma=apply(transform, frame.luma), bgr=bgr)
            del frame, bgr

    def close(self) -> None:
        self._source.close()

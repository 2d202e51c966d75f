"""Sources `image` and `folder`: pictures from files, one frame each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.errors import SourceError
from edge_runtime.preprocess import to_luma
from edge_runtime.sources.base import Frame
from edge_runtime.sources.imagefile import KINDS, SUFFIXES, read_image

log = logging.getLogger(__name__)


def read_frame(path: Path, index: int, *, color: bool) -> Frame:
    """Read a picture as a frame that carries its path, in a form that every sink can write.

    Raises:
        SourceError: as `read_image`.
    """
    image = read_image(path)
    captured_ns = time.monotonic_ns()
    # A name on the disk is bytes; those that are no UTF-8 would break whoever encodes or prints it.
    name = str(path).encode(errors="backslashreplace").decode()
    return Frame(index, captured_ns, to_luma(image), image if color else None, name=name)


class ImageSource:
    """One picture."""

    def __init__(self, path: Path, *, color: bool = False) -> None:
        """
        Raises:
            SourceError: as `read_image`.
        """
        self._frame = read_frame(path, 0, color=color)
        height, width = self._frame.luma.shape
        self.description = f"image {path} {width}x{height}"

    def frames(self) -> Iterator[Frame]:
        yield self._frame

    def close(self) -> None:
        """Nothing is held open."""


class FolderSource:
    """Every picture of a folder, by name; what cannot be read is skipped with a warning."""

    def __init__(self, folder: Path, *, color: bool = False) -> None:
        """
        Raises:
            SourceError: the folder cannot be listed or holds no picture.
        """
        try:
            self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise SourceError(f"{folder}: cannot list the folder ({error.strerror})") from None
        if not self._paths:
            raise SourceError(f"{folder}: no picture in this folder; put {KINDS} files there")
        self._color = color
        self._closed = False
        self.description = f"folder {folder} with {len(self._paths)} pictures"

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures that can be read.

        Raises:
            SourceError: none of them could be read.
        """
        read = 0
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            try:
                frame = read_frame(path, index, color=self._color)
            except SourceError as error:
                log.warning("skipped: %s", error)
                continue
            read += 1
            yield frame
        if not read:
            raise SourceError("none of the folder's pictures could be read; see the warnings above")

    def close(self) -> None:
        self._closed = True

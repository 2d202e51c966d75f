"""YOLO layout: `images/SPLIT/NAME.jpg` beside `labels/SPLIT/NAME.txt`, in a folder or a zip archive.

A line of a label file is `class cx cy w h`, relative to the picture. A picture without lines, or without
a label file, shows no face. The layout `SPLIT/images/NAME.jpg` is understood as well.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.boxmap import BoxMap
from edge_runtime.datasets.base import canonical_split
from edge_runtime.datasets.folders import decode
from edge_runtime.errors import DataError
from edge_runtime.modelfile import ZIP_ERRORS

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_PICTURE_BYTES = 64 << 20


@dataclass(frozen=True)
class BoxedImages:
    """Luma pictures of any size with the boxes of their faces."""

    images: tuple[npt.NDArray[np.uint8], ...]
    """uint8 (H, W) each."""
    boxes: tuple[npt.NDArray[np.float32], ...]
    """float32 (faces, 4) each: x, y, w, h in pixels of the picture as it is here."""
    names: tuple[str, ...]
    """File names without folder and suffix."""
    splits: npt.NDArray[np.str_]
    """(N,) `Training`, `validation`, `test`, or '' where unknown."""
    source: str = ""
    """Path that the pictures were read from, for messages."""

    def __len__(self) -> int:
        return len(self.images)

    def select(self, chosen: npt.ArrayLike) -> BoxedImages:
        """Rows by boolean mask (N,) or by index."""
        rows = np.arange(len(self))[np.asarray(chosen)].tolist()
        return replace(
            self,
            images=tuple(self.images[row] for row in rows),
            boxes=tuple(self.boxes[row] for row in rows),
            names=tuple(self.names[row] for row in rows),
            splits=self.splits[rows],
        )

    def split(self, name: str) -> BoxedImages:
        """Rows of one split; its usual spellings (`train`, `val`) are understood.

        Raises:
            DataError: there is no such split; the message lists those there are.
        """
        mask = self.splits == (canonical_split(name) or name)
        if not mask.any():
            there = ", ".join(sorted(set(self.splits.tolist()) - {""})) or "none"
            raise DataError(f"{self.source}: no images of split {name!r}; splits there are: {there}")
        return self.select(mask)

    def named(self, prefixes: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        """Mask (N,) of pictures whose name starts with one of `prefixes`."""
        return np.array([name.startswith(prefixes) for name in self.names], bool)

    def with_maps(self, maps: Mapping[str, BoxMap]) -> BoxedImages:
        """Boxes of pictures whose name starts with a key of `maps`, mapped and cut at the edges."""
        boxes = list(self.boxes)
        for row, name in enumerate(self.names):
            for prefix, box_map in maps.items():
                if name.startswith(prefix):
                    boxes[row] = clip_boxes(box_map.apply(self.boxes[row]), self.images[row].shape[:2])
        return replace(self, boxes=tuple(boxes))

    def digest(self) -> str:
        """SHA-256 (hex) over names, pixels and boxes: the identity of the data."""
        total = hashlib.sha256()
        for name, image, boxes in zip(self.names, self.images, self.boxes, strict=True):
            total.update(repr((name, image.shape, boxes.shape)).encode())
            total.update(np.ascontiguousarray(image).tobytes())
            total.update(boxes.astype("<f4").tobytes())
        return total.hexdigest()


def clip_boxes(boxes: npt.NDArray[np.float32], hw: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Cut boxes (N, 4) x, y, w, h at the edges of a picture of height and width `hw`."""
    left_top = np.clip(boxes[:, :2], 0, (hw[1], hw[0]))
    right_bottom = np.clip(boxes[:, :2] + boxes[:, 2:], 0, (hw[1], hw[0]))
    return np.concatenate([left_top, right_bottom - left_top], axis=1).astype(np.float32)


def read(path: str | os.PathLike[str], *, longest_side: int = 320) -> BoxedImages:
    """Read all pictures and boxes of a folder or zip archive into memory.

    Args:
        longest_side: larger pictures are shrunk to this many pixels (averaging), smaller ones stay.

    Raises:
        DataError: nothing there, no pictures, one that does not decode, or a line that is no box.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        files = {
            file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()
        }
        return _read(path, sorted(files), lambda name: files[name].read_bytes(), longest_side)
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(
                info.filename
                for info in archive.infolist()
                if not info.is_dir() and info.file_size <= MAX_PICTURE_BYTES
            )
            return _read(path, names, archive.read, longest_side)
    except ZIP_ERRORS as error:
        raise DataError(
            f"{path}: not a readable zip archive ({error}). Expected: a folder or a .zip with "
            "images/SPLIT/*.jpg and labels/SPLIT/*.txt"
        ) from None


def _read(path: Path, names: list[str], content: Callable[[str], bytes], longest_side: int) -> BoxedImages:
    known = set(names)
    images, boxes, stems, splits = [], [], [], []
    for name in names:
        place = PurePosixPath(name)
        if place.suffix.lower() not in SUFFIXES or "images" not in place.parts[:-1]:
            continue
        image = _decode(f"{path}: {name}", content(name), longest_side)
        label = _label_name(place)
        lines = content(label).decode("utf-8", "replace").splitlines() if label in known else []
        images.append(image)
        boxes.append(_parse(f"{path}: {label}", lines, image.shape))
        stems.append(place.stem)
        splits.append(_split(place))
    if not images:
        raise DataError(
            f"{path}: no pictures. Expected: images/SPLIT/*.jpg beside labels/SPLIT/*.txt "
            f"({', '.join(SUFFIXES)})"
        )
    return BoxedImages(tuple(images), tuple(boxes), tuple(stems), np.array(splits), str(path))


def _label_name(image: PurePosixPath) -> str:
    parts = list(image.parts)
    index = len(parts) - 2 - parts[-2::-1].index("images")
    parts[index] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt").as_posix()


def _split(image: PurePosixPath) -> str:
    for part in reversed(image.parts[:-1]):
        split = canonical_split(part)
        if split:
            return split
    return ""


def _decode(where: str, content: bytes, longest_side: int) -> npt.NDArray[np.uint8]:
    image: npt.NDArray[Any] = decode(content, cv2.IMREAD_GRAYSCALE, where)
    shrink = longest_side / max(image.shape)
    if shrink < 1:
        size = (max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


def _parse(where: str, lines: list[str], hw: tuple[int, ...]) -> npt.NDArray[np.float32]:
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            _, cx, cy, w, h = map(float, line.split())
        except ValueError:
            raise DataError(
                f"{where}, line {number}: expected `class cx cy w h`. Received: {line.strip()[:60]!r}"
            ) from None
        if not (-0.01 <= cx <= 1.01 and -0.01 <= cy <= 1.01 and 0 < w <= 1.02 and 0 < h <= 1.02):
            raise DataError(
                f"{where}, line {number}: a box must be relative to the picture, 0..1. "
                f"Received: {line.strip()[:60]!r}"
            )
        rows.append(((cx - w / 2) * hw[1], (cy - h / 2) * hw[0], w * hw[1], h * hw[0]))
    return np.array(rows, np.float32).reshape(-1, 4)

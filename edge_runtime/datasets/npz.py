"""Labelled pictures as a numpy archive, and FER2013 as pixels and labels in two files."""

from __future__ import annotations

import csv
import lzma
from pathlib import Path

import numpy as np

from edge_runtime.datasets.base import FER2013_LABELS, UNLABELLED, LabeledImages, canonical_split
from edge_runtime.errors import DataError
from edge_runtime.modelfile import ZIP_ERRORS

PIXELS_NAME, LABELS_NAME = "fer2013_pixels.npy.xz", "fer2013_labels.csv"

_IMAGE_KEYS = ("pixels", "images", "x")
_LABEL_KEYS = ("emotion", "labels", "y")
_SPLIT_KEYS = ("usage", "split", "splits")


def read(path: Path) -> LabeledImages:
    """Read an archive with `pixels` uint8 (N, H, W[, 1 or 3]) and optionally `emotion` (N,),
    `usage` (N,) and `class_names`; the names `images`, `labels`, `split`, `x`, `y` serve as well.

    Nothing in the file is unpickled.

    Raises:
        DataError: an array is missing or has another shape or type, or the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            members = {name.lower(): archive[name] for name in archive.files}
        # A member that is no .npy comes as bytes.
        arrays = {name: item for name, item in members.items() if isinstance(item, np.ndarray)}
    except (*ZIP_ERRORS, AttributeError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as .npz ({error})") from None
    images = _first(arrays, _IMAGE_KEYS)
    if images is None:
        raise DataError(f"{path}: no array 'pixels'. Received: {', '.join(arrays) or 'nothing'}")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    colored = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or colored) or not images.size:
        raise DataError(
            f"{path}: pixels must be uint8 (N, H, W) or (N, H, W, 3). "
            f"Received: {images.dtype} {images.shape}"
        )
    class_names = arrays.get("class_names")
    names = FER2013_LABELS if class_names is None else tuple(str(name) for name in class_names)
    return _assemble(path, images, _first(arrays, _LABEL_KEYS), _first(arrays, _SPLIT_KEYS), names)


def read_pair(folder: Path) -> LabeledImages:
    """Read `fer2013_pixels.npy.xz` with `fer2013_labels.csv` beside it (columns emotion, Usage).

    Raises:
        DataError: a file is missing or damaged, or they have different lengths.
    """
    path = folder / PIXELS_NAME
    try:
        with lzma.open(path) as file:
            images = np.load(file, allow_pickle=False)
        with (folder / LABELS_NAME).open(newline="") as file:
            rows = list(csv.DictReader(file))
        labels = np.array([int(row["emotion"]) for row in rows], np.int64)
        splits = np.array([row["Usage"] for row in rows])
    except KeyError as error:
        raise DataError(f"{folder / LABELS_NAME}: no column {error}. Expected: emotion,Usage") from None
    except (
        OSError,
        ValueError,
        OverflowError,
        TypeError,
        EOFError,
        MemoryError,
        csv.Error,
        lzma.LZMAError,
    ) as error:
        raise DataError(f"{folder}: cannot read {PIXELS_NAME} with {LABELS_NAME} ({error})") from None
    return _assemble(path, images, labels, splits, FER2013_LABELS)


def _first(arrays: dict[str, np.ndarray], keys: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[key] for key in keys if key in arrays), None)


def _assemble(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray | None,
    splits: np.ndarray | None,
    names: tuple[str, ...],
) -> LabeledImages:
    count = len(images)
    labels = np.full(count, UNLABELLED) if labels is None else labels
    splits = np.full(count, "") if splits is None else splits
    for name, array in (("labels", labels), ("splits", splits)):
        if array.shape != (count,):
            raise DataError(f"{path}: {count} images but {name} of shape {array.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < UNLABELLED or labels.max() >= len(names):
        raise DataError(f"{path}: labels must be integers 0..{len(names) - 1} (or -1 for unlabelled)")
    spelled = np.array([canonical_split(str(split)) or str(split) for split in splits])
    return LabeledImages(images, labels.astype(np.int64), names, spelled, str(path))

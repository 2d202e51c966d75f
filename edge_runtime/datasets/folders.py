"""Class folders: `train/angry/*.png`, `test/happy/*.jpg`, or the class folders alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.datasets.base import (
    FER2013_LABELS,
    LabeledImages,
    canonical_label,
    canonical_split,
)
from edge_runtime.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def read(
    path: Path,
    *,
    size_hw: tuple[int, int] = (48, 48),
    color: str = "luma",
    class_names: tuple[str, ...] | None = None,
) -> LabeledImages:
    """Read every picture of the class folders, resized to one size.

    Args:
        path: folder of class folders, or of split folders (`train`, `val`, `test` and their usual
            spellings) of class folders.
        size_hw: height and width of the result, pixels.
        color: `luma` or `rgb`.
        class_names: the classes expected. By default FER2013's seven where every folder is one of
            them (aliases such as `fearful` understood), otherwise a folder name outside is an error.

    Raises:
        DataError: an unknown class folder, no pictures, or a picture that does not decode.
    """
    names = class_names or FER2013_LABELS
    images, labels, splits = [], [], []
    for split, label, file in _files(path, names):
        images.append(_picture(file, size_hw, color))
        labels.append(label)
        splits.append(split)
    if not images:
        raise DataError(f"{path}: no pictures ({', '.join(SUFFIXES)}) in its class folders")
    return LabeledImages(np.stack(images), np.array(labels, np.int64), names, np.array(splits), str(path))


def class_folders(path: Path) -> list[tuple[str, Path]]:
    """(split, class folder) below a data folder, sorted; split is '' without split folders."""
    folders = _subfolders(path)
    split_folders = [(canonical_split(folder.name), folder) for folder in folders]
    if any(split is not None for split, _ in split_folders):
        return [
            (split, folder) for split, parent in split_folders if split for folder in _subfolders(parent)
        ]
    return [("", folder) for folder in folders]


def _files(path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, int, Path]]:
    for split, folder in class_folders(path):
        label = canonical_label(folder.name)
        if label not in names:
            raise DataError(f"{folder}: unknown class folder {folder.name!r}. Expected: {', '.join(names)}")
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in SUFFIXES:
                yield split, names.index(label), file


def _subfolders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _picture(file: Path, size_hw: tuple[int, int], color: str) -> np.ndarray:
    flag = cv2.IMREAD_GRAYSCALE if color == "luma" else cv2.IMREAD_COLOR
    content = np.fromfile(file, np.uint8)
    image = cv2.imdecode(content, flag) if content.size else None
    if image is None:
        raise DataError(f"{file}: not a readable picture; repair it or move it away")
    if image.shape[:2] != size_hw:
        shrinks = image.shape[0] * image.shape[1] > size_hw[0] * size_hw[1]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=interpolation)
    return image if color == "luma" else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

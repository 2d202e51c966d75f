"""Readers of labelled data, one form per file; never imported by the frame path."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.datasets import folders, kaggle_csv, npz
from edge_runtime.datasets.base import (
    FER2013_LABELS,
    UNLABELLED,
    LabeledImages,
    canonical_label,
    canonical_split,
)
from edge_runtime.errors import DataError

__all__ = [
    "FER2013_LABELS",
    "UNLABELLED",
    "LabeledImages",
    "canonical_label",
    "canonical_split",
    "load_dataset",
]


def load_dataset(path: str | os.PathLike[str]) -> LabeledImages:
    """Read labelled pictures in whatever form they are.

    Forms: Kaggle's CSV (plain, .gz, .xz, .bz2), `.npz`, class folders, or a folder that holds one such
    file (`fer2013.csv` and its compressed forms, `fer2013.npz`, or `fer2013_pixels.npy.xz` with
    `fer2013_labels.csv`).

    Raises:
        DataError: nothing there, a form that is not known, or a damaged file.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        return _load_folder(path)
    if path.name.endswith(kaggle_csv.SUFFIXES):
        return kaggle_csv.read(path)
    if path.suffix == ".npz":
        return npz.read(path)
    raise DataError(
        f"{path}: unknown form of data. Expected: {', '.join(kaggle_csv.SUFFIXES)}, .npz or a folder "
        "of class folders"
    )


def _load_folder(path: Path) -> LabeledImages:
    if (path / npz.PIXELS_NAME).exists():
        return npz.read_pair(path)
    for name in ("fer2013.npz", *(f"fer2013{suffix}" for suffix in kaggle_csv.SUFFIXES)):
        if (path / name).exists():
            return load_dataset(path / name)
    return folders.read(path)

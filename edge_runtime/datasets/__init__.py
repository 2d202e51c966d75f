"""Readers of labelled data, one form per file; never imported by the frame path."""

from __future__ import annotations

import os
from pathlib import Path

from edge_runtime.contract import InputSpec
from edge_runtime.datasets import folders, kaggle_csv, npz
from edge_runtime.datasets.base import (
    FER2013_LABELS,
    UNLABELLED,
    LabeledImages,
    canonical_label,
    canonical_split,
)
from edge_runtime.datasets.folders import Unreadable
from edge_runtime.datasets.pictures import fit_pictures
from edge_runtime.errors import DataError

__all__ = [
    "FER2013_LABELS",
    "UNLABELLED",
    "LabeledImages",
    "Unreadable",
    "canonical_label",
    "canonical_split",
    "fit_pictures",
    "load_dataset",
    "load_for_model",
]


def load_dataset(
    path: str | os.PathLike[str],
    *,
    size_hw: tuple[int, int] = (48, 48),
    color: str = "luma",
    class_names: tuple[str, ...] | None = None,
    unreadable: list[Unreadable] | None = None,
) -> LabeledImages:
    """Read labelled pictures in whatever form they are.

    Forms: Kaggle's CSV (plain, .gz, .xz, .bz2), `.npz`, class folders, or a folder that holds one such
    file (`fer2013.csv` and its compressed forms, `fer2013.npz`, or `fer2013_pixels.npy.xz` with
    `fer2013_labels.csv`).

    Args:
        path: file or folder.
        size_hw: height and width to which pictures of class folders are resized, pixels; the other
            forms keep their size.
        color: `luma` or `rgb`, for class folders.
        class_names: the classes wanted of class folders; other folders are passed over. By default
            FER2013's seven, and a folder of another name is an error.
        unreadable: list that takes the files of class folders that are no pictures or lie about their
            form; they are left out. By default the first one is an error.

    Raises:
        DataError: nothing there, a form that is not known, or a damaged file.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        single = _single_file(path)
        if single is not None:
            return load_dataset(single)
        if (path / npz.PIXELS_NAME).exists():
            return npz.read_pair(path)
        return folders.read(
            path, size_hw=size_hw, color=color, class_names=class_names, unreadable=unreadable
        )
    if path.name.endswith(kaggle_csv.SUFFIXES):
        return kaggle_csv.read(path)
    if path.suffix == ".npz":
        return npz.read(path)
    raise DataError(
        f"{path}: unknown form of data. Expected: {', '.join(kaggle_csv.SUFFIXES)}, .npz or a folder "
        "of class folders"
    )


def load_for_model(
    path: str | os.PathLike[str],
    spec: InputSpec,
    labels: tuple[str, ...],
    unreadable: list[Unreadable] | None = None,
) -> LabeledImages:
    """Read labelled pictures as a model takes them: class folders in its size, colour and classes.

    Args:
        labels: the model's; folders of other classes are passed over, unless it has FER2013's seven.
        unreadable: as `load_dataset`.

    Raises:
        DataError: as `load_dataset`.
    """
    return load_dataset(
        path,
        size_hw=(spec.height, spec.width),
        color=spec.color,
        class_names=None if set(labels) == set(FER2013_LABELS) else labels,
        unreadable=unreadable,
    )


def _single_file(folder: Path) -> Path | None:
    names = ("fer2013.npz", *(f"fer2013{suffix}" for suffix in kaggle_csv.SUFFIXES))
    return next((folder / name for name in names if (folder / name).exists()), None)

"""FER2013 as Kaggle's CSV: columns `emotion,pixels,Usage`, the first and last optional."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets.base import FER2013_LABELS, UNLABELLED, LabeledImages, canonical_split
from edge_runtime.errors import DataError

SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".csv.bz2")
SIZE = 48
"""FER2013 pictures are 48x48 pixels."""

_OPENERS: dict[str, Callable[..., IO[str]]] = {
    ".gz": gzip.open,
    ".xz": lzma.open,
    ".bz2": bz2.open,
}


def read(path: Path) -> LabeledImages:
    """Read a CSV file, compressed or not.

    Rows without an `emotion` are unlabelled; rows without a `Usage` have the split ''.

    Raises:
        DataError: no column `pixels`, a row that is too short or long, a value out of range, or a
            damaged compressed file; the message names the line.
    """
    opener = _OPENERS.get(path.suffix)
    images: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    splits: list[str] = []
    try:
        with opener(path, "rt", newline="") if opener else path.open(newline="") as file:
            reader = csv.reader(file)
            columns = _columns(path, next(reader, []))
            for row in reader:
                if not row:
                    continue
                where = f"{path}, line {reader.line_num}"
                if len(row) < len(columns):
                    raise DataError(f"{where}: {len(row)} fields instead of {len(columns)}")
                images.append(_pixels(where, row[columns["pixels"]]))
                labels.append(
                    _label(where, row[columns["emotion"]]) if "emotion" in columns else UNLABELLED
                )
                splits.append(_split(row[columns["usage"]]) if "usage" in columns else "")
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); fetch the file again") from None
    if not images:
        raise DataError(f"{path}: has no rows of pixels")
    return LabeledImages(
        np.stack(images), np.array(labels, np.int64), FER2013_LABELS, np.array(splits), str(path)
    )


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    columns = {name.strip().lstrip("\ufeff").lower(): index for index, name in enumerate(header)}
    if "pixels" not in columns:
        raise DataError(
            f"{path}: no column 'pixels'. Expected: emotion,pixels,Usage. Received: {','.join(header)[:80]}"
        )
    return columns


def _pixels(where: str, text: str) -> npt.NDArray[np.uint8]:
    try:
        values = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: pixels must be integers. Received: {text[:40]!r}") from None
    if values.size != SIZE * SIZE:
        raise DataError(f"{where}: {values.size} pixels instead of {SIZE * SIZE} ({SIZE}x{SIZE})")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{where}: pixels must be 0..255. Received: {values.min()}..{values.max()}")
    return values.astype(np.uint8).reshape(SIZE, SIZE)


def _label(where: str, text: str) -> int:
    if not text.strip():
        return UNLABELLED
    try:
        label = int(text)
    except ValueError:
        label = -1
    if not 0 <= label < len(FER2013_LABELS):
        raise DataError(f"{where}: emotion must be 0..{len(FER2013_LABELS) - 1}. Received: {text[:40]!r}")
    return label


def _split(text: str) -> str:
    return canonical_split(text) or text.strip()

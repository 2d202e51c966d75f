"""FER+ crowd votes as shares per class (Barsoum et al. 2016, arXiv 1608.01041)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import LabeledImages, canonical_label, canonical_split
from edge_runtime.errors import DataError


def read_votes(path: Path, data: LabeledImages) -> npt.NDArray[np.float32]:
    """Shares (N, classes) of the votes for the rows of FER2013, in their order.

    Where the file names the split of each row (`Usage`), it must be that of the data: class folders have
    as many pictures as the CSV, in another order.

    Votes for `contempt`, `unknown` and `not a face` have no class here and are left out; a row without
    any other vote is NaN.

    Raises:
        DataError: the file cannot be read, or its rows are not those of the data.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = [canonical_label(name) for name in reader.fieldnames or []]
            columns = [names.index(label) for label in data.class_names]
            rows = list(reader)
            votes = np.array([[float(list(row.values())[c]) for c in columns] for row in rows])
    except (OSError, ValueError, TypeError, UnicodeDecodeError, IndexError) as error:
        raise DataError(f"{path}: cannot be read as FER+ votes ({error})") from None
    if len(votes) != len(data):
        raise DataError(f"{path}: {len(votes)} rows of votes for {len(data)} images of {data.source}")
    usage = [canonical_split(row.get("Usage") or "") for row in rows]
    if any(usage) and usage != data.splits.tolist():
        raise DataError(
            f"{path}: its rows are not those of {data.source} in order; give --data FER2013's CSV, or an "
            ".npz made from it"
        )
    return shares_of(votes)


def shares_of(votes: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Votes (N, classes) as shares that add up to 1; NaN in rows without any."""
    total = votes.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, votes / total, np.nan).astype(np.float32)

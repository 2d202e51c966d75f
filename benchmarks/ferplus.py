"""FER+ crowd votes as a second opinion on FER2013's labels.

Source: Barsoum et al. (2016), "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", arXiv 1608.01041.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import LabeledImages, canonical_label, canonical_split
from edge_runtime.errors import DataError

FILE_NAMES = ("ferplus_votes.csv", "fer2013new.csv")
VOTE_COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
EXPRESSIONS = 7
"""The first columns are the classes of FER2013; contempt, unknown and NF (no face) are not."""

NO_MAJORITY = ""


def find_votes(data: Path) -> Path | None:
    """The file of votes in the folder of the data, or None."""
    folder = data if data.is_dir() else data.parent
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def majority_labels(path: Path, dataset: LabeledImages) -> npt.NDArray[np.str_]:
    """Majority label of every row of FER2013, in edge-fer's spelling; '' where there is none to use.

    As the paper's code does it: a class with a single vote is an outlier and loses it, and the class
    with the most votes is the majority if it then has more than half of all that are left. Rows whose
    majority is contempt, unknown or "no face", and rows that FER+ removed (no image name), yield ''.

    Args:
        path: CSV with the columns `Usage`, `Image name` and `VOTE_COLUMNS`, a row per row of FER2013.
        dataset: all rows of FER2013, in their original order.

    Raises:
        DataError: a column is missing, a vote is no number, or the rows are not those of `dataset`.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        votes = np.array([[int(row[column]) for column in VOTE_COLUMNS] for row in rows], np.int64)
        usage = [canonical_split(row["Usage"]) for row in rows]
        named = np.array([bool(row["Image name"]) for row in rows])
    except KeyError as error:
        raise DataError(f"{path}: no column {error}. Expected: those of FER+'s fer2013new.csv") from None
    except (OSError, ValueError, TypeError, OverflowError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as FER+ votes ({error})") from None
    if usage != dataset.splits.tolist():
        raise DataError(
            f"{path}: its {len(rows)} rows are not those of {dataset.source} ({len(dataset)}) in order"
        )
    votes[votes <= 1] = 0
    winner = votes.argmax(axis=1)
    clear = 2 * votes.max(axis=1) > votes.sum(axis=1)
    usable = clear & named & (winner < EXPRESSIONS)
    names = np.array([canonical_label(name) for name in VOTE_COLUMNS])
    return np.where(usable, names[winner], NO_MAJORITY)

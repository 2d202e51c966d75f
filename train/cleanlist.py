"""A list of pictures to leave out of training: written by `audit`, read by `fit`.

One line per picture and split, tab-separated: SHA-256 of its pixels, split, how many of its copies to
keep, and why. Lines that begin with `#` say the same to a reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import DataError
from train.files import write_text

_HEADER = "# edge-fer clean list: sha256 of the pixels, split, copies to keep, reason"


@dataclass(frozen=True)
class CleanEntry:
    sha256: str
    """Of the picture's pixels, hexadecimal."""
    split: str
    copies: int
    """How many of the identical pictures of this split to keep: the first ones."""
    reason: str


def write_clean_list(path: Path, entries: Iterable[CleanEntry]) -> None:
    lines = [f"{e.sha256}\t{e.split}\t{e.copies}\t{e.reason}" for e in entries]
    write_text(path, "\n".join([_HEADER, *lines]) + "\n")


def read_clean_list(path: Path, data: LabeledImages) -> npt.NDArray[np.bool_]:
    """Mask (N,) of the pictures that a list keeps.

    Raises:
        DataError: not such a list, or one of other pictures.
    """
    allowed: dict[tuple[bytes, str], int] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                digest, split, copies = line.split("\t")[:3]
                allowed[bytes.fromhex(digest), split] = int(copies)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a clean list as `audit --write-clean` writes it ({error})") from None
    keep = np.ones(len(data), bool)
    seen: dict[tuple[bytes, str], int] = {}
    for row, (digest_bytes, split) in enumerate(zip(data.hashes(), data.splits, strict=True)):
        key = (digest_bytes.tobytes(), str(split))
        if key in allowed:
            seen[key] = seen.get(key, 0) + 1
            keep[row] = seen[key] <= allowed[key]
    if allowed and not seen:
        raise DataError(
            f"{path}: lists none of these pictures; write it for the same data and recipe with: "
            "python -m train audit --recipe … --write-clean"
        )
    return keep

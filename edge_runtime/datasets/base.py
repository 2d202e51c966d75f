"""Labelled pictures as every reader returns them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import DataError

FER2013_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Class names in the order of FER2013's `emotion` column."""

UNLABELLED = -1

_ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "suprise": "surprise",
    "surprised": "surprise",
    "natural": "neutral",
}

_SPLITS = {
    "train": "Training",
    "training": "Training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "publictest": "PublicTest",
    "public": "PublicTest",
    "privatetest": "PrivateTest",
    "private": "PrivateTest",
}


def canonical_label(name: str) -> str:
    """Class name in edge-fer's spelling: lower case, `fearful` -> `fear`, and so on."""
    plain = name.strip().lower()
    return _ALIASES.get(plain, plain)


def canonical_split(name: str) -> str | None:
    """Split name in edge-fer's spelling, or None for a name that is no split."""
    return _SPLITS.get(name.strip().lower().replace("_", "").replace(" ", ""))


@dataclass(frozen=True)
class LabeledImages:
    """Pictures of one size with their labels and splits, in the order of the file."""

    images: npt.NDArray[np.uint8]
    """(N, H, W) luma or (N, H, W, 3) RGB."""
    labels: npt.NDArray[np.int64]
    """(N,) index into `class_names`; `UNLABELLED` (-1) where there is none."""
    class_names: tuple[str, ...]
    splits: npt.NDArray[np.str_]
    """(N,) `Training`, `PublicTest`, `PrivateTest`, `validation`, `test`, or '' where unknown."""
    source: str = ""
    """Path that the pictures were read from, for messages."""

    def __len__(self) -> int:
        return len(self.images)

    def select(self, chosen: npt.NDArray) -> LabeledImages:
        """Rows by boolean mask (N,) or by index."""
        return replace(
            self, images=self.images[chosen], labels=self.labels[chosen], splits=self.splits[chosen]
        )

    def split(self, name: str) -> LabeledImages:
        """Rows of one split; its usual spellings (`train`, `public_test`) are understood.

        Raises:
            DataError: there is no such split; the message lists those there are.
        """
        wanted = canonical_split(name) or name
        mask = self.splits == wanted
        if not mask.any():
            there = ", ".join(sorted(set(self.splits.tolist()) - {""})) or "none"
            raise DataError(f"{self.source}: no images of split {name!r}; splits there are: {there}")
        return self.select(mask)

    def labelled(self) -> LabeledImages:
        """Rows that have a label."""
        return self.select(self.labels != UNLABELLED)

    def labels_for(self, class_names: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Labels (N,) as indices into another order of class names, e.g. a model's.

        Raises:
            DataError: a class that occurs here is not among `class_names`.
        """
        table = np.full(len(self.class_names) + 1, UNLABELLED, np.int64)
        for index, name in enumerate(self.class_names):
            if name in class_names:
                table[index] = class_names.index(name)
            elif (self.labels == index).any():
                raise DataError(
                    f"{self.source}: class {name!r} is not among the model's labels "
                    f"({', '.join(class_names)})"
                )
        return table[self.labels]

    def of_classes(self, class_names: tuple[str, ...]) -> LabeledImages:
        """Rows of the classes named, with labels in that order.

        Raises:
            DataError: a class that the data does not have.
        """
        for name in class_names:
            if name not in self.class_names:
                raise DataError(
                    f"{self.source}: no class {name!r}; classes there are: {', '.join(self.class_names)}"
                )
        table = np.full(len(self.class_names) + 1, UNLABELLED, np.int64)
        for index, name in enumerate(class_names):
            table[self.class_names.index(name)] = index
        chosen = self.select(table[self.labels] != UNLABELLED)
        return replace(chosen, labels=table[chosen.labels], class_names=class_names)

    def hashes(self) -> npt.NDArray[np.bytes_]:
        """SHA-256 of each picture's pixels, (N,) of 32 bytes: equal exactly for identical pictures."""
        digests = [hashlib.sha256(image.tobytes()).digest() for image in self.images]
        # A bytes dtype would strip trailing zero bytes, a void dtype keeps all 32.
        return np.frombuffer(b"".join(digests), dtype="V32")

    def digest(self) -> str:
        """SHA-256 (hex) over shape, pixels, labels and class names: the identity of the data."""
        total = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        total.update(np.ascontiguousarray(self.images).tobytes())
        total.update(self.labels.astype("<i8").tobytes())
        return total.hexdigest()

"""What a recipe trains on: cleaning, the held-out parts and the targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_runtime.contract import InputSpec
from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import DataError
from train.sections import DataSection
from train.votes import shares_of


@dataclass(frozen=True)
class TrainingData:
    train: LabeledImages
    targets: npt.NDArray[np.float32]
    """(N, classes) of `train`; rows add up to 1."""
    validation: LabeledImages | None
    test: LabeledImages | None
    """Held out of everything, where the recipe asks for it."""
    input: InputSpec
    """What the model takes; pictures are brought to it batch by batch."""
    dropped_blank: int
    dropped_conflicting: int
    dropped_listed: int = 0
    """Pictures that a clean list left out."""


def prepare(
    data: LabeledImages,
    section: DataSection,
    seed: int,
    *,
    fold: tuple[int, int] | None = None,
    keep: npt.NDArray[np.bool_] | None = None,
    votes: npt.NDArray[np.float32] | None = None,
) -> TrainingData:
    """Choose, clean and split the pictures that a recipe trains on.

    Args:
        fold: (index, count) of a cross-validation whose part `index` is held out instead.
        keep: mask (N,) of the pictures that a clean list keeps; None keeps all.
        votes: shares of votes (N, classes of the data), NaN where a picture has none.

    Raises:
        DataError: the split is missing, or nothing is left.
    """
    rows = np.arange(len(data))
    if section.split and set(data.splits.tolist()) != {""}:
        rows = _rows_of_split(data, section.split)
    if section.classes:
        named = _with_classes(data, section.classes)
        if votes is not None:
            votes = shares_of(votes[:, [data.class_names.index(name) for name in section.classes]])
        data = named
    rows = rows[data.labels[rows] >= 0]
    listed = 0
    if keep is not None:
        listed = int((~keep[rows]).sum())
        rows = rows[keep[rows]]
    if not len(rows):
        raise DataError(f"{data.source}: no labelled images to train on")
    pool = data.select(rows)
    blank = is_blank(pool) if section.drop_blank else np.zeros(len(pool), bool)
    conflicting = in_conflict(pool) & ~blank if section.drop_conflicting else np.zeros(len(pool), bool)
    rows = rows[~blank & ~conflicting]
    test = validation = None
    if section.test:
        held_out = grouped_holdout(data.select(rows), section.test, seed, purpose=4)
        test, rows = data.select(rows[held_out]), rows[~held_out]
    if fold is not None:
        held_out = grouped_folds(data.select(rows), fold[1], seed) == fold[0]
        validation, rows = data.select(rows[held_out]), rows[~held_out]
    elif section.validation_split:
        validation = data.split(section.validation_split).labelled()
    elif section.validation:
        held_out = grouped_holdout(data.select(rows), section.validation, seed)
        validation, rows = data.select(rows[held_out]), rows[~held_out]
    if validation is not None and not len(validation):
        # So few images per class that the fraction of each rounds to none.
        validation = None
    if not len(rows):
        raise DataError(f"{data.source}: no labelled images to train on")
    if section.balance == "upsample":
        rows = _upsampled(rows, data.labels[rows], seed)
    train = data.select(rows)
    targets = one_hot(train)
    if section.votes:
        if votes is None:
            raise DataError(f"{data.source}: the recipe takes FER+ votes; give --votes ferplus_votes.csv")
        shares = np.where(np.isnan(votes[rows]), targets, votes[rows])
        targets = ((1 - section.votes) * targets + section.votes * shares).astype(np.float32)
    return TrainingData(
        train,
        targets,
        validation,
        test,
        input_spec(data, section),
        int(blank.sum()),
        int(conflicting.sum()),
        listed,
    )


def input_spec(data: LabeledImages, section: DataSection) -> InputSpec:
    """Size and colour of the model's input: the recipe's, else those of the data."""
    height, width = (section.size, section.size) if section.size else data.images.shape[1:3]
    color = section.color or ("luma" if data.images.ndim == 3 else "rgb")
    return InputSpec(height, width, color)


def is_blank(data: LabeledImages) -> npt.NDArray[np.bool_]:
    """Mask (N,) of pictures that have one value in every pixel."""
    flat = data.images.reshape(len(data), int(np.prod(data.images.shape[1:])))
    return np.asarray(flat.min(axis=1) == flat.max(axis=1))


def groups(data: LabeledImages) -> npt.NDArray[np.int64]:
    """Group number (N,): equal for identical pictures."""
    return np.unique(data.hashes(), return_inverse=True)[1].astype(np.int64)


def in_conflict(data: LabeledImages) -> npt.NDArray[np.bool_]:
    """Mask (N,) of pictures that occur with more than one label."""
    group = groups(data)
    lowest, highest = _label_range(group, data.labels)
    return np.asarray((lowest != highest)[group])


def grouped_holdout(
    data: LabeledImages, fraction: float, seed: int, purpose: int = 1
) -> npt.NDArray[np.bool_]:
    """Mask (N,) of a stratified sample in which identical pictures stay on one side.

    Args:
        purpose: number that keeps samples of the same seed independent of each other.
    """
    group, rank, sizes = _shuffled_groups(data, [seed, purpose])
    return np.asarray(rank[group] < np.round(fraction * sizes[group]))


def grouped_folds(data: LabeledImages, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Fold number (N,) 0..count-1, stratified, identical pictures in one fold.

    Raises:
        DataError: a class has fewer different pictures than there are folds.
    """
    group, rank, sizes = _shuffled_groups(data, [seed, 5])
    if sizes.min() < count:
        raise DataError(f"{data.source}: a class has only {sizes.min()} different images for {count} folds")
    return rank[group] % count


def one_hot(data: LabeledImages) -> npt.NDArray[np.float32]:
    """Targets (N, classes) float32."""
    return np.eye(len(data.class_names), dtype=np.float32)[data.labels]


def class_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float32]:
    """Weight (classes,) inverse to a class's frequency, 1 on average over the pictures."""
    counts = np.bincount(labels, minlength=classes)
    present = int((counts > 0).sum())
    return (len(labels) / (present * np.maximum(counts, 1))).astype(np.float32)


def _rows_of_split(data: LabeledImages, name: str) -> npt.NDArray[np.int64]:
    numbered = replace(data, images=np.arange(len(data)))  # type: ignore[arg-type]
    return numbered.split(name).images.astype(np.int64)


def _with_classes(data: LabeledImages, classes: tuple[str, ...]) -> LabeledImages:
    """All rows, with labels in the order of `classes` and none for other classes."""
    data.of_classes(classes)
    table = np.full(len(data.class_names) + 1, -1, np.int64)
    for index, name in enumerate(classes):
        table[data.class_names.index(name)] = index
    return replace(data, labels=table[data.labels], class_names=classes)


def _label_range(
    group: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lowest = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    highest = np.full_like(lowest, -1)
    np.minimum.at(lowest, group, labels)
    np.maximum.at(highest, group, labels)
    return lowest, highest


def _shuffled_groups(
    data: LabeledImages, seeds: list[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Group (N,), and per group its random rank within its class and its class's number of groups.

    A group with conflicting labels counts for the lowest of them, so that it stays whole.
    """
    rng = np.random.default_rng(seeds)
    group = groups(data)
    label_of_group, _ = _label_range(group, data.labels)
    rank, sizes = np.zeros_like(label_of_group), np.zeros_like(label_of_group)
    for label in np.unique(label_of_group):
        members = np.flatnonzero(label_of_group == label)
        rank[rng.permutation(members)] = np.arange(len(members))
        sizes[members] = len(members)
    return group, rank, sizes


def _upsampled(
    rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], seed: int
) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng([seed, 6])
    largest = int(np.bincount(labels).max())
    parts = []
    for label in np.unique(labels):
        members = rows[labels == label]
        parts.append(np.tile(members, largest // len(members)))
        parts.append(rng.choice(members, largest % len(members), replace=False))
    return np.concatenate(parts)

"""What a recipe trains on: cleaning, the validation split and the batches of an epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import LabeledImages
from edge_runtime.errors import DataError
from train.augment import augment_batch, mixup
from train.recipe import AugmentSection, DataSection


@dataclass(frozen=True)
class TrainingData:
    train: LabeledImages
    validation: LabeledImages | None
    dropped_blank: int
    dropped_conflicting: int


def prepare(data: LabeledImages, section: DataSection, seed: int) -> TrainingData:
    """Choose, clean and split the pictures that a recipe trains on.

    Raises:
        DataError: the split is missing, or nothing is left.
    """
    pool = (data.split(section.split) if section.split else data).labelled()
    blank = is_blank(pool) if section.drop_blank else np.zeros(len(pool), bool)
    conflicting = in_conflict(pool) & ~blank if section.drop_conflicting else np.zeros(len(pool), bool)
    pool = pool.select(~blank & ~conflicting)
    validation: LabeledImages | None = None
    if section.validation_split:
        validation = data.split(section.validation_split).labelled()
    elif section.validation:
        held_out = grouped_holdout(pool, section.validation, seed)
        validation, pool = pool.select(held_out), pool.select(~held_out)
    if not len(pool):
        raise DataError(f"{data.source}: no labelled images to train on")
    return TrainingData(pool, validation, int(blank.sum()), int(conflicting.sum()))


def is_blank(data: LabeledImages) -> npt.NDArray[np.bool_]:
    """Mask (N,) of pictures that have one value in every pixel."""
    flat = data.images.reshape(len(data), -1)
    return np.asarray(flat.min(axis=1) == flat.max(axis=1))


def groups(data: LabeledImages) -> npt.NDArray[np.int64]:
    """Group number (N,): equal for identical pictures."""
    return np.unique(data.hashes(), return_inverse=True)[1].astype(np.int64)


def in_conflict(data: LabeledImages) -> npt.NDArray[np.bool_]:
    """Mask (N,) of pictures that occur with more than one label."""
    group = groups(data)
    lowest = np.full(group.max(initial=-1) + 1, np.iinfo(np.int64).max)
    highest = np.full_like(lowest, -1)
    np.minimum.at(lowest, group, data.labels)
    np.maximum.at(highest, group, data.labels)
    return np.asarray((lowest != highest)[group])


def grouped_holdout(data: LabeledImages, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Mask (N,) of a stratified sample in which identical pictures stay on one side."""
    rng = np.random.default_rng([seed, 1])
    group = groups(data)
    held_out = np.zeros(len(data), bool)
    for label in np.unique(data.labels):
        members = np.unique(group[data.labels == label])
        chosen = rng.permutation(members)[: round(fraction * len(members))]
        held_out |= np.isin(group, chosen) & (data.labels == label)
    return held_out


def one_hot(data: LabeledImages) -> npt.NDArray[np.float32]:
    """Targets (N, classes) float32."""
    return np.eye(len(data.class_names), dtype=np.float32)[data.labels]


def with_channels(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(N, H, W) -> (N, H, W, 1); colour pictures stay as they are."""
    return images[..., None] if images.ndim == 3 else images


class EpochBatches(keras.utils.PyDataset):
    """Augmented batches; every batch depends on (seed, epoch, index) alone, so that a resumed run
    sees what an uninterrupted one would have seen."""

    def __init__(
        self, data: LabeledImages, augment: AugmentSection, batch_size: int, seed: int, epoch: int = 0
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._images = with_channels(data.images)
        self._targets = one_hot(data)
        self._augment = augment
        self._batch_size = min(batch_size, len(data))
        self._seed = seed
        self._start(epoch)

    def __len__(self) -> int:
        # The last, smaller batch is left out: its batch statistics are noisier.
        return math.floor(len(self._images) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        rng = np.random.default_rng([self._seed, 2, self._epoch, index])
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        images = augment_batch(self._images[rows], self._augment, rng)
        targets = self._targets[rows]
        if self._augment.mixup:
            images, targets = mixup(images, targets, self._augment.mixup, rng)
        return images, targets

    def on_epoch_end(self) -> None:
        self._start(self._epoch + 1)

    def _start(self, epoch: int) -> None:
        self._epoch = epoch
        rng = np.random.default_rng([self._seed, 3, epoch])
        self._order = rng.permutation(len(self._images))

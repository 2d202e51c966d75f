"""The batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import fit_pictures
from edge_runtime.datasets.base import UNLABELLED
from train.augment import augment_batch, mixup
from train.data import TrainingData, class_weights
from train.recipe import Recipe

FloatArray = npt.NDArray[np.float32]


class EpochBatches(keras.utils.PyDataset):
    """Augmented batches; every batch depends on (seed, epoch, index) alone, so that a resumed run
    sees what an uninterrupted one would have seen."""

    picture_px = 0
    """Height and width that pictures are shrunk to at last; 0 leaves them as they are."""

    def __init__(self, data: TrainingData, recipe: Recipe, seed: int, epoch: int = 0) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._images = data.train.images
        self._input = data.input
        self._targets = task_targets(data.targets, recipe)
        self._weights = None
        if recipe.train.class_weights:
            labelled = data.train.labels != UNLABELLED
            labels = data.train.labels[labelled]
            self._weights = np.ones(len(labelled), np.float32)
            self._weights[labelled] = class_weights(labels, data.targets.shape[1])[labels]
        self._augment = recipe.augment
        self._batch_size = min(recipe.train.batch_size, len(data.train))
        self._seed = seed
        self.start(epoch)

    def __len__(self) -> int:
        # The last, smaller batch is left out: its batch statistics are noisier.
        return len(self._images) // self._batch_size

    def __getitem__(self, index: int) -> tuple[FloatArray, ...]:
        rng = np.random.default_rng([self._seed, 2, self._epoch, index])
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        images, targets = self._pictures(rows, rng), self._row_targets(rows)
        if self._augment.mixup:
            images, targets = mixup(images, targets, self._augment.mixup, rng)
        if self.picture_px:
            images = shrink(images, self.picture_px)
        if self._weights is None:
            return images, targets
        return images, targets, self._weights[rows]

    def on_epoch_end(self) -> None:
        self.start(self._epoch + 1)

    def start(self, epoch: int) -> None:
        """Give the batches of an epoch from now on."""
        self._epoch = epoch
        rng = np.random.default_rng([self._seed, 3, epoch])
        self._order = rng.permutation(len(self._images))

    def _pictures(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
        return augment_batch(fit_pictures(self._images[rows], self._input), self._augment, rng)

    def _row_targets(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        return self._targets[rows]


def untuned(batches: EpochBatches) -> Any:
    """The batches as `fit` takes them on this backend; whoever calls it starts their epochs.

    On TensorFlow a dataset that does not tune itself, as Keras would let it: the tuner sleeps ever longer,
    and the end of an epoch waits for it to wake, up to as long again as the epoch took (TensorFlow 2.21).
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    def epoch() -> Iterator[tuple[FloatArray, ...]]:
        return (batches[index] for index in range(len(batches)))

    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0])
    dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).with_options(options)


def shrink(images: FloatArray, size_px: int) -> FloatArray:
    """Pictures (N, H, W, C) as (N, size_px, size_px, C), every pixel the mean of those it covers."""
    result = np.empty((len(images), size_px, size_px, images.shape[3]), np.float32)
    for index, image in enumerate(images):
        small = cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA)
        result[index] = small.reshape(result.shape[1:])
    return result


def task_targets(targets: FloatArray, recipe: Recipe) -> FloatArray:
    """What the loss compares outputs with: (N, classes), or (N, 1) of the positive class."""
    return targets[:, 1:] if recipe.model.task == "sigmoid" else targets

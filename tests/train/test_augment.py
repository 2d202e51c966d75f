"""Augmentation: repeatable, in range, and nothing where nothing is asked."""

from __future__ import annotations

import numpy as np
import pytest

from train.augment import augment_batch, mixup
from train.sections import AugmentSection

ALL = AugmentSection(
    flip=True, rotation_deg=20, shift=0.2, scale=0.2, brightness=0.3, contrast=0.5, erase=0.5
)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 1), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_same_seed_same_pictures(channels: int) -> None:
    images = np.repeat(IMAGES, channels, axis=3)
    first, again, other = (augment_batch(images, ALL, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert first.shape == images.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 255


def test_nothing_asked_nothing_changed() -> None:
    assert np.array_equal(augment_batch(IMAGES, AugmentSection(), np.random.default_rng(0)), IMAGES)


def test_flip_mirrors_about_half() -> None:
    result = augment_batch(
        np.repeat(IMAGES, 25, axis=0), AugmentSection(flip=True), np.random.default_rng(0)
    )
    mirrored = sum(
        np.array_equal(out, np.repeat(IMAGES, 25, axis=0)[i][:, ::-1]) for i, out in enumerate(result)
    )
    assert 60 < mirrored < 140


def test_mixup_keeps_targets_a_distribution() -> None:
    targets = np.eye(8, dtype=np.float32)
    images, mixed = mixup(IMAGES.astype(np.float32), targets, 0.4, np.random.default_rng(3))
    assert mixed.sum(axis=1) == pytest.approx(np.ones(8))
    means = (mixed * IMAGES.mean(axis=(1, 2)).ravel()).sum(axis=1)
    assert (mixed.max(axis=1) < 1).any()
    assert images.mean(axis=(1, 2, 3)) == pytest.approx(means, rel=1e-4)

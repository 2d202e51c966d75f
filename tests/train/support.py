"""Tiny data and recipes for tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.datasets import LabeledImages

CLASSES = ("angry", "happy", "sad")


def faces(
    count: int = 60, size: int = 16, seed: int = 0, classes: tuple[str, ...] = CLASSES
) -> LabeledImages:
    """Pictures whose class is where their bright bar lies; the last sixth is PublicTest."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(classes)
    images = rng.integers(0, 120, (count, size, size), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 120
    splits = np.where(np.arange(count) < count - count // 6, "Training", "PublicTest")
    return LabeledImages(images, labels, classes, splits, "memory")


def write_npz(path: Path, data: LabeledImages) -> Path:
    np.savez(
        path,
        pixels=data.images,
        emotion=data.labels,
        usage=data.splits,
        class_names=np.array(data.class_names),
    )
    return path


RECIPE = """
description = "tiny"
[model]
architecture = "edge_resnet"
parameters = { stem = 4, widths = [8], blocks = [1], dropout = 0.3 }
[data]
validation = 0.2
[augment]
flip = true
shift = 0.1
mixup = 0.2
[train]
epochs = 2
batch_size = 8
learning_rate = 0.05
weight_decay = 1e-3
warmup_epochs = 1
"""


def write_recipe(path: Path, text: str = RECIPE) -> Path:
    path.write_text(text)
    return path


def interrupt_at(patch: pytest.MonkeyPatch, method: str, count: int, moment: str) -> None:
    """Have Ctrl-C come before or after the `count`-th call of a method of the loop's callback."""
    from train import loop

    original, calls = getattr(loop._EpochEnd, method), 0

    def interrupted(self: Any, *arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == count and moment == "before":
            raise KeyboardInterrupt
        original(self, *arguments, **named)
        if calls == count:
            raise KeyboardInterrupt

    patch.setattr(loop._EpochEnd, method, interrupted)


def compute_eagerly(patch: pytest.MonkeyPatch) -> None:
    """Have models compute step by step: tracing a graph takes longer than the few steps of a test."""
    import keras

    # The class that defines it: a loaded model is compiled only if `compile` was not overridden.
    owner = next(kind for kind in keras.Model.__mro__ if "compile" in vars(kind))
    compile_model = owner.compile

    def compile_eagerly(model: Any, *arguments: Any, **named: Any) -> None:
        compile_model(model, *arguments, **{**named, "run_eagerly": True})

    patch.setattr(owner, "compile", compile_eagerly)

"""The batches of an epoch, composed while the network learns from the one before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from train.detection.scenes import SceneMaker
from train.detection.targets import assign, normalize

Batch = tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]


def compose(
    maker: SceneMaker,
    input_hw: tuple[int, int],
    batch_size: int,
    box_weight: float,
    rng: np.random.Generator,
) -> Batch:
    """One batch.

    Returns:
        pixels (N, height, width, 1) float32 0..255, and targets per output of the model, see
        `train.detection.loss`.
    """
    pixels = np.empty((batch_size, *input_hw, 1), np.float32)
    parts: list[list[npt.NDArray[np.float32]]] = []
    for row in range(batch_size):
        scene = maker.make(rng)
        pixels[row, ..., 0] = scene.pixels
        parts.append([map_ for pair in assign(scene.boxes, scene.visible, input_hw) for map_ in pair])
    targets = [np.stack(column) for column in zip(*parts, strict=True)]
    return pixels, normalize(targets, box_weight)


def epoch_batches(
    maker: SceneMaker,
    input_hw: tuple[int, int],
    batch_size: int,
    box_weight: float,
    *,
    steps: int,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """Batches that depend on (seed, epoch, index) alone, so that a resumed run sees what an
    uninterrupted one would have seen."""

    def batch(index: int) -> Batch:
        rng = np.random.default_rng([seed, 2, epoch, index])
        return compose(maker, input_hw, batch_size, box_weight, rng)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batch, 0)
        for index in range(steps):
            ready = ahead.result()
            if index + 1 < steps:
                ahead = pool.submit(batch, index + 1)
            yield ready

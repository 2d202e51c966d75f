"""Exponential moving average of a model's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt


class WeightAverage:
    """Average over batches of all weights, batch-normalization statistics among them.

    The first batches count evenly (the decay grows from 0 to `decay`), so that the random weights of
    the start are forgotten soon.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._count = 0
        self._values: list[npt.NDArray] = []

    def update(self, model: keras.Model) -> None:
        values = model.get_weights()
        if not self._values:
            self._values = [value.astype(np.float64) for value in values]
        self._count += 1
        decay = min(self._decay, self._count / (self._count + 10))
        for average, value in zip(self._values, values, strict=True):
            average += (1 - decay) * (value - average)

    def swap_into(self, model: keras.Model) -> list[npt.NDArray]:
        """Put the average into the model and return the weights that were there."""
        before = model.get_weights()
        if self._values:
            model.set_weights(
                [value.astype(old.dtype) for value, old in zip(self._values, before, strict=True)]
            )
        return before

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {f"w{i}": value for i, value in enumerate(self._values)}
        np.savez(path, count=self._count, **arrays)

    def load(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as archive:
            self._count = int(archive["count"])
            self._values = [archive[f"w{i}"] for i in range(len(archive.files) - 1)]

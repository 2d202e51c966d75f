"""The weights that a run starts from (`--start`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy.typing as npt

from edge_runtime.errors import UsageError
from train.grow import grow
from train.narrow import narrow

NARROWING_PICTURES = 1024


def copy_weights(
    source: keras.Model,
    path: Path,
    model: keras.Model,
    seed: int,
    pictures: Callable[[], npt.NDArray[Any]],
) -> None:
    """Put the weights of a trained model into one of the same architecture, of any size.

    Args:
        path: where the trained model is from, for messages.
        seed: as in `grow`.
        pictures: gives `NARROWING_PICTURES` for `narrow`, asked for only if the model is narrower.

    Raises:
        UsageError: the architectures differ, or the model is neither a larger nor a narrower form.
    """
    weights = source.get_weights()
    if [value.shape for value in weights] == [value.shape for value in model.get_weights()]:
        model.set_weights(weights)
        return
    before, after = source.count_params(), model.count_params()
    try:
        if after < before:
            narrow(source, model, pictures())
        else:
            grow(source, model, seed)
    except ValueError as error:
        raise UsageError(
            f"--start {path}: the recipe's network is neither a larger nor a narrower form of that one "
            f"({error})"
        ) from None
    change = "narrowed" if after < before else "grown"
    print(f"--start {path}: {before:,} parameters, {change} to {after:,}", file=sys.stderr)

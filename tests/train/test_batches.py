"""Batches as the training loop takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from tests.train.support import RECIPE, faces, write_npz, write_recipe
from train.__main__ import main
from train.batches import EpochBatches, untuned
from train.fit import FitOptions, load_prepared
from train.recipe import load_recipe

pytestmark = pytest.mark.host


def test_fit_takes_every_batch_of_every_epoch_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[int, int]] = []
    original = EpochBatches.__getitem__

    def watched(self: EpochBatches, index: int) -> tuple[np.ndarray, ...]:
        taken.append((self._epoch, index))
        return original(self, index)

    monkeypatch.setattr(EpochBatches, "__getitem__", watched)
    data = write_npz(tmp_path / "faces.npz", faces(120))
    recipe = write_recipe(tmp_path / "three.toml", RECIPE.replace("epochs = 2", "epochs = 3"))
    verb = ["fit", "--recipe", str(recipe), "--data", str(data), "--out", str(tmp_path / "run")]
    assert main(verb) == 0
    count = max(index for _, index in taken) + 1
    assert count > 2
    # One is looked at beforehand, for its form.
    assert taken[1:] == [(epoch, index) for epoch in range(3) for index in range(count)]


def test_tensorflow_does_not_tune_their_flow(tmp_path: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("another backend's batches are Keras' own")
    recipe = load_recipe(str(write_recipe(tmp_path / "tiny.toml")))
    prepared = load_prepared(recipe, write_npz(tmp_path / "faces.npz", faces()), FitOptions())
    batches = EpochBatches(prepared, recipe, seed=0)
    dataset = untuned(batches)
    assert dataset.options().autotune.enabled is False
    assert int(dataset.cardinality()) == len(batches)
    for index, (pictures, targets) in enumerate(dataset):
        np.testing.assert_array_equal(pictures, batches[index][0])
        np.testing.assert_array_equal(targets, batches[index][1])

"""The transfer recipes as documented: local weights, head first, then chosen deeper layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.datasets import FER2013_LABELS
from tests.train.support import compute_eagerly, faces, write_npz
from train import fit, run
from train.__main__ import main
from train.inference import predict_outputs
from train.recipe import load_recipe

pytestmark = pytest.mark.host

NETWORKS = {
    "vgg16": (keras.applications.VGG16, "block1_conv1"),
    "resnet50": (keras.applications.ResNet50, "conv1_conv"),
    "resnet50v2": (keras.applications.ResNet50V2, "conv1_conv"),
}
SIZE_PX = 32


@dataclass
class Written:
    """What `fit` would have written."""

    model: Any = None
    contract: Any = None


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """Keep hundreds of megabytes off the disk, and deep graphs from being traced for one step each."""
    result = Written()

    def keep(path: Path, model: Any, contract: Any) -> None:
        result.model, result.contract = model, contract

    monkeypatch.setattr(fit, "write_model", keep)
    monkeypatch.setattr(run.RunFolder, "save", lambda *arguments: None)
    monkeypatch.setattr(run.RunFolder, "save_best", lambda *arguments: None)
    monkeypatch.setattr(run.RunFolder, "load_best", lambda *arguments: None)
    compute_eagerly(monkeypatch)
    return result


@pytest.mark.parametrize("name", list(NETWORKS))
def test_two_phases_from_local_weights(tmp_path: Path, written: Written, name: str) -> None:
    application, first_conv = NETWORKS[name]
    source = application(include_top=False, weights=None, input_shape=(SIZE_PX, SIZE_PX, 3))
    before = {layer.name: [w.numpy() for w in layer.trainable_weights] for layer in source.layers}
    weights = tmp_path / f"{name}_notop.h5"
    source.save(weights, include_optimizer=False)
    data = replace(faces(14, SIZE_PX, classes=FER2013_LABELS), splits=np.full(14, "Training"))
    arguments = ["--data", str(write_npz(tmp_path / "faces.npz", data)), "--weights", str(weights)]
    assert main(["fit", "--recipe", name, "--epochs", "1", "--out", str(tmp_path / "run"), *arguments]) == 0
    weights.unlink()
    assert written.contract.input.color == "rgb"
    assert np.isfinite(predict_outputs(written.model, data.images, written.contract.input)).all()
    (deeper,) = load_recipe(name).phases
    changed, kept = [], []
    for layer in written.model.layers:
        if not before.get(layer.name) or layer.name == first_conv:
            continue
        after = [w.numpy() for w in layer.trainable_weights]
        same = all(np.array_equal(a, b) for a, b in zip(before[layer.name], after, strict=True))
        if any(fnmatch(layer.name, pattern) for pattern in deeper.train_layers):
            changed.append(not same)
        else:
            kept.append(same)
    assert len(changed) > 3
    assert all(changed)
    assert len(kept) > 3
    assert all(kept)

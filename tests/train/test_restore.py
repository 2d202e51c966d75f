"""A released model as a Keras model that learns again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")

from edge_runtime.classifier import Classifier, resolve_model
from edge_runtime.datasets import LabeledImages
from tests.train.support import RECIPE, compute_eagerly, faces, write_npz, write_recipe
from train import restore as module
from train.__main__ import main
from train.distill import load_teacher
from train.inference import load_trained
from train.restore import read_folded
from train.unfold import fill

pytestmark = pytest.mark.host

NAME, RECIPE_NAME = "edge-fer-nano", "edge-fer-nano-dilated"


def smooth_faces(count: int = 80) -> LabeledImages:
    """Pictures of 48x48 with the released models' labels, whose changes are as slow as a face's."""
    labels = Classifier.load(NAME).contract.labels
    data = faces(count, size=48, seed=3, classes=labels)
    rough = np.random.default_rng(4).uniform(0, 255, (count, 6, 6))
    images = np.stack([np.kron(picture, np.ones((8, 8))) for picture in rough]).astype(np.uint8)
    return LabeledImages(images, data.labels, labels, data.splits, "memory")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("data") / "faces.npz", smooth_faces())


@pytest.fixture(scope="module")
def restored(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "nano"
    verb = ["restore", "--model", NAME, "--recipe", RECIPE_NAME, "--data", str(data)]
    assert main([*verb, "--out", str(out)]) == 0
    return out


def test_it_computes_what_the_released_file_computes(restored: Path) -> None:
    trained, released = load_trained(restored), Classifier.load(NAME)
    images = smooth_faces().images
    exact, rounded = trained.probabilities(images), released.predict(list(images))
    assert np.abs(exact - rounded).max() < 0.05
    changes = [(answers - answers.mean(axis=0)).ravel() for answers in (exact, rounded)]
    assert np.corrcoef(*changes)[0, 1] > 0.95
    contract = trained.contract
    assert (contract.temperature, contract.labels) == (
        released.contract.temperature,
        released.contract.labels,
    )
    assert contract.producer["restored_from_sha256"] == released.file.sha256
    assert (contract.graph_sha256, contract.self_test) == ("", None)


def test_normalization_by_the_batch_changes_little(restored: Path) -> None:
    """What the next step of training sees: without measured moments it would be another network."""
    model = load_trained(restored).model
    pictures = smooth_faces().images[..., None].astype(np.float32)
    exact, trained = np.asarray(model(pictures)), np.asarray(model(pictures, training=True))
    assert np.corrcoef(exact.ravel(), trained.ravel())[0, 1] > 0.95


def test_a_new_round_starts_from_it(
    restored: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_eagerly(monkeypatch)
    text = RECIPE.replace(
        "{ stem = 4, widths = [8], blocks = [1], dropout = 0.3 }",
        "{ stem = 16, widths = [16, 32, 40], blocks = [2, 1, 1], dilated = true }",
    ).replace("learning_rate = 0.05", "learning_rate = 1e-9")
    recipe = write_recipe(tmp_path / "more.toml", text)
    verb = ["fit", "--recipe", str(recipe), "--data", str(data), "--epochs", "1"]
    assert main([*verb, "--start", str(restored), "--out", str(tmp_path / "more")]) == 0
    before, after = (load_trained(path).model for path in (restored, tmp_path / "more"))
    np.testing.assert_allclose(
        after.get_layer("stage3_block1_2_conv").get_weights()[0],
        before.get_layer("stage3_block1_2_conv").get_weights()[0],
        atol=1e-4,
    )


def test_a_run_is_not_overwritten(restored: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = (restored / "model.keras").read_bytes()
    verb = ["restore", "--model", NAME, "--recipe", RECIPE_NAME, "--data", str(data)]
    assert main([*verb, "--out", str(restored)]) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert (restored / "model.keras").read_bytes() == model


@pytest.mark.parametrize(
    ("model", "recipe", "reason"),
    [
        (NAME, "edge-fer-small", "is no layer of that network"),
        ("edge-fer-small", RECIPE_NAME, "its layer 'stage1_down_conv' has the shape"),
        (NAME, "mini-xception", "with this data takes (64, 64, 1)"),
        ("edge-face", RECIPE_NAME, "a classifier is needed"),
        ("edge-fer-huge", RECIPE_NAME, "no model 'edge-fer-huge'"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: str, recipe: str, reason: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ["restore", "--model", model, "--recipe", recipe, "--data", str(data)]
    assert main([*verb, "--out", str(tmp_path / "out")]) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_data_with_other_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_npz(tmp_path / "three.npz", faces(size=48))
    verb = ["restore", "--model", NAME, "--recipe", RECIPE_NAME, "--data", str(other)]
    assert main([*verb, "--out", str(tmp_path / "out")]) == 2
    assert "names angry, happy, sad" in capsys.readouterr().err


def test_a_network_that_answers_otherwise_is_not_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def halve(model: Any, folded: Any, pictures: Any) -> None:
        fill(model, folded, pictures)
        logits = model.get_layer("logits")
        logits.set_weights([-value for value in logits.get_weights()])

    monkeypatch.setattr(module, "fill", halve)
    verb = ["restore", "--model", NAME, "--recipe", RECIPE_NAME, "--data", str(data)]
    assert main([*verb, "--out", str(tmp_path / "out")]) == 1
    assert "answers otherwise, correlation -" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_of_a_dead_filter_are_finite() -> None:
    from train.models import build_model

    sizes = {"stem": 16, "widths": [16, 32, 40], "blocks": [2, 1, 1]}
    model = build_model("edge_resnet", (48, 48, 1), 7, **sizes, dilated=True)
    folded = read_folded(Classifier.load(NAME).file.data, model)
    folded["stem_conv"].kernel[..., 3] = 0
    fill(model, folded, smooth_faces(8).images[..., None].astype(np.float32))
    assert all(np.isfinite(value).all() for value in model.get_weights())


@pytest.mark.parametrize("path", [Path(NAME), resolve_model(NAME)])
def test_a_released_model_teaches_like_its_restored_form(path: Path, restored: Path) -> None:
    pictures = smooth_faces().images[..., None].astype(np.float32)
    answers = []
    for teacher in (load_teacher(path), load_teacher(restored)):
        logits = teacher.logits(pictures)
        answers.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    assert np.abs(answers[0] - answers[1]).mean() < 0.01
    assert load_teacher(path).sha256 == Classifier.load(NAME).file.sha256


def test_on_its_own_data_it_knows_what_was_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = Classifier.load(NAME).contract.producer["train_sha256"]
    monkeypatch.setattr(LabeledImages, "digest", lambda self: digest)
    data, run = write_npz(tmp_path / "faces.npz", smooth_faces(280)), tmp_path / "run"
    verb = ["restore", "--model", NAME, "--recipe", RECIPE_NAME, "--data", str(data)]
    assert main([*verb, "--out", str(run)]) == 0
    assert "which were held out is not known" not in capsys.readouterr().err
    verb = ["evaluate", "--model", str(run), "--data", str(data), "--split", "held-out"]
    assert main([*verb, "--format", "json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)[0]["n"] < 40

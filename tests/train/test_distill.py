"""Distillation: its loss, its targets, and that teachers answer once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.errors import UsageError
from tests.train.support import (
    CLASSES,
    RECIPE,
    compute_eagerly,
    faces,
    interrupt_at,
    write_npz,
    write_recipe,
)
from train import distill as module
from train.__main__ import main
from train.batches import EpochBatches
from train.data import TrainingData
from train.distill import Distillation, DistillationLoss, accuracy, view_pictures
from train.fit import FitOptions, load_prepared
from train.inference import load_trained
from train.recipe import Recipe, load_recipe
from train.unlabelled import with_unlabelled

pytestmark = pytest.mark.host


def test_loss_is_the_weighted_sum_of_both_cross_entropies() -> None:
    logits = np.array([[2.0, 0.0, -1.0]], np.float32)
    labels, answers = np.array([[0.0, 1.0, 0.0]]), np.array([[0.2, 0.5, 0.3]])

    def cross_entropy(target: np.ndarray, values: np.ndarray) -> float:
        return float(-(target * (values - np.log(np.exp(values).sum()))).sum())

    targets = np.concatenate([labels, answers], axis=1).astype(np.float32)
    expected = 0.4 * cross_entropy(labels, logits) + 0.6 * 4 * cross_entropy(answers, logits / 2)
    assert float(DistillationLoss(2.0, 0.6)(targets, logits)) == pytest.approx(expected, rel=1e-5)
    assert float(accuracy(targets, logits)[0]) == 0
    assert DistillationLoss.from_config(DistillationLoss(2.0, 0.6, 0.1).get_config()).label_smoothing == 0.1


def test_interrupted_distillation_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, recipe = write_npz(tmp_path / "faces.npz", faces()), write_recipe(tmp_path / "tiny.toml", RECIPE)
    base = ["--recipe", str(recipe), "--data", str(data), "--deterministic"]
    teacher = tmp_path / "teacher"
    verb = ["distill", *base, "--teacher", str(teacher), "--views", "2"]
    with monkeypatch.context() as steps:
        compute_eagerly(steps)
        assert main(["fit", *base, "--epochs", "1", "--out", str(teacher)]) == 0
        assert main([*verb, "--out", str(tmp_path / "whole")]) == 0
        with monkeypatch.context() as patch:
            interrupt_at(patch, "on_train_batch_end", 7, "before")
            assert main([*verb, "--out", str(tmp_path / "cut")]) == 130
        with monkeypatch.context() as patch:
            # The answers are in the run folder; nobody is asked again.
            patch.setattr(module, "_soft", None)
            assert main([*verb, "--out", str(tmp_path / "cut")]) == 0
    with monkeypatch.context() as patch:
        # Nor for a second round, which runs the graph that users run.
        patch.setattr(module, "_soft", None)
        again = [*verb, "--start", str(tmp_path / "cut"), "--out", str(tmp_path / "again")]
        assert main([*again, "--epochs", "1"]) == 0
    images = faces().images
    whole, cut = (load_trained(tmp_path / run).logits(images) for run in ("whole", "cut"))
    assert np.array_equal(whole, cut)
    capsys.readouterr()
    assert main([*verb, "--out", str(tmp_path / "cut"), "--temperature", "2"]) == 1
    assert "holds a run of another recipe" in capsys.readouterr().err
    assert main([*verb, "--out", str(tmp_path / "cut"), "--share", "2"]) == 2


@pytest.mark.parametrize("flip", [True, False])
def test_answers_are_those_to_a_view_and_its_mirror_image(tmp_path: Path, flip: bool) -> None:
    recipe = load_recipe(str(write_recipe(tmp_path / "tiny.toml")))
    recipe = replace(recipe, augment=replace(recipe.augment, flip=flip))
    data = write_npz(tmp_path / "faces.npz", faces())
    prepared = load_prepared(recipe, data, FitOptions())

    def sides(pictures: np.ndarray) -> np.ndarray:
        """One class for what is bright on the left, one on the right."""
        left, right = np.split(pictures, 2, axis=2)
        return np.stack([left.mean(axis=(1, 2, 3)), right.mean(axis=(1, 2, 3))], axis=1)

    teacher = module.Teacher(tmp_path, SimpleNamespace(), "digest", sides)  # type: ignore[arg-type]
    answers = module._answers(0, [teacher], prepared, recipe, Distillation(), 0, [tmp_path])
    assert bool(np.allclose(answers, 0.5, atol=1e-5)) == flip


def test_a_later_round_sees_other_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(str(write_recipe(tmp_path / "tiny.toml")))
    prepared = load_prepared(recipe, write_npz(tmp_path / "faces.npz", faces()), FitOptions())
    seen = []

    def watched(data: TrainingData, recipe: Recipe, rows: np.ndarray, view: int, seed: int) -> np.ndarray:
        seen.append(view)
        return view_pictures(data, recipe, rows, view, seed)

    monkeypatch.setattr(module, "view_pictures", watched)
    settings = Distillation(views=2, first_view=3)
    answers = [np.zeros((len(prepared.train), len(CLASSES)), np.float32)] * 2
    for epoch in range(3):
        module._DistillBatches(prepared, recipe, 0, answers, epoch, settings.first_view)[0]
    assert seen == [3, 4, 3]
    assert list(settings.numbers()) == [3, 4]
    # Runs of before are resumed.
    assert Distillation(views=2).to_json() == [3.0, 0.7, 2]
    assert settings.to_json() != Distillation(views=2, first_view=4).to_json()
    with pytest.raises(UsageError, match="first-view"):
        Distillation(first_view=-1)


def test_a_student_learns_in_16_bits_from_a_teacher_in_32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_eagerly(monkeypatch)
    monkeypatch.setattr("train.devices.has_gpu", lambda: False)
    monkeypatch.setattr("train.devices.multiplies_bfloat16", lambda: True)
    data, recipe = write_npz(tmp_path / "faces.npz", faces()), write_recipe(tmp_path / "tiny.toml", RECIPE)
    base = ["--recipe", str(recipe), "--data", str(data), "--epochs", "1"]
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    assert main(["fit", *base, "--out", str(teacher)]) == 0
    verb = ["distill", *base, "--teacher", str(teacher), "--views", "1", "--mixed-precision"]
    try:
        assert main([*verb, "--out", str(student)]) == 0
    finally:
        keras.mixed_precision.set_global_policy("float32")
    trained_in = keras.saving.load_model(next(student.glob("checkpoint-*.keras")))
    assert trained_in.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert load_trained(student).model.get_layer("stem_conv").compute_dtype == "float32"


def test_faces_without_labels_are_learned_from_as_the_teachers_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compute_eagerly(monkeypatch)
    data, recipe = write_npz(tmp_path / "faces.npz", faces()), write_recipe(tmp_path / "tiny.toml", RECIPE)
    (tmp_path / "own").mkdir()
    for index, picture in enumerate(faces(count=20, seed=1).images):
        cv2.imwrite(str(tmp_path / "own" / f"{index}.png"), picture)
    base = ["--recipe", str(recipe), "--data", str(data), "--deterministic", "--epochs", "1"]
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    assert main(["fit", *base, "--out", str(teacher)]) == 0
    seen: list[tuple[int, np.ndarray]] = []
    batches = module._DistillBatches

    def watched(data: TrainingData, *others: Any) -> Any:
        seen.append((len(data.train), data.targets))
        return batches(data, *others)

    monkeypatch.setattr(module, "_DistillBatches", watched)
    verb = ["distill", *base, "--teacher", str(teacher), "--views", "2", "--temperature", "1"]
    verb += ["--out", str(student)]
    assert main([*verb, "--unlabelled", str(tmp_path / "own"), "--detector", "none"]) == 0
    labelled = len(load_prepared(load_recipe(str(recipe)), data, FitOptions()).train)
    assert seen[0][0] == labelled + 20
    views = [np.load(student / f"teachers-0{view}.npz")["probabilities"] for view in range(2)]
    assert np.allclose(seen[0][1][labelled:], np.mean(views, axis=0)[labelled:], atol=1e-6)
    # What was held out is still told from what was not, and the run is known by its faces.
    assert main(["evaluate", "--model", str(student), "--data", str(data), "--split", "held-out"]) == 0
    assert main(verb) == 1
    assert "holds a run of another recipe" in capsys.readouterr().err


def test_classes_are_weighed_without_the_pictures_that_have_none(tmp_path: Path) -> None:
    recipe = load_recipe(str(write_recipe(tmp_path / "tiny.toml")))
    recipe = replace(recipe, train=replace(recipe.train, class_weights=True))
    prepared = load_prepared(recipe, write_npz(tmp_path / "faces.npz", faces()), FitOptions())
    count = len(prepared.train)
    own = with_unlabelled(prepared, faces(count=20, seed=1).images)
    weights = EpochBatches(own, recipe, seed=0)._weights
    assert weights is not None
    assert np.array_equal(weights[:count], EpochBatches(prepared, recipe, seed=0)._weights)
    assert (weights[count:] == 1).all()


def test_a_teacher_with_one_sigmoid_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, recipe = write_npz(tmp_path / "faces.npz", faces()), write_recipe(tmp_path / "tiny.toml")
    contract = SimpleNamespace(labels=CLASSES, task="sigmoid")
    monkeypatch.setattr(module, "load_teacher", lambda path: SimpleNamespace(path=path, contract=contract))
    with pytest.raises(UsageError, match="need the same softmax labels"):
        module.distill(
            load_recipe(str(recipe)), [tmp_path], data, tmp_path / "out", Distillation(), FitOptions()
        )

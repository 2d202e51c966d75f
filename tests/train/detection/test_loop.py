"""Training end to end on a dozen tiny pictures."""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.host

from edge_runtime.detectors.decoding import Decoding  # noqa: E402
from edge_runtime.errors import DataError, UsageError  # noqa: E402
from edge_runtime.modelfile import read_keras_contract  # noqa: E402
from tests.train.detection.support import RECIPE, boxed_images, write_yolo  # noqa: E402
from tests.train.support import compute_eagerly  # noqa: E402
from train.detection import loop  # noqa: E402
from train.detection.command import fit_if_detector  # noqa: E402
from train.detection.evaluate import quality, threshold_for_alarms  # noqa: E402
from train.detection.recipe import DetectionRecipe, DetectionScheduleSection, detection_recipe  # noqa: E402


def recipe(epochs: int = 2) -> DetectionRecipe:
    made = detection_recipe({"name": "tiny", **tomllib.loads(RECIPE)}, "tiny")
    return replace(made, train=replace(made.train, epochs=epochs))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(tmp_path_factory.mktemp("faces"), boxed_images())


def test_a_run_that_was_interrupted_ends_with_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_eagerly(monkeypatch)
    straight = loop.fit_detector(recipe(), data, tmp_path / "straight", seed=3)

    def interrupt(*arguments: object) -> dict[str, float]:
        if arguments[3] == 1:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    train_epoch = loop._train_epoch
    monkeypatch.setattr(loop, "_train_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.fit_detector(recipe(), data, tmp_path / "resumed", seed=3)
    assert not (tmp_path / "resumed" / loop.MODEL_NAME).exists()
    monkeypatch.setattr(loop, "_train_epoch", train_epoch)
    # As an older edge-fer, which knew fewer settings, would have written it.
    state = json.loads((tmp_path / "resumed" / loop.STATE_NAME).read_text())
    del state["identity"]["recipe"]["scenes"]["clutter"]
    (tmp_path / "resumed" / loop.STATE_NAME).write_text(json.dumps(state))
    resumed = loop.fit_detector(recipe(), data, tmp_path / "resumed", seed=3)
    first, second = (keras.saving.load_model(path).get_weights() for path in (straight, resumed))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    history = json.loads((tmp_path / "resumed" / loop.HISTORY_NAME).read_text())
    assert [row["epoch"] for row in history] == [1, 2]

    contract = read_keras_contract(straight)
    assert contract is not None
    assert contract.task == "detect"
    decoding = Decoding.from_json(contract.decoding)
    assert decoding.outputs == ("score_8", "box_8", "score_16", "box_16")
    # Rooms of the Training split: names 00, 06 and 09 (03 is validation).
    assert contract.validation["empty_pictures"] == 3
    assert contract.producer["train_images"] == 6

    with pytest.raises(DataError, match="another recipe"):
        loop.fit_detector(recipe(), data, tmp_path / "resumed", seed=4)
    with pytest.raises(DataError, match="begun to cool down"):
        loop.fit_detector(recipe(3), data, tmp_path / "resumed", seed=3)


def test_the_rate_warms_up_stays_and_cools_down() -> None:
    section = DetectionScheduleSection(epochs=10, learning_rate=1.0, warmup_epochs=2, cooldown_epochs=4)
    rates = [loop.learning_rate(section, progress) for progress in (0, 1, 2, 5, 6, 7, 10)]
    assert rates == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0])
    longer = replace(section, epochs=20)
    assert loop.learning_rate(longer, 6) == loop.learning_rate(section, 6)


def test_pictures_without_people_are_never_trained_on() -> None:
    prepared = loop.prepare(boxed_images(), recipe())
    assert not any(name.startswith("room_") for name in prepared.train.names)
    assert prepared.validation is not None
    assert not any(name.startswith("room_") for name in prepared.validation.names)
    assert prepared.alarms is not None
    assert all(name.startswith("room_") for name in prepared.alarms.names)


def test_splits_are_known_by_their_usual_spellings() -> None:
    made = recipe()
    spelled = replace(made, data=replace(made.data, split="train", validation_split="val"))
    given, expected = loop.prepare(boxed_images(), spelled), loop.prepare(boxed_images(), made)
    assert given.train.names == expected.train.names
    assert given.validation is not None
    assert expected.validation is not None
    assert given.validation.names == expected.validation.names
    assert given.alarms is not None


@pytest.mark.parametrize(
    ("option", "value"),
    [("qat", Path("run")), ("learning_rate", 0.1), ("mixed_precision", True), ("data_parallel", True)],
)
def test_options_of_classifiers_are_refused(option: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    options = argparse.Namespace(recipe=str(tmp_path / "tiny.toml"), **{option: value})
    with pytest.raises(UsageError, match=f"leave --{option.replace('_', '-')} out"):
        fit_if_detector(options)


def test_data_without_faces_is_refused() -> None:
    data = boxed_images()
    empty = replace(data, boxes=tuple(np.empty((0, 4), np.float32) for _ in data.boxes))
    with pytest.raises(DataError, match="no boxes"):
        loop.prepare(empty, recipe())


def test_the_threshold_keeps_alarms_within_the_rate() -> None:
    none = np.empty((0, 4))
    alarms = [(none, np.array([score])) for score in (0.9, 0.6, 0.4, 0.2)]
    at = threshold_for_alarms(alarms, 0.25, 0.1, 0.95)
    assert sum((scores >= at).sum() for _, scores in alarms) == 1
    assert threshold_for_alarms(alarms, 1.0, 0.1, 0.95) == 0.1


def test_recall_counts_tall_faces_alone() -> None:
    data = boxed_images(2)
    data = replace(
        data,
        boxes=(np.array([[10, 10, 20, 24], [50, 50, 3, 4]], np.float32), np.empty((0, 4), np.float32)),
    )
    found = [(np.array([[10, 10, 20, 22]]), np.array([0.8])), (np.empty((0, 4)), np.empty(0))]
    result = quality(found, data, [(np.ones((1, 4)), np.array([0.7]))], 0.5)
    assert (result.tall_faces, result.recall_tall, result.faces) == (1, 1.0, 2)
    assert (result.false_alarms, result.empty_pictures) == (1, 1)


def test_a_run_starts_from_the_weights_of_another(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe(1)
    first = loop.fit_detector(made, data, tmp_path / "first", seed=3)
    compute_eagerly(monkeypatch)
    still = replace(made, train=replace(made.train, learning_rate=1e-9))
    second = loop.fit_detector(still, data, tmp_path / "second", seed=4, start=tmp_path / "first")
    kernels = [
        keras.saving.load_model(path).get_layer("fine1_conv").get_weights()[0] for path in (first, second)
    ]
    np.testing.assert_allclose(*kernels, atol=1e-5)
    with pytest.raises(DataError, match="another recipe, seed"):
        loop.fit_detector(still, data, tmp_path / "second", seed=4)

    # The same weights in another file, without a contract, are the same start.
    keras.saving.load_model(first, compile=False).save(tmp_path / "bare.keras")
    loop.fit_detector(still, data, tmp_path / "second", seed=4, start=tmp_path / "bare.keras")

    # A wider network begins as one that computes the same.
    wide = replace(still, model=replace(made.model, parameters={**made.model.parameters, "fine": [12]}))
    grown = loop.fit_detector(wide, data, tmp_path / "wide", seed=4, start=first)
    pixels = np.stack([image[:48, :64, None] for image in boxed_images().images]).astype(np.float32)
    # And back: of two channels that say the same one is left out.
    back = loop.fit_detector(still, data, tmp_path / "narrow", seed=4, start=grown)
    answers = [
        keras.saving.load_model(path, compile=False).predict_on_batch(pixels)
        for path in (second, grown, back)
    ]
    for one, other, last in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
        np.testing.assert_allclose(one, last, atol=1e-2)
    told = capsys.readouterr().err
    assert "grown to" in told
    assert "narrowed to" in told
    deeper = replace(
        made, model=replace(made.model, parameters={**made.model.parameters, "coarse": [8, 8]})
    )
    with pytest.raises(UsageError, match="neither a larger nor a narrower form"):
        loop.fit_detector(deeper, data, tmp_path / "deeper", seed=3, start=first)
    with pytest.raises(UsageError, match="no Keras model"):
        loop.fit_detector(made, data, tmp_path / "none", seed=3, start=tmp_path / "nothing.keras")


def test_held_out_pictures_are_a_fixed_share_by_name() -> None:
    names = [f"desk_{index:04d}" for index in range(1200)]
    chosen = loop.held_out(names, 12)
    assert 70 <= chosen.sum() <= 130
    assert (loop.held_out(names[::-1], 12) == chosen[::-1]).all()


def test_held_out_pictures_are_not_trained_on() -> None:
    made = recipe()
    pictures = boxed_images()
    whole = loop.prepare(pictures, made).train
    part = loop.prepare(pictures, replace(made, data=replace(made.data, held_out_every=2))).train
    expected = [
        name for name, out in zip(whole.names, loop.held_out(whole.names, 2), strict=True) if not out
    ]
    assert list(part.names) == expected
    assert 0 < len(part) < len(whole)

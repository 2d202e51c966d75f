"""Another temperature and threshold for a converted model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")

from edge_runtime.classifier import Classifier
from tests.train.support import faces, write_npz
from train.__main__ import main

pytestmark = pytest.mark.host

NAME = "edge-fer-nano"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that are labelled as the model names them, but for every third."""
    model = Classifier.load(NAME)
    plain = faces(210, size=48, classes=model.contract.labels)
    rng = np.random.default_rng(5)
    rough = rng.uniform(0, 255, (len(plain.labels), 6, 6))
    images = np.stack([np.kron(picture, np.ones((8, 8))) for picture in rough]).astype(np.uint8)
    named = model.predict(list(images)).argmax(axis=1)
    labels = np.where(np.arange(len(named)) % 3 == 0, (named + 1) % 7, named)
    path = tmp_path_factory.mktemp("data") / "faces.npz"
    classes = plain.class_names
    return write_npz(path, type(plain)(images, labels, classes, plain.splits, "memory"))


def calibrate(data: Path, out: Path, *more: str, model: str = NAME) -> int:
    return main(["calibrate", "--model", model, "--data", str(data), "--out", str(out), *more])


def test_confidence_meets_the_accuracy_on_the_split(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.tflite"
    assert calibrate(data, out, "--split", "Training", "--answered-accuracy", "0.6") == 0
    assert "175 pictures, 66.29 % right" in capsys.readouterr().out
    before, after = Classifier.load(NAME), Classifier.load(out)
    with np.load(data) as archive:
        chosen = archive["usage"] == "Training"
        images = list(archive["pixels"][chosen])
        accuracy = (after.predict(images).argmax(axis=1) == archive["emotion"][chosen]).mean()
    assert after.predict(images).max(axis=1).mean() == pytest.approx(accuracy, abs=2e-3)
    assert after.contract.graph_sha256 == before.contract.graph_sha256
    assert after.contract.temperature != before.contract.temperature
    assert after.contract.uncertain_below == 0.0
    assert after.contract.validation["n"] == 175
    assert after.contract.producer["calibrated_from_sha256"] == before.file.sha256
    assert after.contract.validation["conversion"] == before.contract.validation["conversion"]
    assert np.array_equal(after.predict(images).argmax(axis=1), before.predict(images).argmax(axis=1))


@pytest.mark.parametrize(
    ("model", "more", "out", "reason"),
    [
        (NAME, ["--split", "held-out"], "a.tflite", "needs --run"),
        (NAME, ["--split", "night"], "a.tflite", "no images of split 'night'"),
        (NAME, ["--answered-accuracy", "75"], "a.tflite", "at most 1. Received: 75.0"),
        (NAME, [], "a.onnx", "--out must end in .tflite"),
        ("edge-face", [], "a.tflite", "a classifier is needed here"),
        ("edge-fer-huge", [], "a.tflite", "no model 'edge-fer-huge'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    model: str,
    more: list[str],
    out: str,
    reason: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert calibrate(data, tmp_path / out, *more, model=model) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (tmp_path / out).exists()


def test_a_run_that_held_out_others_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    verb = ["restore", "--model", NAME, "--recipe", "edge-fer-nano-dilated", "--data", str(data)]
    assert main([*verb, "--out", str(run)]) == 0
    capsys.readouterr()
    assert calibrate(data, tmp_path / "a.tflite", "--split", "held-out", "--run", str(run)) == 1
    assert "not a run folder" in capsys.readouterr().err
    state = '{"identity": {"recipe": {"model": {"architecture": "edge_resnet"}, "train": {"epochs": 1}}, '
    (run / "state.json").write_text(state + '"seed": 0, "train_sha256": "other"}}')
    assert calibrate(data, tmp_path / "a.tflite", "--split", "held-out", "--run", str(run)) == 2
    assert "held out other pictures than" in capsys.readouterr().err

"""The released detector as a Keras model that learns again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")

import keras

from edge_runtime.detectors.edge import EdgeDetector
from edge_runtime.modelfile import read_keras_contract
from tests.train.detection.support import RECIPE, boxed_images, write_yolo
from train.__main__ import main
from train.detection import restore as module

pytestmark = pytest.mark.host

PARAMETERS = "{ stem = [16, 24], fine = [48, 48], coarse = [48, 48], head = [32, 40], dilation = 2 }"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, `like.toml`, a recipe of the released network, and others."""
    monkeypatch.setattr(module, "SCENES", 16)
    monkeypatch.setattr(module, "PROBES", 16)
    write_yolo(tmp_path / "faces", boxed_images())
    sized = RECIPE.replace("height = 48", "height = 120").replace("width = 64", "width = 160")
    small = "{ stem = [4, 4], fine = [8], coarse = [8], head = [8, 8] }"
    assert small in sized
    (tmp_path / "like.toml").write_text(sized.replace(small, PARAMETERS))
    (tmp_path / "deeper.toml").write_text(sized.replace(small, PARAMETERS.replace("[48, 48]", "[48]", 1)))
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path


def restore(place: Path, recipe: str = "like", out: str = "run", model: str = "edge-face") -> int:
    verb = ["restore", "--model", model, "--recipe", str(place / f"{recipe}.toml")]
    return main([*verb, "--data", str(place / "faces"), "--out", str(place / out)])


def test_it_answers_as_the_released_file_and_learns_on(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(place) == 0
    assert float(capsys.readouterr().out.split()[-1]) > module.LEAST_CORRELATION
    contract = read_keras_contract(place / "run" / "model.keras")
    released = EdgeDetector.load("edge-face")
    assert contract is not None
    assert contract.decoding == released.contract.decoding
    assert contract.producer["restored_from_sha256"] == released.file.sha256
    assert restore(place) == 1
    assert "holds a run already" in capsys.readouterr().err
    verb = ["fit", "--recipe", str(place / "like.toml"), "--data", str(place / "faces"), "--epochs", "1"]
    assert main([*verb, "--start", str(place / "run"), "--out", str(place / "more")]) == 0
    before, after = (
        keras.saving.load_model(place / run / "model.keras").get_layer("coarse2_conv").get_weights()[0]
        for run in ("run", "more")
    )
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("recipe", "model", "reason"),
    [
        ("deeper", "edge-face", "not the network of recipe 'deeper'"),
        ("small", "edge-face", "takes (120, 160, 1), recipe 'small' (48, 64, 1)"),
        ("like", "edge-face-320", "takes (240, 320, 1)"),
        ("like", "edge-fer-small", "a detection model is needed here"),
    ],
)
def test_what_does_not_fit_is_refused(
    recipe: str, model: str, reason: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(place, recipe, model=model) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (place / "run").exists()


def test_a_network_that_answers_otherwise_is_not_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (place / "like.toml").read_text()
    (place / "like.toml").write_text(text.replace("dilation = 2", "dilation = 1"))
    assert restore(place) == 1
    assert "answers otherwise, correlation" in capsys.readouterr().err
    assert not (place / "run").exists()

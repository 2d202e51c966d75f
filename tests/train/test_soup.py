"""Mixing the weights of two runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from tests.train.support import RECIPE, faces, write_npz, write_recipe
from train.__main__ import main
from train.inference import load_trained

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a recipe, and a run `second` that went on from `first`."""
    folder = tmp_path_factory.mktemp("rounds")
    data = write_npz(folder / "faces.npz", faces())
    base = [
        "fit",
        "--recipe",
        str(write_recipe(folder / "tiny.toml")),
        "--data",
        str(data),
        "--epochs",
        "1",
    ]
    assert main([*base, "--out", str(folder / "first")]) == 0
    assert main([*base, "--start", str(folder / "first"), "--out", str(folder / "second")]) == 0
    return folder


def soup(folder: Path, *more: str, first: str = "first", second: str = "second") -> int:
    runs = [str(folder / first), str(folder / second)]
    return main(["soup", *runs, "--data", str(folder / "faces.npz"), *more])


def test_the_mixture_of_least_loss_is_written(
    rounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soup(rounds, "--out", str(tmp_path / "soup")) == 0
    document = json.loads((tmp_path / "soup" / "soup.json").read_text())
    shares = [mixture["share"] for mixture in document["mixtures"]]
    losses = [mixture["loss"] for mixture in document["mixtures"]]
    assert (shares[0], shares[-1], document["runs"]) == (0.0, 1.0, ["first", "second"])
    share = shares[int(np.argmin(losses))]
    assert document["chosen_share"] == share
    assert capsys.readouterr().out.count("chosen") == 1
    first, second, mixed = (
        load_trained(path) for path in (rounds / "first", rounds / "second", tmp_path / "soup")
    )
    for a, b, c in zip(
        first.model.get_weights(), second.model.get_weights(), mixed.model.get_weights(), strict=True
    ):
        assert np.allclose(c, (1 - share) * a + share * b, atol=1e-6)
    assert mixed.contract.producer["share"] == share
    assert mixed.contract.producer["mixed_with"] == "tiny"
    assert mixed.contract.validation["n"] == document["held_out"]
    # The ends of the row are the runs themselves, calibrated on the pictures that they held out.
    for trained, row in ((first, document["mixtures"][0]), (second, document["mixtures"][-1])):
        assert row["temperature"] == trained.contract.temperature
        assert row["top1"] == trained.contract.validation["top1"]


def test_runs_that_do_not_belong_together_are_refused(
    rounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(rounds / "faces.npz")
    other = write_recipe(tmp_path / "other.toml", RECIPE.replace("widths = [8]", "widths = [6]"))
    fit = ["fit", "--data", data, "--epochs", "1"]
    assert main([*fit, "--recipe", str(other), "--out", str(rounds / "other")]) == 0
    assert soup(rounds, "--out", str(tmp_path / "out"), second="other") == 2
    assert "its layers are not those of" in capsys.readouterr().err
    recipe = str(rounds / "tiny.toml")
    assert main([*fit, "--recipe", recipe, "--seed", "5", "--out", str(rounds / "seed5")]) == 0
    assert soup(rounds, "--out", str(tmp_path / "out"), second="seed5") == 1
    assert "held out other pictures" in capsys.readouterr().err
    assert soup(rounds, "--out", str(tmp_path / "out"), first="nowhere") == 1
    assert "no such model file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_mixture_is_mixed_with_the_round_after_it(rounds: Path) -> None:
    assert soup(rounds, "--out", str(rounds / "mixture")) == 0
    assert soup(rounds, "--out", str(rounds / "again"), first="mixture") == 0
    document = json.loads((rounds / "again" / "soup.json").read_text())
    assert document["runs"] == ["mixture", "second"]
    chosen = json.loads((rounds / "mixture" / "soup.json").read_text())["chosen_share"]
    first, second, mixed = (load_trained(rounds / name) for name in ("first", "second", "again"))
    share = chosen + (1 - chosen) * document["chosen_share"]
    for a, b, c in zip(
        first.model.get_weights(), second.model.get_weights(), mixed.model.get_weights(), strict=True
    ):
        assert np.allclose(c, (1 - share) * a + share * b, atol=1e-6)

"""Recipe files: what is read, what is refused, and that all of ours are valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import UsageError
from tests.train.support import RECIPE, write_recipe
from train.models import architecture_names
from train.recipe import load_recipe, read_recipe, recipe_from_dict, recipe_names

CLASSIFIERS = [name for name in recipe_names() if "task" not in read_recipe(name)[1]]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.model.architecture in architecture_names()


def test_identity_survives_a_round_trip_and_tolerates_absent_defaults() -> None:
    recipe = load_recipe("edge-fer-small")
    identity = recipe.identity()
    again = recipe_from_dict({"name": "x", "description": "", **identity}, "state")
    assert again.identity() == identity
    del identity["data"]["classes"], identity["train"]["ema"], identity["phases"]
    old = recipe_from_dict({"name": "x", "description": "", **identity}, "state")
    assert old.identity() == recipe.identity()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "batch_size = 8",
            "batchsize = 8",
            r"\[train\] unknown key 'batchsize'; did you mean 'batch_size'",
        ),
        ("epochs = 2", "", r"\[train\] missing 1 required positional argument: 'epochs'"),
        ("epochs = 2", "epochs = -1", r"epochs and batch_size must be at least 1"),
        ("batch_size = 8", "batch_size = 0", r"epochs and batch_size must be at least 1"),
        ("epochs = 2", "epochs = 2.5", r"epochs must be int. Received: 2.5"),
        ("epochs = 2", "epochs = true", r"epochs must be int"),
        ("flip = true", "flip = 1", r"flip must be bool"),
        ("batch_size = 8", "schedule = 'step'", r"schedule must be one of cosine, constant, plateau"),
        ("validation = 0.2", "classes = 'sad'", r"classes must be a list of strings"),
        ("[model]", "phases = 3\n[model]", r"phases must be tables"),
        ("[model]", "[[phases]]\nepochs = 0\nlearning_rate = 1\n[model]", r"epochs and batch_size must be"),
        ("[model]", "[[phases]]\nepoch = 1\n[model]", r"did you mean 'epochs'"),
        ("stem = 4,", "stem = 4", "not a readable TOML file"),
        ("[data]", "task = 'sigmoid'\n[data]", "needs two"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_recipe(tmp_path / "r.toml", RECIPE.replace(old, new, 1))
    with pytest.raises(UsageError, match=message):
        load_recipe(str(path))


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'cnn-4block'"):
        load_recipe("cnn-4blok")


def test_phases_take_over_what_they_do_not_say() -> None:
    first, second = load_recipe("vgg16").schedules()
    assert first.train_layers == ("head_*",)
    assert second.learning_rate == 1e-4
    assert second.schedule == "plateau"
    assert second.patience == first.patience
    assert second.batch_size == first.batch_size

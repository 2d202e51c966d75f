from __future__ import annotations

import tomllib

import pytest

from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE, FULL_FACE_MAPS
from edge_runtime.errors import UsageError
from tests.train.detection.support import RECIPE
from train.detection.recipe import box_map, box_maps, detection_recipe
from train.recipe import load_recipe, read_recipe


def recipe_with(text: str = "", **changes: object) -> dict[str, object]:
    return {"name": "tiny", **tomllib.loads(RECIPE + text), **changes}


PUBLISHED = ("edge-face", "edge-face-more", "edge-face-longer", "edge-face-320")


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_recipes_are_valid_and_know_the_measured_conventions(name: str) -> None:
    path, document = read_recipe(name)
    recipe = detection_recipe(document, str(path))
    size = (320, 240) if name.endswith("320") else (160, 120)
    assert (recipe.data.width, recipe.data.height) == size
    assert box_maps(recipe.data) == FULL_FACE_MAPS
    assert box_map(recipe.contract.box_map) == BOX_FROM_FULL_FACE


@pytest.mark.parametrize("name", PUBLISHED)
def test_rooms_without_a_licence_are_not_trained_on(name: str) -> None:
    path, document = read_recipe(name)
    assert detection_recipe(document, str(path)).data.alarm_prefix == "room_"


def test_a_classifiers_verb_refuses_a_detectors_recipe() -> None:
    with pytest.raises(UsageError, match="recipe of a detector"):
        load_recipe("edge-face")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "ssd"}, "unknown key 'loss'"),
        ({"data": {"held_out_every": 1}}, "held_out_every must be 0 or at least 2"),
        ({"train": {"epochs": "many"}}, "epochs must be int"),
        ({"train": {}}, "epochs"),
        ({"data": {"box_maps": {"tv_": {"dz": 1}}}}, "box map"),
        ({"contract": {"box_map": {"scale_w": 0}}}, "box map"),
        ({"contract": {"frame": [480]}}, "frame must be"),
        ({"contract": {"frame": [0, 640]}}, "frame must be"),
        ({"contract": {"frame": [480.5, 640]}}, "frame must be a list of whole numbers"),
        ({"contract": {"frame": 480}}, "frame must be a list of whole numbers"),
        ({"scenes": {"face_height": ["a", "b"]}}, "face_height must be a list of numbers"),
        ({"contract": {"second_look": {"zoom": 2}}}, "second_look: .*zoom"),
        ({"contract": {"second_look": {"most": 0}}}, "second_look.most must be 1"),
        ({"scenes": {"face_heigth": [0.1, 0.5]}}, "did you mean 'face_height'"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        detection_recipe(recipe_with(**change), "tiny.toml")


def test_identity_holds_what_weights_depend_on() -> None:
    first = detection_recipe(recipe_with(), "a").identity()
    assert first == detection_recipe(recipe_with(description="other", contract={"fill": 9}), "b").identity()
    assert first != detection_recipe(recipe_with(scenes={"mosaic": 0.9}), "c").identity()

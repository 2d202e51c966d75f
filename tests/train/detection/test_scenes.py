from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras")
pytestmark = pytest.mark.host

from edge_runtime.datasets.yolo import BoxedImages  # noqa: E402
from edge_runtime.errors import DataError  # noqa: E402
from tests.train.detection.support import boxed_images  # noqa: E402
from train.detection import clutter  # noqa: E402
from train.detection.recipe import BoxDataSection, SceneSection  # noqa: E402
from train.detection.scenes import Scene, SceneMaker  # noqa: E402

HW = (48, 64)
CALM = SceneSection(stretch=0.2, brightness=0, contrast=0, blur=0, noise=0, jpeg=0)


def maker(section: SceneSection, source: BoxDataSection | None = None) -> SceneMaker:
    return SceneMaker(boxed_images(), source or BoxDataSection(), section, HW)


def only(kind: str, base: SceneSection = CALM) -> SceneSection:
    kinds = dict.fromkeys(("single", "mosaic", "whole", "background"), 0.0)
    return replace(base, **{**kinds, kind: 1.0})


def contrast_in_box(scene: Scene, row: int) -> float:
    """Brightness of a box's rim against its middle: high where the box frames a face."""
    x, y, w, h = scene.boxes[row]
    part = scene.pixels[int(y) : int(y + h), int(x) : int(x + w)].astype(float)
    rows, columns = part.shape
    middle = part[rows * 2 // 5 : rows * 3 // 5 + 1, columns * 2 // 5 : columns * 3 // 5 + 1]
    return float(np.median(part)) - float(np.median(middle))


@pytest.mark.parametrize("kind", ["single", "mosaic", "whole"])
def test_boxes_follow_their_faces(kind: str) -> None:
    scenes = maker(only(kind))
    framed = []
    for seed in range(80):
        scene = scenes.make(np.random.default_rng(seed))
        assert scene.pixels.shape == HW
        assert scene.pixels.dtype == np.uint8
        assert (scene.boxes[:, :2] >= 0).all()
        assert (scene.boxes[:, :2] + scene.boxes[:, 2:] <= (HW[1] + 1e-3, HW[0] + 1e-3)).all()
        framed += [
            contrast_in_box(scene, row)
            for row in range(len(scene.boxes))
            if scene.visible[row] > 0.99 and scene.boxes[row, 3] > 9
        ]
    assert len(framed) > 20
    assert np.mean(np.array(framed) > 60) > 0.9


def test_backgrounds_have_no_face() -> None:
    scenes = maker(only("background"))
    for seed in range(30):
        pixels = scenes.make(np.random.default_rng(seed)).pixels
        # A face is brighter than 200; where no clear part was found, the scene is even.
        assert pixels.max() < 200 or pixels.min() == pixels.max()


def test_the_same_generator_gives_the_same_scene() -> None:
    scenes = maker(SceneSection())
    first, again = (scenes.make(np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.boxes, again.boxes)
    other = scenes.make(np.random.default_rng(8))
    assert not np.array_equal(first.pixels, other.pixels)


def test_shares_leave_pictures_out() -> None:
    data = boxed_images()
    dark = tuple(
        np.zeros_like(image) if name.startswith("room") else image
        for image, name in zip(data.images, data.names, strict=True)
    )
    marked = BoxedImages(dark, data.boxes, data.names, data.splits, "memory")
    section = only("whole", replace(CALM, rotation_deg=0, stretch=0))
    scenes = SceneMaker(marked, BoxDataSection(shares={"room_": 1.0}), section, HW)
    for seed in range(10):
        pixels = scenes.make(np.random.default_rng(seed)).pixels
        assert pixels.min() == pixels[:40, :50].max() == 0


def test_shares_that_leave_nothing_are_refused() -> None:
    for shares in ({"tv_": 1.0}, {"room_": 1.0}):
        with pytest.raises(DataError, match=f"must begin with one of: {next(iter(shares))}"):
            SceneMaker(boxed_images(), BoxDataSection(shares=shares), SceneSection(), HW)


def test_clutter_is_drawn_where_no_face_is() -> None:
    plain, drawn = (maker(only("background", replace(CALM, clutter=share))) for share in (0.0, 1.0))
    differ = 0
    for seed in range(20):
        before, after = (scenes.make(np.random.default_rng(seed)) for scenes in (plain, drawn))
        assert len(after.boxes) == 0
        differ += not np.array_equal(before.pixels, after.pixels)
    assert differ == 20


def test_backgrounds_are_varied_without_a_face() -> None:
    plain, varied = (maker(only("background", replace(CALM, varied=share))) for share in (0.0, 1.0))
    differ = 0
    for seed in range(30):
        before, after = (scenes.make(np.random.default_rng(seed)) for scenes in (plain, varied))
        assert len(after.boxes) == 0
        differ += not np.array_equal(before.pixels, after.pixels)
        # Neither a face, brighter than 200, nor an inverted one; an even scene had no clear part.
        inverted = 255 - after.pixels
        assert after.pixels.max() < 200 or inverted.max() < 200 or after.pixels.min() == after.pixels.max()
    assert differ > 15


@pytest.mark.parametrize("thing", clutter.THINGS, ids=lambda thing: thing.__name__)
def test_everything_can_be_drawn_at_any_size(thing: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clutter, "THINGS", (thing,))
    for seed in range(10):
        for shape in ((3, 40), (48, 64)):
            canvas = np.full((80, 80), 7, np.uint8)
            part = canvas[: shape[0], : shape[1]]
            clutter.draw_clutter(part, np.random.default_rng(seed))
            assert canvas[shape[0] :].max() == 7
            assert canvas[:, shape[1] :].max() == 7
    assert (part != 7).any()

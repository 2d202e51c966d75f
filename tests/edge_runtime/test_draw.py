"""Annotated pictures: drawn where the face is, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.draw import ACCENT, MUTED, annotate, check_image_path, write_image
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.preprocess import Box
from edge_runtime.records import FaceRecord

PROBABILITIES = {"angry": 0.1, "happy": 0.7, "neutral": 0.2}


def face(x: float, y: float, label: str = "happy", side: float = 100) -> FaceRecord:
    return FaceRecord(1, Box(x, y, side, side), 1.0, label, 0.7, PROBABILITIES)


def test_box_is_drawn_and_the_face_left_visible() -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    drawn = annotate(image, [face(100, 100)])
    assert (image == 128).all()
    assert tuple(drawn[150, 100]) == ACCENT
    assert (drawn[110:190, 110:190] == 128).all()
    assert (drawn[105:200, 210:300] != 128).any()


def test_uncertain_faces_look_uncertain() -> None:
    drawn = annotate(np.full((480, 640, 3), 128, np.uint8), [face(100, 100, "uncertain")])
    assert tuple(drawn[150, 100]) == MUTED


def test_panels_cover_no_other_face() -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    drawn = annotate(image, [face(100, 100), face(210, 100), face(320, 100)])
    for x in (100, 210, 320):
        assert (drawn[125:190, x + 10 : x + 90] == 128).all()


@pytest.mark.parametrize("hw", [(48, 48), (120, 160), (2000, 3000)])
@pytest.mark.parametrize("box", [(-30.0, -30.0), (10.0, 10.0), (5000.0, 5000.0)])
def test_any_size_and_place_can_be_drawn(hw: tuple[int, int], box: tuple[float, float]) -> None:
    drawn = annotate(np.zeros((*hw, 3), np.uint8), [face(*box)])
    assert drawn.shape == (*hw, 3)


def test_picture_is_written_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    image = np.full((4, 5, 3), 9, np.uint8)
    write_image(path, image)
    assert np.array_equal(cv2.imread(str(path)), image)
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_names_are_refused_beforehand(tmp_path: Path) -> None:
    for name in ("out", "out.mp3"):
        with pytest.raises(UsageError, match=r"end it in \.png or \.jpg"):
            check_image_path(tmp_path / name)
    with pytest.raises(SinkError, match="no folder"):
        check_image_path(tmp_path / "none" / "out.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        check_image_path(tmp_path / "folder.png")

"""The contact sheet: one tile per picture, and errors in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.__main__ import main
from convert.sheet import TEXT_PX, TILE_PX, contact_sheet, read_pictures
from edge_runtime.errors import DataError
from tests.convert.conftest import smooth_pictures

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    faces = tmp_path / "faces"
    faces.mkdir()
    for index, picture in enumerate(smooth_pictures(7, seed=1)):
        cv2.imwrite(str(faces / f"{index}.png"), picture)
    return faces


def test_seven_pictures_fill_two_rows(folder: Path) -> None:
    pictures = read_pictures([folder])
    probabilities = np.eye(7, dtype=np.float32)
    sheet = contact_sheet(pictures, probabilities, tuple("abcdefg"))
    assert sheet.shape == (2 * (TILE_PX + TEXT_PX), 6 * TILE_PX, 3)
    assert (sheet[:TILE_PX, :TILE_PX] != 255).any()
    assert (sheet[TILE_PX : TILE_PX + TEXT_PX, :TILE_PX] < 100).any()
    assert (sheet[-TEXT_PX:, -TILE_PX:] == 255).all()


def test_the_verb_writes_a_picture(folder: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "sheet.png"
    assert main(["sheet", str(TINY), str(folder), "--out", str(out)]) == 0
    assert cv2.imread(str(out)).shape[1] == 6 * TILE_PX
    assert len(capsys.readouterr().err.splitlines()) == 7


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder").mkdir()
    for path, fragment in (
        (text, "not a picture"),
        (tmp_path / "empty.jpg", "not a picture"),
        (tmp_path / "folder", "no pictures in this folder"),
        (tmp_path / "absent.jpg", "no such picture"),
    ):
        with pytest.raises(DataError, match=fragment):
            read_pictures([path])

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.boxmap import BoxMap
from edge_runtime.datasets import yolo
from edge_runtime.errors import DataError


def write_set(root: Path) -> None:
    """Two pictures: one with two faces in train, one without a label file in val."""
    for folder in ("images/train", "images/val", "labels/train"):
        (root / folder).mkdir(parents=True)
    picture = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80)
    cv2.imwrite(str(root / "images/train/desk_1.png"), picture)
    cv2.imwrite(str(root / "images/val/room_1.png"), picture[:, ::-1])
    (root / "labels/train/desk_1.txt").write_text("0 0.5 0.5 0.25 0.5\n\n0 0.1 0.1 0.1 0.1\n")


def as_zip(root: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root).as_posix())
    return target


@pytest.mark.parametrize("packed", [False, True])
def test_boxes_come_in_pixels_from_a_folder_and_from_a_zip(tmp_path: Path, packed: bool) -> None:
    write_set(tmp_path / "set")
    path = as_zip(tmp_path / "set", tmp_path / "set.zip") if packed else tmp_path / "set"
    data = yolo.read(path)
    assert data.names == ("desk_1", "room_1")
    assert data.splits.tolist() == ["Training", "validation"]
    np.testing.assert_allclose(data.boxes[0], [[30, 15, 20, 30], [4, 3, 8, 6]], atol=1e-4)
    assert data.boxes[1].shape == (0, 4)
    assert data.images[0].shape == (60, 80)
    assert data.images[0][0, 5] == 5


def test_large_pictures_are_shrunk_with_their_boxes(tmp_path: Path) -> None:
    write_set(tmp_path)
    data = yolo.read(tmp_path, longest_side=40)
    assert data.images[0].shape == (30, 40)
    np.testing.assert_allclose(data.boxes[0][0], [15, 7.5, 10, 15], atol=1e-4)


def test_the_other_nesting_is_understood(tmp_path: Path) -> None:
    for folder in ("valid/images", "valid/labels"):
        (tmp_path / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "valid/images/a.jpg"), np.zeros((20, 20), np.uint8))
    (tmp_path / "valid/labels/a.txt").write_text("0 0.5 0.5 1 1")
    data = yolo.read(tmp_path)
    assert data.splits.tolist() == ["validation"]
    assert data.boxes[0].tolist() == [[0, 0, 20, 20]]


def test_maps_apply_by_name_and_cut_at_the_edges(tmp_path: Path) -> None:
    write_set(tmp_path)
    data = yolo.read(tmp_path).with_maps({"desk_": BoxMap(scale_w=10)})
    assert data.boxes[0][0].tolist() == [0, 15, 80, 30]
    assert data.with_maps({"tv_": BoxMap(scale_h=0.5)}).boxes[0][0, 3] == 30


def test_digest_changes_with_a_box(tmp_path: Path) -> None:
    write_set(tmp_path)
    before = yolo.read(tmp_path).digest()
    assert yolo.read(tmp_path).digest() == before
    (tmp_path / "labels/train/desk_1.txt").write_text("0 0.5 0.5 0.25 0.51\n0 0.1 0.1 0.1 0.1\n")
    assert yolo.read(tmp_path).digest() != before


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5 0.2", "face 0.5 0.5 0.2 0.2", "0 40 30 20 20", "0 0.5 0.5 0 0.2", "0 .5 .5 nan .5"]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    write_set(tmp_path)
    (tmp_path / "labels/train/desk_1.txt").write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=r"desk_1\.txt, line 2"):
        yolo.read(tmp_path)


def test_missing_and_damaged_data_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        yolo.read(tmp_path / "nothing.zip")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(DataError, match="not a readable zip"):
        yolo.read(tmp_path / "broken.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        yolo.read(tmp_path / "empty")
    write_set(tmp_path / "set")
    (tmp_path / "set/images/train/desk_1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="not a readable picture"):
        yolo.read(tmp_path / "set")
    (tmp_path / "set/images/train/desk_1.png").unlink()
    with pytest.raises(DataError, match="splits there are: validation"):
        yolo.read(tmp_path / "set").split("test")

"""Faces without labels: which are taken, how they are framed, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.contract import CropSpec, InputSpec
from edge_runtime.detectors import Detection
from edge_runtime.errors import DataError, SourceError
from edge_runtime.preprocess import Box, crop_face, crop_region
from tests.train.support import faces
from train.data import prepare
from train.sections import DataSection
from train.unlabelled import find_faces, with_unlabelled

pytestmark = pytest.mark.host

CROP = CropSpec(0.1, 0.05)


@dataclass
class Finds:
    """A detector that finds the same boxes in every frame."""

    boxes: list[Box]
    name: str = "finds"
    frames: list[np.ndarray] = field(default_factory=list)

    def detect(self, luma: np.ndarray) -> list[Detection]:
        self.frames.append(luma.copy())
        return [Detection(box, 0.9) for box in self.boxes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(3):
        picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
    (tmp_path / "3.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.parametrize("color", ["luma", "rgb"])
def test_faces_are_framed_as_on_the_device(folder: Path, color: str) -> None:
    spec, large, small = InputSpec(16, 16, color), Box(10, 20, 30, 30), Box(0, 0, 12, 12)
    detector = Finds([large, small])
    found = find_faces([str(folder)], detector, CROP, spec)
    assert found.shape == ((3, 16, 16, 3) if color == "rgb" else (3, 16, 16))
    first = cv2.imread(str(folder / "0.png"))
    assert first is not None
    whole = first[..., ::-1] if color == "rgb" else detector.frames[0]
    expected = crop_face(np.ascontiguousarray(whole), crop_region(large, CROP), spec)
    assert np.array_equal(found[0], expected)


def test_a_film_is_read_and_nothing_large_enough_is_said(folder: Path) -> None:
    film = str(folder / "film.avi")
    writer = cv2.VideoWriter(film, cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for value in (40, 80, 120, 160):
        writer.write(np.full((60, 80, 3), value, np.uint8))
    writer.release()
    spec = InputSpec(16, 16, "luma")
    assert len(find_faces([film, str(folder)], Finds([Box(0, 0, 20, 20)]), CROP, spec)) == 7
    with pytest.raises(DataError, match="no face of 13 pixels or more"):
        find_faces([film], Finds([Box(0, 0, 12, 12)]), CROP, spec)
    with pytest.raises(DataError, match="never ends"):
        find_faces(["v4l2:0"], Finds([]), CROP, spec)
    with pytest.raises(SourceError):
        find_faces([str(folder / "none")], Finds([]), CROP, spec)


def test_they_stand_behind_the_data_without_labels() -> None:
    data = prepare(faces(), DataSection(validation=0), seed=0)
    own = with_unlabelled(data, faces(count=12, seed=1).images)
    count = len(data.train)
    assert len(own.train) == len(own.targets) == count + 12
    assert (own.train.labels[count:] == -1).all()
    assert not own.targets[count:].any()
    assert own.input == data.input
    with pytest.raises(DataError, match="input size"):
        with_unlabelled(data, np.zeros((2, 8, 8), np.uint8))

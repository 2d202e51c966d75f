"""Face detectors by name, on a real portrait and real videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.detectors import load_detector
from edge_runtime.errors import DetectorUnavailableError, UsageError
from edge_runtime.preprocess import Box, UInt8Array, to_luma


def test_haar_finds_the_one_face_of_a_portrait(portrait: UInt8Array) -> None:
    (found,) = load_detector("haar").detect(to_luma(portrait))
    box = found.box
    assert 120 < box.w < 240
    # The same face in a frame three times as large has the same place.
    large = cv2.resize(to_luma(portrait), None, fx=3, fy=3)
    (again,) = load_detector("haar").detect(large)  # type: ignore[arg-type]
    scaled = Box(again.box.x / 3, again.box.y / 3, again.box.w / 3, again.box.h / 3)
    assert box.iou(scaled) > 0.8


def test_haar_finds_nothing_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
    assert load_detector("haar").detect(noise) == []


def test_opencv_without_cascades_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(DetectorUnavailableError, match="needs OpenCV 4"):
        load_detector("haar")


def test_none_takes_the_whole_frame() -> None:
    (found,) = load_detector("none").detect(np.zeros((30, 40), np.uint8))
    assert found.box == Box(0, 0, 40, 30)


@pytest.mark.parametrize("name", ["hog", "yunet", "haar:file.xml", ""])
def test_wrong_names_are_usage(name: str) -> None:
    with pytest.raises(UsageError):
        load_detector(name)


def test_yunet_file_is_checked(tmp_path: Path) -> None:
    with pytest.raises(DetectorUnavailableError, match="no such file"):
        load_detector(f"yunet:{tmp_path / 'none.onnx'}")
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("no network")
    with pytest.raises(DetectorUnavailableError, match="cannot run this as YuNet"):
        load_detector(f"yunet:{wrong}")


def one_face_share(path: Path, every: int) -> float:
    detector = load_detector("haar")
    capture = cv2.VideoCapture(str(path))
    ones = frames = index = 0
    while True:
        ok, image = capture.read()
        if not ok:
            return ones / frames
        if index % every == 0:
            frames += 1
            ones += len(detector.detect(to_luma(image))) == 1  # type: ignore[arg-type]
        index += 1


@pytest.mark.data
@pytest.mark.parametrize(("video", "every", "share"), [("webcam.mp4", 8, 0.75), ("desk_male.gif", 1, 0.95)])
def test_haar_finds_exactly_one_face_in_most_frames(
    media: Path, video: str, every: int, share: float
) -> None:
    assert one_face_share(media / video, every) >= share


@pytest.mark.data
def test_haar_finds_two_people_and_no_third(media: Path) -> None:
    image = cv2.imread(str(media / "two_people.jpg"))
    boxes = [found.box for found in load_detector("haar").detect(to_luma(image))]  # type: ignore[arg-type]
    assert len(boxes) == 2
    for face in (Box(235, 30, 176, 176), Box(788, 63, 172, 172)):
        assert max(face.iou(box) for box in boxes) > 0.6

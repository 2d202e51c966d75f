"""Another threshold and second look for a converted detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")

from edge_runtime.detectors.edge import EdgeDetector
from edge_runtime.detectors.letterbox import letterbox
from tests.train.detection.support import RECIPE, boxed_images, write_yolo
from train.__main__ import main
from train.detection import recalibrate

pytestmark = pytest.mark.host

NAME = "edge-face"
CONTRACT = """
[contract]
alarms_per_picture = {rate}
second_look = {{ score_threshold = 0.15, most = 20, face_share = 0.5 }}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with pictures and recipes that allow different rates of alarms."""
    write_yolo(tmp_path / "faces", boxed_images(24))
    for name, rate in (("strict", 0.0), ("lax", 0.5)):
        (tmp_path / f"{name}.toml").write_text(RECIPE + CONTRACT.format(rate=rate))
    (tmp_path / "roomless.toml").write_text(RECIPE.replace('alarm_prefix = "room_"\n', ""))
    (tmp_path / "elsewhere.toml").write_text(RECIPE.replace('"room_"', '"hall_"'))
    (tmp_path / "classifier.toml").write_text('description = "none"\n')
    return tmp_path


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated rooms score below what a threshold of use may be."""
    monkeypatch.setattr(recalibrate, "THRESHOLD_BOUNDS", (0.001, 0.999))


def calibrate(place: Path, recipe: str, *more: str, out: str = "mine.tflite", model: str = NAME) -> int:
    verb = ["calibrate", "--model", model, "--recipe", str(place / f"{recipe}.toml")]
    return main([*verb, "--data", str(place / "faces"), "--out", str(place / out), *more])


def test_threshold_keeps_to_the_rate_of_alarms(
    place: Path, capsys: pytest.CaptureFixture[str], unbounded: None
) -> None:
    released = EdgeDetector.load(NAME)
    thresholds = {}
    data = boxed_images(24)
    rooms = data.select(data.named(("room_",)) & (data.splits == "Training"))
    for recipe, rate in (("strict", 0.0), ("lax", 0.5)):
        assert calibrate(place, recipe, out=f"{recipe}.tflite") == 0
        assert "average precision" in capsys.readouterr().out
        detector = EdgeDetector.load(place / f"{recipe}.tflite")
        thresholds[recipe] = detector.decoding.score_threshold
        look = detector.decoding.second_look
        assert look is not None
        assert (look.score_threshold, look.most, look.face_share) == (0.15, 20, 0.5)
        alarms = sum(len(detector.detect(room)) for room in rooms.images)
        assert alarms <= rate * len(rooms)
        contract = detector.contract
        assert contract.graph_sha256 == released.contract.graph_sha256
        # The released file was calibrated itself; what it was converted as is what counts.
        converted = released.contract.producer["calibrated_from_sha256"]
        assert contract.producer["calibrated_from_sha256"] == converted
        assert contract.validation["conversion"] == released.contract.validation["conversion"]
        assert contract.validation["false_alarms"] == alarms
        assert detector.decoding.box_map == released.decoding.box_map
    # Without a single alarm allowed, the threshold is above all that the rooms are answered with.
    loose = EdgeDetector.load(place / "lax.tflite", score_threshold=0.02)
    highest = max(
        scores.max(initial=0) for scores in (loose.detect_boxes(room)[1] for room in rooms.images)
    )
    assert thresholds["strict"] == pytest.approx(highest, abs=1e-3)
    assert thresholds["strict"] > thresholds["lax"]


def test_pictures_are_laid_into_the_recipes_frame(place: Path, unbounded: None) -> None:
    strict = (place / "strict.toml").read_text()
    (place / "framed.toml").write_text(strict + "frame = [300, 500]\n")
    assert calibrate(place, "framed") == 0
    data = boxed_images(24)
    rooms = data.select(data.named(("room_",)) & (data.splits == "Training"))
    loose = EdgeDetector.load(place / "mine.tflite", score_threshold=0.02)
    highest, as_is = [], []
    for room in rooms.images:
        as_is.append(loose.detect_boxes(room)[1].max(initial=0))
        # 60 rows and 80 columns, enlarged five times; the rest is black.
        frame = np.zeros((300, 500), np.uint8)
        frame[:, :400] = cv2.resize(room, (400, 300), interpolation=cv2.INTER_LINEAR)
        highest.append(loose.detect_boxes(frame)[1].max(initial=0))
    assert loose.contract.decoding is not None
    threshold = loose.contract.decoding["score_threshold"]
    assert threshold == pytest.approx(max(highest), abs=1e-3)
    assert abs(threshold - max(as_is)) > 2e-3


def test_boxes_of_frames_come_back_in_the_pictures_pixels(place: Path) -> None:
    detector = EdgeDetector.load(NAME, score_threshold=0.02)
    (picture, *_) = boxed_images(24).images
    frame = np.full((300, 500), 9, np.uint8)
    letterbox(picture, frame, fill=0)
    boxes, scores = recalibrate._detect_in_frame(detector, picture, (300, 500))
    expected = detector.detect_boxes(frame)
    assert len(scores)
    assert np.array_equal(scores, expected[1])
    np.testing.assert_allclose(boxes * 5, expected[0], rtol=1e-5)
    (as_is, _), (again, _) = (
        detector.detect_boxes(picture),
        recalibrate._detect_in_frame(detector, picture, ()),
    )
    assert np.array_equal(as_is, again)


@pytest.mark.parametrize(
    ("recipe", "more", "out", "model", "reason"),
    [
        ("roomless", [], "a.tflite", NAME, "has no alarm_prefix"),
        ("elsewhere", [], "a.tflite", NAME, "no pictures hall_* of split Training"),
        ("classifier", [], "a.tflite", NAME, "a classifier is calibrated without --recipe"),
        ("lax", ["--split", "Training"], "a.tflite", NAME, "leave --split out"),
        ("lax", ["--run", "runs/a"], "a.tflite", NAME, "leave --run out"),
        ("lax", [], "a.onnx", NAME, "--out must end in .tflite"),
        ("lax", [], "a.tflite", "edge-fer-nano", "a detection model is needed here"),
        ("none", [], "a.tflite", NAME, "none.toml"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    recipe: str,
    more: list[str],
    out: str,
    model: str,
    reason: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert calibrate(place, recipe, *more, out=out, model=model) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (place / out).exists()

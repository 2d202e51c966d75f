"""Framing: crops of a known margin give that margin back."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.framing import agreement, find_boxes, make_detector, measure
from benchmarks.framing_photos import relate
from edge_runtime.classifier import Classifier
from edge_runtime.contract import CropSpec, InputSpec
from edge_runtime.datasets.base import LabeledImages
from edge_runtime.detectors import load_detector
from edge_runtime.errors import DataError
from edge_runtime.preprocess import Box, crop_face, crop_region, to_luma

CROP = InputSpec(48, 48)


@pytest.mark.parametrize(("margin", "offset_y"), [(0.0, 0.0), (0.15, 0.0), (0.1, 0.06)])
def test_known_framing_is_measured(margin: float, offset_y: float) -> None:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    from edge_runtime.sources import SourceOptions
    from edge_runtime.sources.demo import open_demo

    demo = open_demo("1", SourceOptions())
    pictures = []
    for index in (0, 60, 120):
        luma = to_luma(demo.render(index))
        (found,) = load_detector("haar").detect(luma)
        pictures.append(crop_face(luma, crop_region(found.box, CropSpec(margin, offset_y)), CROP))
    framing = measure(pictures, find_boxes(pictures, make_detector("haar", pictures)))
    assert framing.measured == 3
    assert math.isclose(framing.margin, margin, abs_tol=0.05)
    assert math.isclose(framing.offset_y, offset_y, abs_tol=0.04)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    from edge_runtime.sources import SourceOptions
    from edge_runtime.sources.demo import open_demo

    root = tmp_path_factory.mktemp("photographs")
    demo = open_demo("1", SourceOptions())
    for folder in ("images", "labels"):
        (root / folder / "Training").mkdir(parents=True)
    for index in (0, 60, 120):
        cv2.imwrite(str(root / "images" / "Training" / f"{index}.png"), demo.render(index))
        (root / "labels" / "Training" / f"{index}.txt").write_text("0 0.5 0.5 0.2 0.2")
    return root


def test_boxes_of_two_detectors_are_related_on_photographs(photographs: Path) -> None:
    classifier = Classifier.load()
    (itself,) = relate(photographs, ["haar", "haar"], 10, 0, classifier)
    assert (itself.pictures, itself.faces, itself.same_answer) == (3, 3, 1.0)
    assert (itself.width, itself.height) == ((1, 1, 1), (1, 1, 1))
    assert (itself.offset_x, itself.offset_y) == ((0, 0, 0), (0, 0, 0))
    (other,) = relate(photographs, ["haar", "edge"], 2, 0, None)
    assert (other.detector, other.reference, other.pictures, other.faces) == ("edge", "haar", 2, 2)
    assert other.same_answer is None
    assert other.width[1] <= other.width[0] <= other.width[2]
    assert 0.6 < other.width[0] < 1.6


def test_one_detector_alone_is_not_related(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["framing", "--photographs", str(photographs), "--detectors", "haar"]
    assert main(command) == 2
    assert "name two or more" in capsys.readouterr().err


def test_pictures_without_a_face_are_an_error() -> None:
    with pytest.raises(DataError, match="no picture with exactly one face"):
        measure([np.zeros((48, 48), np.uint8)], [None])


def test_crops_of_two_detectors_are_compared_by_the_classifiers_answers() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    classifier = Classifier.load()
    names = classifier.contract.labels
    answers = [names[int(np.argmax(classifier.predict(picture)))] for picture in pictures]
    labels = np.array([names.index(answer) for answer in answers])
    labels[1] = (labels[1] + 1) % len(names)
    data = LabeledImages(pictures, labels, names, np.array(["Training"] * 3))
    side = 48 / (1 + 2 * classifier.contract.crop.margin)
    edge = (48 - side) / 2
    whole = Box(edge, edge - classifier.contract.crop.offset_y * side, side, side)
    small = Box(edge + side / 8, whole.y + side / 8, side * 3 / 4, side * 3 / 4)
    found = {"haar": [whole] * 3, "edge": [whole, whole, None], "small": [small] * 3}
    framings = [measure(list(pictures), boxes, name) for name, boxes in found.items()]
    first, second, third = agreement(classifier, data, found, framings)
    assert (first.pictures, second.pictures) == (2, 2)
    assert (first.accuracy_uncropped, first.accuracy, first.accuracy_refitted) == (0.5, 0.5, 0.5)
    # A box that is always too small by a quarter is as good as any other once the margin makes up for it.
    assert framings[2].margin == pytest.approx(1 / 6, abs=0.02)
    assert third.accuracy_refitted == 0.5
    assert second.same_answer_as_first == second.same_answer_as_uncropped == 1.0
    with pytest.raises(DataError, match="every detector"):
        agreement(classifier, data, {"haar": [whole, None, None], "edge": [None] * 3}, framings[:2])

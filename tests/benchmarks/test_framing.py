"""Framing: crops of a known margin give that margin back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.framing import measure
from edge_runtime.contract import CropSpec, InputSpec
from edge_runtime.detectors import load_detector
from edge_runtime.errors import DataError
from edge_runtime.preprocess import crop_face, crop_region, to_luma

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
    framing = measure(pictures)
    assert framing.measured == 3
    assert math.isclose(framing.margin, margin, abs_tol=0.05)
    assert math.isclose(framing.offset_y, offset_y, abs_tol=0.04)


def test_pictures_without_a_face_are_an_error() -> None:
    with pytest.raises(DataError, match="no picture with exactly one face"):
        measure([np.zeros((48, 48), np.uint8)])

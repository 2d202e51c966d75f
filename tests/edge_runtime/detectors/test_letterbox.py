"""Frames of many sizes against OpenCV's own averages, and against what lay in the picture before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.detectors.letterbox import HalfPixelMean, Letterbox

HW = (120, 160)


@pytest.mark.parametrize("half_steps", [3, 5, 7, 9, 11, 13, 15])
@pytest.mark.parametrize("high", [2, 256])
def test_means_over_half_pixels_are_opencvs_in_every_value(half_steps: int, high: int) -> None:
    hw = (8 * half_steps, 12 * half_steps)
    picture = np.random.default_rng(half_steps).integers(0, high, hw, dtype=np.uint8)
    out = np.empty((16, 24), np.uint8)
    HalfPixelMean(hw, out)(picture)
    assert np.array_equal(out, cv2.resize(picture, (24, 16), interpolation=cv2.INTER_AREA))


def test_white_does_not_overflow() -> None:
    out = np.zeros((2, 2), np.uint8)
    HalfPixelMean((15, 15), out)(np.full((15, 15), 255, np.uint8))
    assert (out == 255).all()


@pytest.mark.parametrize(
    ("hw", "covered_hw"),
    [
        ((300, 400), (120, 160)),
        ((180, 240), (120, 160)),
        ((225, 400), (90, 160)),
        ((420, 560), (120, 160)),
        ((301, 401), (120, 160)),
        ((250, 400), (100, 160)),
        ((400, 300), (120, 90)),
        ((240, 320), (120, 160)),
        ((60, 80), (120, 160)),
    ],
)
def test_a_frame_is_averaged_into_the_corner(hw: tuple[int, int], covered_hw: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, hw, dtype=np.uint8)
    out = np.full(HW, 77, np.uint8)
    scale = Letterbox(out, 9)(frame)
    h, w = covered_hw
    assert scale == min(HW[0] / hw[0], HW[1] / hw[1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    assert np.array_equal(out[:h, :w], cv2.resize(frame, (w, h), interpolation=method))
    assert (out[h:] == 9).all()
    assert (out[:h, w:] == 9).all()


def test_frames_of_changing_sizes_leave_nothing_of_each_other() -> None:
    out = np.empty(HW, np.uint8)
    fit = Letterbox(out, 5)
    rng = np.random.default_rng(1)
    for hw in ((300, 400), (360, 640), (400, 300), (300, 400), (480, 640)):
        frame = rng.integers(0, 256, hw, dtype=np.uint8)
        fit(frame)
        alone = np.empty(HW, np.uint8)
        Letterbox(alone, 5)(frame)
        assert np.array_equal(out, alone)

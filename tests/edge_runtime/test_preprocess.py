"""Crop, colour and tensor: the only preprocessing there is."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.backends.base import TensorInfo
from edge_runtime.contract import CropSpec, InputSpec
from edge_runtime.preprocess import Box, crop_face, crop_region, to_luma, to_tensor


def test_int8_input_is_the_pixel_minus_128() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    info = TensorInfo("in", (1, 16, 16, 1), np.dtype(np.int8), 1.0, -128)
    tensor = to_tensor(pixels, info)
    assert tensor.dtype == np.int8
    assert np.array_equal(tensor.reshape(-1).astype(int), np.arange(256) - 128)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_other_inputs_take_the_pixel_itself(dtype: type) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    info = TensorInfo("in", (1, 16, 16, 1), np.dtype(dtype))
    assert np.array_equal(to_tensor(pixels, info).reshape(16, 16), pixels)


def test_buffers_are_filled_in_place() -> None:
    info = TensorInfo("in", (1, 4, 4, 1), np.dtype(np.int8), 1.0, -128)
    out = np.zeros(info.shape, np.int8)
    assert to_tensor(np.full((4, 4), 128, np.uint8), info, out) is out
    assert not out.any()
    crop = np.zeros((4, 4), np.uint8)
    image = np.full((10, 10), 7, np.uint8)
    assert crop_face(image, Box(1, 1, 6, 6), InputSpec(4, 4), crop) is crop
    assert (crop == 7).all()


def test_region_grows_moves_and_squares() -> None:
    crop = CropSpec(margin=0.1, offset_y=0.2)
    region = crop_region(Box(10, 20, 30, 50), crop)
    assert region.w == pytest.approx(60)
    assert region.h == pytest.approx(60)
    assert region.x + region.w / 2 == pytest.approx(25)
    assert region.y + region.h / 2 == pytest.approx(45 + 10)
    unsquared = crop_region(Box(10, 20, 30, 50), CropSpec(margin=0.1, square=False))
    assert (unsquared.w, unsquared.h) == pytest.approx((36, 60))


def test_crop_of_the_models_size_is_exact() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    assert np.array_equal(crop_face(image, Box(5, 3, 8, 8), InputSpec(8, 8)), image[3:11, 5:13])


def test_outside_repeats_the_border() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    crop = crop_face(image, Box(-2, -2, 8, 8), InputSpec(8, 8))
    assert np.array_equal(crop, np.pad(image, 2, mode="edge"))


@pytest.mark.parametrize("box", [Box(-50, -50, 10, 10), Box(100, 3, 10, 10), Box(2, 2, 0, 0)])
def test_regions_beyond_the_frame_still_give_a_crop(box: Box) -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert crop_face(image, box, InputSpec(6, 6)).shape == (6, 6)


def test_shrinking_averages() -> None:
    image = np.indices((40, 40)).sum(axis=0).astype(np.uint8) % 2 * 200
    crop = crop_face(image.astype(np.uint8), Box(0, 0, 40, 40), InputSpec(4, 4))
    assert (crop == 100).all()


def test_luma_weights_are_those_of_bt601() -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert to_luma(colors).tolist() == [[29, 150, 76, 255]]
    gray = np.zeros((3, 4), np.uint8)
    assert to_luma(gray) is gray
    assert to_luma(gray[:, :, None]).shape == (3, 4)


def test_iou() -> None:
    box = Box(0, 0, 10, 10)
    assert box.iou(box) == 1
    assert box.iou(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert box.iou(Box(10, 0, 10, 10)) == 0

"""Calibration pictures come from Training alone, and say where they came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convert.calibration import draw, from_list
from edge_runtime.contract import InputSpec
from edge_runtime.datasets import FER2013_LABELS, LabeledImages
from edge_runtime.errors import DataError, UsageError
from tests.convert.conftest import smooth_pictures

SPEC = InputSpec(48, 48)


@pytest.fixture
def data() -> LabeledImages:
    images = smooth_pictures(30, seed=1)
    splits = np.array(["Training"] * 20 + ["PublicTest"] * 10)
    # Picture 0 of Training is also in PublicTest; 1 and 2 of Training are the same picture.
    images[25], images[2] = images[0], images[1]
    return LabeledImages(images, np.zeros(30, np.int64), FER2013_LABELS, splits, "data")


def test_pictures_of_other_splits_are_never_drawn(data: LabeledImages) -> None:
    drawn = draw(data, SPEC, 18, seed=0)
    taken = {picture.tobytes() for picture in drawn.pixels[:-2]}
    test = {picture.tobytes() for picture in data.split("PublicTest").images}
    assert len(taken) == 18
    assert not taken & test
    assert drawn.record["left_out_shared_with_other_splits"] == 1


def test_asking_for_more_than_there_are_is_refused(data: LabeledImages) -> None:
    with pytest.raises(DataError, match="18 distinct Training images"):
        draw(data, SPEC, 19, seed=0)
    with pytest.raises(UsageError, match="at least one"):
        draw(data, SPEC, 0, seed=0)


def test_black_and_white_end_the_set(data: LabeledImages) -> None:
    drawn = draw(data, SPEC, 5, seed=0)
    assert drawn.pixels.shape == (7, 48, 48, 1)
    assert (drawn.pixels[-2] == 0).all()
    assert (drawn.pixels[-1] == 255).all()


def test_the_seed_decides_and_is_recorded(data: LabeledImages) -> None:
    one, same, other = (draw(data, SPEC, 5, seed) for seed in (4, 4, 5))
    assert np.array_equal(one.pixels, same.pixels)
    assert one.record == same.record
    assert one.record["seed"] == 4
    assert one.record["pixels_sha256"] != other.record["pixels_sha256"]


def test_data_without_training_split_is_refused(data: LabeledImages) -> None:
    with pytest.raises(DataError, match="no images of split 'Training'"):
        draw(data.split("PublicTest"), SPEC, 5, seed=0)


def test_a_list_given_by_hand_may_not_hold_a_test_picture(data: LabeledImages) -> None:
    chosen = replace(data.select(np.array([3, 0, 4])), source="mine")
    with pytest.raises(DataError, match=r"mine: 1 calibration images \(the first is number 1\)"):
        from_list(chosen, data, SPEC)
    allowed = from_list(data.select(np.array([3, 4])), data, SPEC)
    assert allowed.record["images"] == 2

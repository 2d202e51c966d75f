from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.boxmap import BoxMap

BOXES = np.array([[10, 20, 30, 40], [0, 0, 8, 8]], np.float32)


def test_a_map_moves_the_centre_and_resizes_about_it() -> None:
    mapped = BoxMap(dx=0.1, dy=-0.25, scale_w=2, scale_h=0.5).apply(BOXES[:1])
    # Centre (25, 40) moves by (3, -10), size (30, 40) becomes (60, 20).
    assert mapped.tolist() == [[-2, 20, 60, 20]]
    assert mapped.dtype == np.float32


def test_the_inverse_takes_boxes_back() -> None:
    box_map = BoxMap(dx=0.03, dy=0.12, scale_w=1.3, scale_h=0.8)
    np.testing.assert_allclose(box_map.inverse().apply(box_map.apply(BOXES)), BOXES, atol=1e-4)


def test_then_equals_one_map_after_the_other() -> None:
    first, second = BoxMap(0.1, 0.2, 1.5, 0.7), BoxMap(-0.3, 0.05, 0.9, 1.2)
    np.testing.assert_allclose(
        first.then(second).apply(BOXES), second.apply(first.apply(BOXES)), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("values", [{"scale_w": 0}, {"scale_h": -1}, {"dx": 3}, {"dy": float("nan")}])
def test_values_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="box map"):
        BoxMap(**values)


def test_one_box_is_mapped_as_many_are() -> None:
    box_map = BoxMap(0.1, -0.05, 1.1, 0.83)
    boxes = np.random.default_rng(0).uniform(1, 300, (20, 4))
    np.testing.assert_allclose([box_map.apply_one(*box) for box in boxes.tolist()], box_map.apply(boxes))

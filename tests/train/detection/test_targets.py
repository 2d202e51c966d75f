from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")
pytestmark = pytest.mark.host

from train.detection.targets import assign, normalize  # noqa: E402

HW = (120, 160)
ALL = np.ones(1, np.float32)


def targets(box: tuple[float, float, float, float], visible: float = 1.0) -> list[np.ndarray]:
    pairs = assign(np.array([box], np.float32), np.array([visible], np.float32), HW)
    return [part for pair in pairs for part in pair]


def test_a_small_face_belongs_to_the_fine_map_alone() -> None:
    score_8, box_8, score_16, _ = targets((40, 40, 12, 14))
    assert score_8[..., 0].sum() >= 1
    assert score_16[..., 0].sum() == 0
    row, column = np.argwhere(score_8[..., 0] == 1)[0]
    left, top, right, bottom, weight = box_8[row, column]
    x, y = (column + 0.5) * 8, (row + 0.5) * 8
    assert weight == 1
    np.testing.assert_allclose(
        [x - left * 8, y - top * 8, x + right * 8, y + bottom * 8], [40, 40, 52, 54], atol=1e-4
    )


def test_a_large_face_belongs_to_the_coarse_map_alone() -> None:
    score_8, _, score_16, box_16 = targets((30, 10, 80, 100))
    assert score_8[..., 0].sum() == 0
    assert score_16[..., 0].sum() >= 4
    assert (box_16[score_16[..., 0] == 1][:, :4] > 0).all()


def test_a_face_between_the_sizes_is_asked_of_both() -> None:
    score_8, _, score_16, _ = targets((60, 40, 30, 36))
    assert score_8[..., 0].sum() > 0
    assert score_16[..., 0].sum() > 0


@pytest.mark.parametrize("size", [6, 9, 13, 20, 33, 47, 70, 105])
@pytest.mark.parametrize("shift", [0.0, 3.7, 8.0])
def test_every_face_has_a_cell(size: float, shift: float) -> None:
    parts = targets((20 + shift, 5 + shift, size * 0.75, size))
    assert parts[0][..., 0].sum() + parts[2][..., 0].sum() > 0


def test_what_is_too_small_or_cut_off_is_neither_face_nor_background() -> None:
    for box, visible in (((40, 40, 3, 4), 1.0), ((0, 40, 6, 30), 0.2)):
        score_8, _, _, _ = targets(box, visible)
        assert score_8[..., 0].sum() == 0
        assert (score_8[..., 1] == 0).any()


def test_the_rim_of_a_face_is_ignored() -> None:
    _, _, score_16, _ = targets((30, 10, 80, 100))
    rim = (score_16[..., 0] == 0) & (score_16[..., 1] == 0)
    assert rim.any()


def test_a_small_face_before_a_large_one_keeps_its_cells() -> None:
    large, small = (40, 20, 38, 38), (52, 32, 14, 14)
    pairs = assign(np.array([small, large], np.float32), np.ones(2, np.float32), HW)
    score, box = pairs[0]
    center = box[4, 7]
    assert score[4, 7, 0] == 1
    assert (center[0] + center[2]) * 8 == pytest.approx(14)


def test_weights_are_shares_of_the_positive_cells_of_both_maps() -> None:
    parts = targets((60, 40, 30, 36))
    positives = sum(part[..., 4].sum() for part in parts if part.shape[-1] == 5)
    batch = normalize([part[None].copy() for part in parts], box_weight=2.0)
    assert sum(part[..., 4].sum() for part in batch if part.shape[-1] == 5) == pytest.approx(2.0)
    assert batch[0][..., 1].max() == pytest.approx(1 / positives)

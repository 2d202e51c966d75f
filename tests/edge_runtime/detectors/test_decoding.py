from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.backends.base import TensorInfo
from edge_runtime.detectors.decoding import Decoder, Decoding, cell_centers
from edge_runtime.detectors.suppression import merge_overlapping
from edge_runtime.errors import ContractError

INPUT_HW = (120, 160)
DECODING = Decoding(outputs=("score_8", "box_8", "score_16", "box_16"), score_threshold=0.5)
SHAPES = ((1, 15, 20, 1), (1, 15, 20, 4), (1, 8, 10, 1), (1, 8, 10, 4))
FLOAT = tuple(
    TensorInfo(name, shape, np.dtype(np.float32))
    for name, shape in zip(DECODING.outputs, SHAPES, strict=True)
)


def silent_outputs() -> list[npt.NDArray[np.float32]]:
    outputs = [np.zeros(shape, np.float32) for shape in SHAPES]
    outputs[0][:] = outputs[2][:] = -8
    return outputs


def test_a_cell_becomes_a_box_around_its_centre() -> None:
    outputs = silent_outputs()
    outputs[2][0, 3, 4] = 2.0
    outputs[3][0, 3, 4] = (1, 2, 0.5, 1.5)
    boxes, scores = Decoder(DECODING, INPUT_HW, FLOAT)(outputs)
    # The centre of row 3, column 4 at stride 16 is (72, 56).
    np.testing.assert_allclose(boxes, [[56, 24, 24, 56]], rtol=1e-5)
    assert scores[0] == pytest.approx(1 / (1 + math.exp(-2)))


def test_nothing_above_the_threshold_is_no_box() -> None:
    outputs = silent_outputs()
    outputs[0][0, 0, 0] = -0.1
    boxes, scores = Decoder(DECODING, INPUT_HW, FLOAT)(outputs)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_integer_tensors_in_another_order_give_the_same_boxes() -> None:
    outputs = silent_outputs()
    for row, column, logit in ((2, 3, 3.0), (12, 17, 1.0)):
        outputs[0][0, row, column] = logit
        outputs[1][0, row, column] = (1, 1.5, 1, 2)
    expected = Decoder(DECODING, INPUT_HW, FLOAT)(outputs)
    order = (3, 0, 2, 1)
    scales = {1: (0.125, 20), 4: (0.01, -100)}
    tensors, quantized = [], []
    for index in order:
        scale, zero = scales[SHAPES[index][-1]]
        tensors.append(TensorInfo("t", SHAPES[index], np.dtype(np.int8), scale, zero))
        raw = np.clip(np.round(outputs[index] / scale + zero), -128, 127)
        quantized.append(raw.astype(np.int8))
    decoding = replace(DECODING, outputs=tuple(DECODING.outputs[index] for index in order))
    boxes, scores = Decoder(decoding, INPUT_HW, tensors)(quantized)
    np.testing.assert_allclose(boxes, expected[0], atol=0.1)
    np.testing.assert_allclose(scores, expected[1], atol=0.02)


def test_overlapping_answers_become_their_weighted_mean() -> None:
    corners = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [40, 40, 50, 50]], np.float32)
    merged, scores = merge_overlapping(corners, np.array([0.6, 0.3, 0.9], np.float32), 0.4)
    assert scores.tolist() == pytest.approx([0.9, 0.6])
    np.testing.assert_allclose(merged[0], [40, 40, 50, 50])
    np.testing.assert_allclose(merged[1], [2 / 3, 0, 10 + 2 / 3, 10], rtol=1e-5)


def test_faces_side_by_side_stay_two() -> None:
    corners = np.array([[0, 0, 10, 10], [6, 0, 16, 10]], np.float32)
    merged, _ = merge_overlapping(corners, np.array([0.9, 0.8], np.float32), 0.4)
    assert len(merged) == 2


def test_a_box_without_area_does_not_disturb() -> None:
    corners = np.array([[5, 5, 5, 5], [5, 5, 5, 5]], np.float32)
    merged, _ = merge_overlapping(corners, np.array([0.9, 0.8], np.float32), 0.4)
    assert np.isfinite(merged).all()


def test_cells_cover_an_input_that_no_stride_divides() -> None:
    centers = cell_centers((120, 160), 16)
    assert centers.shape == (8, 10, 2)
    assert centers[7, 9].tolist() == [152, 120]


def test_every_cell_at_once_stays_bounded() -> None:
    outputs = [np.full(shape, 4, np.float32) for shape in SHAPES]
    boxes, _ = Decoder(DECODING, INPUT_HW, FLOAT)(outputs)
    assert 1 <= len(boxes) <= DECODING.max_faces


def test_a_decoding_survives_json() -> None:
    assert Decoding.from_json(DECODING.to_json()) == DECODING


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "anchors"}, "not supported"),
        ({"outputs": ["score_8"]}, "pairs"),
        ({"outputs": ["score_x", "box_x"]}, "pairs"),
        ({"outputs": ["score_8", "box_8", "landmarks_8"]}, "pairs"),
        ({"score_threshold": 1.0}, "score_threshold"),
        ({"nms_iou": 0}, "nms_iou"),
        ({"box_map": {"dx": 0, "zoom": 2}}, "malformed"),
        ({"box_map": {"scale_w": 0}}, "malformed"),
        ({"anchors": 3}, "malformed"),
        ({"fill": 300}, "fill"),
    ],
)
def test_what_cannot_be_decoded_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Decoding.from_json({**DECODING.to_json(), **change})


def test_missing_keys_are_named() -> None:
    with pytest.raises(ContractError, match="'outputs'"):
        Decoding.from_json({"score_threshold": 0.5})
    with pytest.raises(ContractError, match="'outputs'"):
        Decoding.from_json(None)


def test_tensors_of_other_shapes_are_refused() -> None:
    with pytest.raises(ContractError, match="has shape"):
        Decoder(DECODING, (240, 320), FLOAT)
    with pytest.raises(ContractError, match="4 outputs, the contract lists"):
        Decoder(Decoding(outputs=("score_8", "box_8")), INPUT_HW, FLOAT)


@pytest.mark.parametrize("seed", range(20))
def test_few_cells_are_decoded_as_many_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways through the same sums: one by one for a few cells, in arrays for many."""
    rng = np.random.default_rng(seed)
    tensors = tuple(
        TensorInfo("t", shape, np.dtype(np.int8), 0.05 if shape[-1] == 4 else 0.1, -60) for shape in SHAPES
    )
    raw = [np.full(shape, -128, np.int8) for shape in SHAPES]
    for level in (0, 2):
        cells = rng.integers(0, raw[level].size, 6)
        # Neighbours overlap, so that there is something to merge; equal scores occur.
        cells = np.concatenate([cells[:3], np.minimum(cells[:3] + 1, raw[level].size - 1)])
        raw[level].reshape(-1)[cells] = rng.choice([-50, 0, 40], 6)
        raw[level + 1][:] = rng.integers(-60, 10, raw[level + 1].shape)
    decoder = Decoder(DECODING, INPUT_HW, tensors)
    few = decoder(raw)
    assert 1 <= len(few[0]) <= 12
    monkeypatch.setattr("edge_runtime.detectors.decoding.FEW", 0)
    many = decoder(raw)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)

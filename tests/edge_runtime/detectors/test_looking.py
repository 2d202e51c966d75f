from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.backends.base import TensorInfo
from edge_runtime.detectors.base import LocalDetector
from edge_runtime.detectors.decoding import Decoder, Decoding, SecondLook, cell_centers
from edge_runtime.detectors.looking import cut_around, judge, judge_all, wanted_looks
from edge_runtime.errors import ContractError
from edge_runtime.preprocess import Box
from tests.edge_runtime.detectors.test_edge import contract, detector, frame_with_light

HW = (120, 160)
DECODING = Decoding(outputs=("score_8", "box_8", "score_16", "box_16"))


@given(
    st.tuples(st.integers(40, 700), st.integers(40, 700)),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(4, 600),
    st.floats(0.5, 2),
    st.sampled_from((0.2, 0.35, 0.6)),
)
@settings(max_examples=200, deadline=None)
def test_what_is_cut_out_lies_where_the_view_says(
    hw: tuple[int, int], at_x: float, at_y: float, size: float, aspect: float, share: float
) -> None:
    rows, columns = hw
    # Luma rises to the right and down, so that every value tells where it comes from.
    ramp_x = np.tile(np.linspace(20, 250, columns), (rows, 1)).astype(np.uint8)
    ramp_y = np.tile(np.linspace(20, 250, rows)[:, None], (1, columns)).astype(np.uint8)
    place = (at_x * columns - size / 2, at_y * rows - size / 2, size, size * aspect)
    for axis, (ramp, extent) in enumerate(((ramp_x, columns), (ramp_y, rows))):
        out = np.empty(HW, np.uint8)
        view = cut_around(ramp, place, share, out, 0)
        inside = np.argwhere(out > 0)
        assert len(inside)
        row, column = (int(value) for value in (inside.min(axis=0) + inside.max(axis=0)) // 2)
        at = (column, row)[axis]
        position = view.origin[axis] + (at + 0.5) * view.step[axis] - 0.5
        expected = 20 + 230 * position / (extent - 1)
        slope = 230 / (extent - 1) * view.step[axis]
        assert out[row, column] == pytest.approx(np.clip(expected, 20, 250), abs=1.5 + slope)


@pytest.mark.parametrize("hw", [(1, 1), (3, 200), (200, 3), (17, 9)])
@pytest.mark.parametrize("size", [0.01, 3, 50, 5000])
def test_any_box_can_be_cut_out_of_any_frame(hw: tuple[int, int], size: float) -> None:
    out = np.zeros(HW, np.uint8)
    for x, y in ((0, 0), (-size, 0), (hw[1], hw[0]), (1e4, -1e4)):
        view = cut_around(np.full(hw, 90, np.uint8), (x, y, size, size), 0.35, out, 7)
        assert np.isfinite([*view.origin, *view.step]).all()
        assert set(np.unique(out)) <= {7, 90}


def test_a_box_takes_its_share_of_the_picture_in_the_middle() -> None:
    frame = np.zeros((480, 640), np.uint8)
    frame[200:260, 300:350] = 255
    out = np.empty(HW, np.uint8)
    cut_around(frame, (300, 200, 50, 60), 0.5, out, 7)
    rows, columns = np.nonzero(out > 127)
    assert (rows.min(), rows.max() + 1) == (30, 90)
    assert (columns.min(), columns.max() + 1) == (55, 105)
    assert 7 not in out


def test_what_lies_outside_of_the_frame_is_filled() -> None:
    frame = np.full((480, 640), 90, np.uint8)
    out = np.empty(HW, np.uint8)
    cut_around(frame, (0, 0, 60, 60), 0.25, out, 7)
    assert set(np.unique(out)) == {7, 90}
    # The corner of the frame, 30 pixels above and left of the box's centre, is 15 pixels from the middle.
    assert (out[45:, 65:] == 90).all()
    assert (out[:44] == 7).all()


def test_both_looks_count_alike() -> None:
    place, closer = (0, 0, 10, 10), (1, 1, 10, 10)
    found, score = judge(place, 0.5, (closer, 0.9))
    assert found == closer
    assert math.log(score / (1 - score)) == pytest.approx(math.log(9) / 2)
    found, score = judge(place, 0.9, None)
    assert found == place
    assert score < 0.5


def test_answers_beyond_the_number_of_looks_keep_their_scores() -> None:
    spec = SecondLook(score_threshold=0.3, most=2)
    scores = np.array([0.9, 0.8, 0.7, 0.2], np.float32)
    boxes = np.array([[100 * index, 0, 20, 20] for index in range(4)], np.float32)
    assert wanted_looks(scores, spec) == 2
    assert wanted_looks(scores[3:], spec) == 0
    judged, after = judge_all((boxes, scores), [None, ((100, 0, 20, 20), 0.95)], 0.4)
    by_place = dict(zip(judged[:, 0].tolist(), after.tolist(), strict=True))
    assert by_place[200] == pytest.approx(0.7)
    assert by_place[300] == pytest.approx(0.2)
    assert by_place[100] > 0.8
    assert by_place[0] < 0.3
    assert after.tolist() == sorted(after.tolist(), reverse=True)


def test_answers_that_turn_out_to_be_one_face_become_one() -> None:
    boxes = np.array([[0, 0, 20, 20], [15, 0, 20, 20]], np.float32)
    same = ((8, 0, 22, 22), 0.9)
    judged, _ = judge_all((boxes, np.array([0.6, 0.5], np.float32)), [same, same], 0.4)
    np.testing.assert_allclose(judged, [[8, 0, 22, 22]], rtol=1e-5)


def test_the_best_answer_at_a_place_is_what_decoding_finds_there() -> None:
    rng = np.random.default_rng(3)
    maps = [(8, (15, 20)), (16, (8, 10))]
    outputs, tensors = [], []
    for stride, (rows, columns) in maps:
        score = np.full((1, rows, columns, 1), -8, np.float32)
        distances = np.full((1, rows, columns, 4), 0.1, np.float32)
        if stride == 16:
            # Nine cells that say much the same about a face at (40, 40), and one about another face.
            centers = cell_centers(HW, stride)
            for row, column in np.ndindex(3, 3):
                x, y = centers[2 + row, 2 + column]
                edges = [x - 40, y - 40, 90 - x, 90 - y]
                distances[0, 2 + row, 2 + column] = np.array(edges) / stride + rng.normal(0, 0.02, 4)
                score[0, 2 + row, 2 + column] = rng.uniform(0, 3)
            score[0, 6, 8], distances[0, 6, 8] = 4, 2
        for values in (score, distances):
            outputs.append(values)
            tensors.append(TensorInfo("t", values.shape, np.dtype(np.float32)))
    decoder = Decoder(DECODING, HW, tensors, 0.3)
    boxes, scores = decoder(outputs)
    assert len(boxes) == 2
    found = decoder.best_at(outputs, (38, 36, 54, 54), 0.25)
    assert found is not None
    np.testing.assert_allclose(found[0], boxes[1], atol=1e-3)
    assert found[1] == pytest.approx(float(scores[1]))
    assert decoder.best_at(outputs, (0, 100, 20, 20), 0.25) is None
    for x, y in ((-500, -500), (500, 10), (10, 500), (1e6, 1e6)):
        assert decoder.best_at(outputs, (x, y, 20, 20), 0.25) is None
    # A place over the face that is four times as large as it overlaps it too little.
    assert decoder.best_at(outputs, (-35, -35, 200, 200), 0.25) is None


def test_the_box_is_that_of_the_second_look() -> None:
    # The stand-in network's boxes are four strides wide: of pixels that are 4 of the frame at the first
    # look, and less at the second.
    frame = frame_with_light((480, 640), 320, 160, 32)
    (first,) = detector().detect(frame)
    (second,) = detector(replace(contract(), decoding=with_looks(min_iou=0.05))).detect(frame)
    assert first.box.w == pytest.approx(128)
    assert second.box.w == pytest.approx(128 / 0.9 * 32 / 120, rel=0.02)
    center = (second.box.x + second.box.w / 2, second.box.y + second.box.h / 2)
    assert 320 < center[0] < 352
    assert 160 < center[1] < 192


def with_looks(**changes: object) -> dict[str, object]:
    spec = SecondLook(**{"face_share": 0.9, **changes})  # type: ignore[arg-type]
    return Decoding(outputs=("score_8", "box_8"), second_look=spec).to_json()


def test_what_a_second_look_does_not_confirm_is_no_face() -> None:
    # A light that fills a cell from afar is spread out and dim when the picture is twice as coarse.
    frame = frame_with_light((480, 640), 320, 160, 32)
    found = replace(contract(), decoding=with_looks(face_share=0.1))
    (before,) = detector().detect(frame)
    assert before.score > 0.9
    assert detector(found).detect(frame) == []


def test_a_face_is_followed_near_the_place_where_it_was() -> None:
    edge = detector(replace(contract(), decoding=with_looks(face_share=0.3, min_iou=0.1)))
    assert isinstance(edge, LocalDetector)
    frame = frame_with_light((480, 640), 320, 160, 32)
    (whole,) = detector().detect(frame)
    near = edge.detect_near(frame, whole.box)
    assert near is not None
    assert near.box.iou(whole.box) > 0.1
    assert edge.detect_near(np.full((480, 640), 20, np.uint8), whole.box) is None
    assert edge.detect_near(frame, Box(20, 20, 40, 40)) is None


def test_the_contract_holds_the_second_look() -> None:
    decoding = replace(DECODING, second_look=SecondLook(most=3))
    assert Decoding.from_json(decoding.to_json()) == decoding
    assert Decoding.from_json(DECODING.to_json()).second_look is None
    before_there_were_any = DECODING.to_json()
    del before_there_were_any["second_look"]
    assert Decoding.from_json(before_there_were_any) == DECODING


@pytest.mark.parametrize(
    "wrong", [{"most": 0}, {"most": 2.5}, {"face_share": 1.5}, {"min_iou": "a"}, {"score_threshold": 0}]
)
def test_settings_of_the_second_look_that_are_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    document = {**DECODING.to_json(), "second_look": wrong}
    with pytest.raises(ContractError, match=f"second_look.{next(iter(wrong))} must be"):
        Decoding.from_json(document)


def test_unknown_settings_of_the_second_look_are_refused() -> None:
    with pytest.raises(ContractError, match="decoding is malformed"):
        Decoding.from_json({**DECODING.to_json(), "second_look": {"zoom": 2}})

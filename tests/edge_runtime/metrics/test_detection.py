import numpy as np
import pytest

from edge_runtime.metrics import (
    average_precision,
    iou_matrix,
    match_detections,
    precision_recall_curve,
    recall_at_false_positives,
)

FACE = [0, 0, 10, 10]
OTHER = [50, 50, 20, 20]
NOWHERE = [200, 200, 10, 10]


def test_iou_computed_by_hand() -> None:
    overlap = iou_matrix([FACE, [5, 0, 10, 10]], [FACE, [5, 5, 10, 10], NOWHERE])
    assert overlap == pytest.approx(np.array([[1, 25 / 175, 0], [50 / 150, 50 / 150, 0]]))


def test_iou_of_nothing() -> None:
    assert iou_matrix(np.empty((0, 4)), [FACE]).shape == (0, 1)
    assert iou_matrix([[3, 3, 0, 0]], [[3, 3, 0, 0]]).tolist() == [[0.0]]


def test_iou_agrees_with_the_device_side() -> None:
    from edge_runtime.preprocess import Box

    boxes = np.random.default_rng(2).uniform(1, 30, (20, 4))
    expected = [[Box(*a).iou(Box(*b)) for b in boxes] for a in boxes]
    assert iou_matrix(boxes, boxes) == pytest.approx(np.array(expected))


def test_each_face_is_found_once() -> None:
    matches = match_detections([([FACE, FACE, NOWHERE], [0.7, 0.9, 0.8])], [[FACE]])
    assert matches.scores.tolist() == [0.9, 0.8, 0.7]
    assert matches.hits.tolist() == [True, False, False]
    assert (matches.faces, matches.pictures) == (1, 1)


def test_a_free_face_is_taken_when_the_nearest_is_taken() -> None:
    neighbour = [2, 0, 10, 10]
    matches = match_detections([([FACE, FACE], [0.9, 0.8])], [[FACE, neighbour]], 0.5)
    assert matches.hits.tolist() == [True, True]


def test_average_precision_computed_by_hand() -> None:
    detections = [
        ([FACE, NOWHERE], [0.9, 0.8]),
        ([OTHER], [0.7]),
        ([NOWHERE], [0.6]),
    ]
    matches = match_detections(detections, [[FACE], [OTHER, FACE], []])
    precision, recall, threshold = precision_recall_curve(matches)
    assert threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert precision == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])
    assert recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert average_precision(matches) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)


def test_detections_of_equal_score_are_judged_together() -> None:
    hit_first = match_detections([([FACE, NOWHERE], [0.5, 0.5])], [[FACE]])
    miss_first = match_detections([([NOWHERE, FACE], [0.5, 0.5])], [[FACE]])
    assert average_precision(hit_first) == average_precision(miss_first) == pytest.approx(0.5)


def test_recall_at_a_rate_of_false_alarms() -> None:
    detections = [([FACE, NOWHERE], [0.9, 0.8]), ([OTHER, NOWHERE], [0.7, 0.6])]
    matches = match_detections(detections, [[FACE], [OTHER]])
    assert recall_at_false_positives(matches, 0.0) == (0.5, 0.9)
    assert recall_at_false_positives(matches, 0.5) == (1.0, 0.7)
    assert recall_at_false_positives(matches, 5.0) == (1.0, 0.6)


def test_recall_is_zero_when_the_best_score_is_a_false_alarm() -> None:
    matches = match_detections([([NOWHERE, FACE], [0.9, 0.8])], [[FACE]])
    assert recall_at_false_positives(matches, 0.5) == (0.0, float("inf"))


def test_a_detector_that_finds_nothing() -> None:
    matches = match_detections([([], [])], [[FACE]])
    assert average_precision(matches) == 0.0
    assert recall_at_false_positives(matches, 1.0)[0] == 0.0


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="1 pictures, truth of 2"):
        match_detections([([FACE], [0.5])], [[FACE], []])
    with pytest.raises(ValueError, match="2 boxes but 1"):
        match_detections([([FACE, OTHER], [0.5])], [[FACE]])
    with pytest.raises(ValueError, match="at least one true box"):
        average_precision(match_detections([([], [])], [[]]))

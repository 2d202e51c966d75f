"""Track numbers stay with faces, and smoothing goes by time."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.detectors import Detection
from edge_runtime.preprocess import Box
from edge_runtime.smoothing import ExponentialSmoother
from edge_runtime.tracking import IouTracker

SECOND = 1_000_000_000


def at(x: float, y: float = 0.0, side: float = 100.0) -> Detection:
    return Detection(Box(x, y, side, side), 1.0)


def numbers(tracker: IouTracker, detections: list[Detection], now_s: float) -> list[int]:
    return [track.number for track in tracker.update(detections, round(now_s * SECOND))]


def test_numbers_follow_faces_in_any_order() -> None:
    tracker = IouTracker()
    assert numbers(tracker, [at(0), at(300)], 0) == [1, 2]
    assert numbers(tracker, [at(310), at(10)], 0.04) == [2, 1]
    assert numbers(tracker, [at(20), at(600), at(320)], 0.08) == [1, 3, 2]


def test_best_overlap_wins() -> None:
    tracker = IouTracker()
    numbers(tracker, [at(0), at(40)], 0)
    assert numbers(tracker, [at(38), at(12)], 0.04) == [2, 1]


def test_a_face_that_is_missed_shortly_keeps_its_number() -> None:
    tracker = IouTracker(drop_after_s=0.5)
    assert numbers(tracker, [at(0)], 0) == [1]
    assert numbers(tracker, [], 0.2) == []
    assert numbers(tracker, [at(5)], 0.5) == [1]
    assert numbers(tracker, [], 0.9) == []
    assert numbers(tracker, [at(5)], 1.1) == [2]
    assert [track.number for track in tracker.tracks] == [2]


def test_a_face_that_jumps_is_another() -> None:
    tracker = IouTracker(min_iou=0.3)
    numbers(tracker, [at(0)], 0)
    assert numbers(tracker, [at(90)], 0.04) == [2]


def unsure(x: float) -> Detection:
    return Detection(Box(x, 0, 100, 100), 0.6)


def confirmed(tracker: IouTracker, detections: list[Detection], now_s: float) -> list[int]:
    tracks = tracker.update(detections, round(now_s * SECOND))
    return [track.number for track in tracks if track.confirmed]


def test_a_face_that_is_not_sure_has_to_stay() -> None:
    tracker = IouTracker(confirm_s=0.2, sure_score=0.75)
    assert confirmed(tracker, [], 0) == []
    assert confirmed(tracker, [unsure(0), at(300)], 0.1) == [2]
    assert confirmed(tracker, [unsure(0), at(300)], 0.2) == [2]
    assert confirmed(tracker, [unsure(0), unsure(300)], 0.3) == [1, 2]
    # One that was gone for too long starts again.
    assert confirmed(tracker, [], 0.8) == []
    assert confirmed(tracker, [unsure(0)], 0.9) == []


def test_a_face_is_confirmed_as_soon_as_it_is_sure() -> None:
    tracker = IouTracker(confirm_s=10, sure_score=0.75)
    confirmed(tracker, [], 0)
    assert confirmed(tracker, [unsure(0)], 0.04) == []
    assert confirmed(tracker, [at(0)], 0.08) == [1]
    assert confirmed(tracker, [unsure(0)], 0.12) == [1]


def test_in_a_frame_that_stands_alone_every_face_counts() -> None:
    tracker = IouTracker(confirm_s=0.2, sure_score=0.75)
    assert confirmed(tracker, [unsure(0)], 0) == [1]
    # One frame per second: no track lives long enough to be confirmed.
    assert confirmed(tracker, [unsure(0)], 1) == [2]
    assert confirmed(tracker, [unsure(0), unsure(300)], 1.04) == [2]
    tracker.reset()
    assert confirmed(tracker, [unsure(300)], 1.08) == [1]


def test_reset_counts_from_one_again() -> None:
    tracker = IouTracker()
    numbers(tracker, [at(0)], 0)
    tracker.reset()
    assert numbers(tracker, [at(0)], 0.04) == [1]


@pytest.mark.parametrize("rate_hz", [5, 10, 30, 100])
def test_step_response_does_not_depend_on_the_frame_rate(rate_hz: int) -> None:
    smoother = ExponentialSmoother(time_constant_s=0.5)
    smoother.update(1, np.array([1, 0], np.float32), 0)
    value = np.zeros(2, np.float32)
    for index in range(1, rate_hz + 1):
        value = smoother.update(1, np.array([0, 1], np.float32), round(index * SECOND / rate_hz))
    assert value[1] == pytest.approx(1 - np.exp(-1 / 0.5), abs=1e-4)
    assert value.sum() == pytest.approx(1, abs=1e-5)


def test_tracks_are_smoothed_apart_and_forgotten() -> None:
    smoother = ExponentialSmoother(1.0)
    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    smoother.update(1, one, 0)
    assert smoother.update(2, other, 0).tolist() == [0, 1]
    smoother.keep([2])
    assert smoother.update(1, other, SECOND).tolist() == [0, 1]


def test_inputs_are_not_changed_and_zero_smooths_nothing() -> None:
    smoother = ExponentialSmoother(1.0)
    first = np.array([1, 0], np.float32)
    smoother.update(1, first, 0)
    smoother.update(1, np.array([0, 1], np.float32), SECOND)
    assert first.tolist() == [1, 0]
    plain = ExponentialSmoother(0)
    plain.update(1, first, 0)
    assert plain.update(1, np.array([0, 1], np.float32), 1).tolist() == [0, 1]

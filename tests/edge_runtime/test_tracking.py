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

"""Arrived, left, changed: each once, after it has lasted, and no more often than allowed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from edge_runtime.events import Event, EventDetector, EventSettings
from edge_runtime.preprocess import Box
from edge_runtime.records import STAGES, FaceRecord, FrameRecord

SETTINGS = EventSettings(arrive_after_s=0.3, leave_after_s=0.5, change_after_s=0.5, min_interval_s=2.0)


def record(at_s: float, faces: Sequence[tuple[int, str]]) -> FrameRecord:
    seen = tuple(FaceRecord(track, Box(0, 0, 9, 9), 1.0, label, 0.9, {}) for track, label in faces)
    now_ns = round(at_s * 1e9)
    return FrameRecord(0, 1, 0, 0, seen, dict.fromkeys(STAGES, 0.0), "m", "b", t_scene_ns=now_ns)


def play(script: Sequence[tuple[float, Sequence[tuple[int, str]]]]) -> list[tuple[float, Event]]:
    """Events with the time of their frame; each entry holds from its time on, at 10 frames/s."""
    detector = EventDetector(SETTINGS, clock=lambda: 1000.0)
    events = []
    for (start, faces), (end, _) in zip(script, [*script[1:], (script[-1][0] + 0.05, ())], strict=True):
        for tenth in range(round(start * 10), max(round(end * 10), round(start * 10) + 1)):
            events += [(tenth / 10, event) for event in detector.update(record(tenth / 10, faces))]
    return events


def brief(events: Sequence[tuple[float, Event]]) -> list[tuple[float, str, int, str]]:
    return [(at, event.kind, event.track, event.label) for at, event in events]


def test_arrival_and_departure_with_their_dwell_times() -> None:
    events = play([(0, [(1, "happy")]), (2, []), (4, [])])
    assert brief(events) == [(0.3, "arrived", 1, "happy"), (2.4, "left", 1, "happy")]
    assert events[0][1].dwell_s == pytest.approx(0.3)
    assert events[1][1].dwell_s == pytest.approx(1.9)


def test_a_false_alarm_is_never_reported() -> None:
    assert play([(0, [(1, "sad")]), (0.2, []), (3, [])]) == []


def test_a_short_gap_is_no_departure() -> None:
    events = play([(0, [(1, "sad")]), (1, []), (1.3, [(1, "sad")]), (2, [(1, "sad")])])
    assert [event.kind for _, event in events] == ["arrived"]


def test_a_change_must_last_and_tells_what_was_before() -> None:
    script = [(0, [(1, "sad")]), (1, [(1, "happy")]), (1.3, [(1, "sad")]), (2, [(1, "happy")])]
    events = play([*script, (3, [(1, "happy")])])
    assert brief(events) == [(0.3, "arrived", 1, "sad"), (2.5, "changed", 1, "happy")]
    assert events[1][1].previous == "sad"
    assert events[1][1].dwell_s == pytest.approx(1.7)


def test_uncertain_is_no_change() -> None:
    events = play([(0, [(1, "sad")]), (1, [(1, "uncertain")]), (3, [(1, "sad")]), (4, [(1, "sad")])])
    assert [event.kind for _, event in events] == ["arrived"]


def test_changes_are_not_reported_more_often_than_allowed() -> None:
    script = [(second, [(1, ("sad", "happy")[second % 2])]) for second in range(8)]
    changes = [at for at, event in play(script) if event.kind == "changed"]
    assert len(changes) > 1
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(changes))


def test_faces_are_apart_and_the_end_lets_everybody_leave() -> None:
    detector = EventDetector(SETTINGS, clock=lambda: 5.0)
    detector.update(record(0, [(1, "sad"), (2, "happy")]))
    arrived = detector.update(record(0.4, [(1, "sad"), (2, "happy"), (3, "fear")]))
    assert [(event.kind, event.track) for event in arrived] == [("arrived", 1), ("arrived", 2)]
    assert [(event.kind, event.track) for event in detector.finish()] == [("left", 1), ("left", 2)]
    assert detector.finish() == []


def test_the_object_of_an_event() -> None:
    event = Event("changed", 3, "happy", "sad", 1.23456, 1000.5)
    assert event.to_dict() == {
        "schema": 1,
        "event": "changed",
        "track": 3,
        "label": "happy",
        "previous": "sad",
        "dwell_s": 1.235,
        "time": 1000.5,
    }

"""Whole searches at intervals, neighbourhoods in between, and no result from the past."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.detectors import Detection, load_detector
from edge_runtime.finding import MOST_NEAR, FaceFinder
from edge_runtime.preprocess import Box, UInt8Array, to_luma
from edge_runtime.sources import open_source
from edge_runtime.tracking import IouTracker

FRAME = np.zeros((100, 100), np.uint8)
INTERVAL_NS = 40_000_000


class World:
    """Faces where the test puts them, and a count of what the search cost."""

    name = "world"

    def __init__(self) -> None:
        self.faces: list[Box] = []
        self.score = 0.9
        self.whole = 0
        self.near = 0

    def detect(self, luma: UInt8Array) -> list[Detection]:
        self.whole += 1
        return [Detection(box, self.score) for box in self.faces]

    def detect_near(self, luma: UInt8Array, box: Box) -> Detection | None:
        self.near += 1
        best = max(self.faces, key=box.iou, default=None)
        return Detection(best, self.score) if best is not None and box.iou(best) > 0.2 else None


class WholeOnly:
    name = "whole"

    def __init__(self) -> None:
        self.whole = 0

    def detect(self, luma: UInt8Array) -> list[Detection]:
        self.whole += 1
        return []


def watch(finder: FaceFinder, first: int, last: int) -> list[list[int]]:
    """Track numbers of frames `first` to `last` - 1 at 25 frames/s."""
    return [[t.number for t in finder.find(FRAME, i * INTERVAL_NS)] for i in range(first, last)]


def make(world: World | WholeOnly, interval_s: float = 0.2) -> FaceFinder:
    return FaceFinder(world, IouTracker(), interval_s=interval_s)


def test_a_face_that_stays_costs_one_whole_search_per_interval() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30)]
    assert watch(make(world), 0, 25) == [[1]] * 25
    assert (world.whole, world.near) == (5, 20)


def test_a_crowd_is_searched_whole() -> None:
    world = World()
    world.faces = [Box(12 * index, 10, 10, 10) for index in range(MOST_NEAR + 1)]
    assert watch(make(world), 0, 3) == [list(range(1, MOST_NEAR + 2))] * 3
    assert (world.whole, world.near) == (3, 0)


def test_a_face_that_appears_is_seen_within_the_interval() -> None:
    world = World()
    finder = make(world)
    assert watch(finder, 0, 3) == [[]] * 3
    world.faces = [Box(10, 10, 30, 30)]
    assert watch(finder, 3, 6)[-1] == [1]


def test_a_face_that_leaves_is_gone_in_the_same_frame() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30), Box(60, 10, 30, 30)]
    finder = make(world)
    watch(finder, 0, 2)
    world.faces = world.faces[:1]
    assert watch(finder, 2, 3) == [[1]]
    # The loss was looked into with one whole search, and only one.
    assert world.whole == 2
    watch(finder, 3, 5)
    assert world.whole == 2


def test_a_face_that_jumps_is_found_at_once() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30)]
    finder = make(world)
    watch(finder, 0, 2)
    world.faces = [Box(60, 60, 30, 30)]
    assert watch(finder, 2, 3) == [[2]]


def test_a_face_that_returns_keeps_its_number() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30)]
    finder = make(world)
    watch(finder, 0, 2)
    world.faces = []
    assert watch(finder, 2, 6) == [[]] * 4
    world.faces = [Box(12, 10, 30, 30)]
    assert watch(finder, 6, 7) == [[1]]


@pytest.mark.parametrize("gone", [0, 1])
def test_a_face_behind_another_is_not_reported_as_a_second_one(gone: int) -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30), Box(60, 10, 30, 30)]
    finder = make(world)
    assert watch(finder, 0, 2) == [[1, 2]] * 2
    # Both come so close that the search of either place finds the one in front, which stays.
    world.faces[1 - gone] = Box(40, 10, 30, 30)
    world.faces[gone] = Box(32, 10, 30, 30)
    watch(finder, 2, 5)
    del world.faces[gone]
    reported = watch(finder, 5, 60)
    assert all(len(numbers) == 1 for numbers in reported)
    assert reported[20:] == [reported[20]] * 35


def test_faces_of_a_lower_score_are_dropped_between_whole_searches_too() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30)]
    finder = FaceFinder(world, IouTracker(), interval_s=0.2, min_score=0.8)
    assert watch(finder, 0, 2) == [[1]] * 2
    world.score = 0.7
    assert watch(finder, 2, 10) == [[]] * 8


def test_faces_that_touch_are_both_followed() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30), Box(30, 10, 30, 30)]
    assert watch(make(world), 0, 20) == [[1, 2]] * 20


def test_without_a_local_search_or_interval_every_frame_is_searched_whole() -> None:
    plain = WholeOnly()
    watch(make(plain), 0, 5)
    assert plain.whole == 5
    world = World()
    world.faces = [Box(10, 10, 30, 30)]
    watch(make(world, interval_s=0), 0, 5)
    assert (world.whole, world.near) == (5, 0)


@pytest.mark.parametrize("interval_s", [0, 0.2])
def test_a_face_that_is_not_sure_is_reported_once_it_has_stayed(interval_s: float) -> None:
    world = World()
    tracker = IouTracker(confirm_s=0.2, sure_score=0.95)
    finder = FaceFinder(world, tracker, interval_s=interval_s)
    assert watch(finder, 0, 5) == [[]] * 5
    world.faces = [Box(10, 10, 30, 30)]
    assert watch(finder, 5, 12) == [[]] * 5 + [[1]] * 2
    world.faces = []
    assert watch(finder, 12, 30) == [[]] * 18
    world.faces = [Box(10, 10, 30, 30)]
    assert watch(finder, 30, 33) == [[]] * 3
    world.faces = []
    assert watch(finder, 33, 50) == [[]] * 17


def test_a_still_stands_alone() -> None:
    world = World()
    world.faces = [Box(10, 10, 30, 30)]
    finder = make(world)
    assert [t.number for t in finder.find_in_still(FRAME, 0)] == [1]
    world.faces = [Box(60, 60, 30, 30)]
    assert [t.number for t in finder.find_in_still(FRAME, 1)] == [1]


def test_haar_follows_a_portrait_that_moves(portrait: UInt8Array) -> None:
    detector = load_detector("haar")
    finder = FaceFinder(detector, IouTracker(), interval_s=10)
    for frame in open_source("demo:12").frames():
        (track,) = finder.find(frame.luma, frame.scene_ns)
        (whole,) = detector.detect(frame.luma)
        assert track.box.iou(whole.box) > 0.6
    assert track.number == 1


@pytest.mark.data
def test_reported_boxes_are_those_of_a_whole_search(media: Path) -> None:
    """On real video, what is reported between whole searches lies where a whole search would find it."""
    detector = load_detector("haar")
    finder = make(detector)  # type: ignore[arg-type]
    capture = cv2.VideoCapture(str(media / "webcam.mp4"))
    reported = agreeing = 0
    for index in range(60):
        luma = to_luma(capture.read()[1])  # type: ignore[arg-type]
        tracks = finder.find(luma, index * INTERVAL_NS)
        whole = [found.box for found in detector.detect(luma)]
        reported += len(tracks)
        agreeing += sum(any(track.box.iou(box) > 0.5 for box in whole) for track in tracks)
    assert reported >= 57
    assert agreeing == reported

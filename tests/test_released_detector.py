"""The released detector against OpenCV's cascade, as the device runs both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.candidates import make_candidate
from benchmarks.detection import judge, sample
from edge_runtime.datasets import yolo
from edge_runtime.datasets.conventions import FULL_FACE_MAPS

FACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "faces.zip"
PICTURES = 120
ROOMS = 350


@pytest.mark.data
@pytest.mark.skipif(not FACES.exists(), reason="no faces.zip in ../shared/data")
def test_it_finds_more_faces_with_fewer_alarms_than_the_cascade() -> None:
    data = yolo.read(FACES).with_maps(FULL_FACE_MAPS)
    empty = data.named(("room_",))
    # One alarm more or less is chance: hundreds of rooms tell the two apart.
    rooms = sample(data.select(empty), ROOMS)
    faces = data.select(~empty).split("validation")
    faces = sample(faces.select(faces.named(("desk_", "portrait_"))), PICTURES)
    every = np.ones(len(faces), bool)
    figures = {}
    for name in ("edge", "haar"):
        candidate = make_candidate(name)
        figures[name] = judge(candidate, faces, rooms, every, (480, 640)).recall(candidate.threshold)
    edge, haar = figures["edge"], figures["haar"]
    assert edge["tall_faces"] == haar["tall_faces"] > 100
    assert edge["recall"] > haar["recall"] + 0.2
    assert edge["false_alarms"] < haar["false_alarms"]

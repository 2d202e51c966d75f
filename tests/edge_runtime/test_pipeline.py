"""From frames to records, with the tiny model and real or generated frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.classifier import Classifier
from edge_runtime.detectors import Detection, load_detector
from edge_runtime.pipeline import Pipeline, PipelineSettings
from edge_runtime.preprocess import Box, UInt8Array, crop_face, crop_region, to_luma
from edge_runtime.records import STAGES, FrameRecord
from edge_runtime.sources import Frame

INTERVAL_NS = 40_000_000


class Film:
    """Frames from memory at 25 frames/s."""

    description = "film"

    def __init__(self, frames: Sequence[UInt8Array], names: Sequence[str] = ()) -> None:
        self._frames = frames
        self._names = names or [""] * len(frames)

    def frames(self) -> Iterator[Frame]:
        for index, (luma, name) in enumerate(zip(self._frames, self._names, strict=True)):
            yield Frame(index, 1, luma, name=name, t_scene_ns=index * INTERVAL_NS)

    def close(self) -> None:
        pass


class Scripted:
    """Reports the boxes that the test wants."""

    name = "scripted"

    def __init__(self, boxes: Sequence[Sequence[Box]], score: float = 0.9) -> None:
        self._boxes = iter(boxes)
        self._score = score

    def detect(self, luma: UInt8Array) -> list[Detection]:
        return [Detection(box, self._score) for box in next(self._boxes)]


class Collector:
    def __init__(self) -> None:
        self.records: list[FrameRecord] = []

    def write(self, record: FrameRecord) -> None:
        self.records.append(record)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    return Classifier.load(tiny_model)


def noise(count: int) -> list[UInt8Array]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (120, 160), dtype=np.uint8) for _ in range(count)]


UNSMOOTHED = PipelineSettings(smoothing_s=0)


def test_records_hold_what_the_classifier_says_of_each_crop(classifier: Classifier) -> None:
    frames = noise(2)
    boxes = [[Box(10, 10, 50, 50), Box(90, 40, 60, 60)], [Box(92, 41, 60, 60)]]
    sink = Collector()
    pipeline = Pipeline(Film(frames), Scripted(boxes), classifier, [sink], UNSMOOTHED)
    totals = pipeline.run()
    assert [[face.track for face in record.faces] for record in sink.records] == [[1, 2], [2]]
    for luma, record, expected in zip(frames, sink.records, boxes, strict=True):
        for face, box in zip(record.faces, expected, strict=True):
            region = crop_region(box, classifier.contract.crop)
            crop = crop_face(luma, region, classifier.contract.input)
            wanted = classifier.predict(crop)
            assert list(face.probabilities.values()) == pytest.approx(wanted.tolist())
            assert face.box == box
            assert face.score == 0.9
    assert (totals.frames, totals.faces, totals.frames_with_faces) == (2, 3, 2)
    assert sum(totals.labels.values()) == 3
    record = sink.records[0]
    assert record.model == f"sha256:{classifier.file.sha256}"
    assert record.backend == classifier.backend.description
    assert set(record.timing_ms) == set(STAGES)
    parts = [record.timing_ms[stage] for stage in STAGES if stage != "total"]
    assert 0 < sum(parts) <= record.timing_ms["total"]


def test_probabilities_are_smoothed_along_a_track(classifier: Classifier) -> None:
    frames = noise(2)
    box = Box(10, 10, 50, 50)

    def run(settings: PipelineSettings) -> list[np.ndarray]:
        sink = Collector()
        Pipeline(Film(frames), Scripted([[box], [box]]), classifier, [sink], settings).run()
        return [np.array(list(record.faces[0].probabilities.values())) for record in sink.records]

    raw, smooth = run(UNSMOOTHED), run(PipelineSettings(smoothing_s=0.3))
    weight = 1 - np.exp(-0.04 / 0.3)
    assert smooth[0] == pytest.approx(raw[0])
    assert smooth[1] == pytest.approx(raw[0] + weight * (raw[1] - raw[0]), abs=1e-5)


def test_pictures_of_a_folder_are_no_film(classifier: Classifier) -> None:
    sink = Collector()
    box = Box(10, 10, 50, 50)
    film = Film(noise(2), ["a.png", "b.png"])
    Pipeline(film, Scripted([[box], [box]]), classifier, [sink]).run()
    assert [record.faces[0].track for record in sink.records] == [1, 1]
    assert [record.source for record in sink.records] == ["a.png", "b.png"]
    raw = Collector()
    film = Film(noise(2), ["a.png", "b.png"])
    Pipeline(film, Scripted([[box], [box]]), classifier, [raw], UNSMOOTHED).run()
    assert sink.records[1].faces == raw.records[1].faces


def test_low_scores_are_dropped(classifier: Classifier) -> None:
    detector = Scripted([[Box(10, 10, 50, 50)]], score=0.4)
    settings = PipelineSettings(min_score=0.5)
    ((_, record),) = Pipeline(Film(noise(1)), detector, classifier, settings=settings).records()
    assert record.faces == ()


def test_max_frames_ends_the_run(classifier: Classifier) -> None:
    pipeline = Pipeline(Film(noise(5)), Scripted([[]] * 5), classifier)
    assert pipeline.run(max_frames=3).frames == 3
    assert pipeline.run(max_frames=0).frames == 3


def test_a_real_face_goes_through(classifier: Classifier, portrait: UInt8Array) -> None:
    luma = to_luma(portrait)
    ((_, record),) = Pipeline(Film([luma]), load_detector("haar"), classifier).records()
    (face,) = record.faces
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert face.confidence == pytest.approx(max(face.probabilities.values()))

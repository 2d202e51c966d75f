"""Source -> detector -> tracker -> crop -> classifier -> smoothing -> records."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import cv2
import numpy as np

from edge_runtime.classifier import Classifier, FloatArray
from edge_runtime.detectors.base import Detector
from edge_runtime.errors import SourceError
from edge_runtime.finding import FaceFinder
from edge_runtime.preprocess import Box, UInt8Array, crop_face, crop_region
from edge_runtime.records import STAGES, FaceRecord, FrameRecord
from edge_runtime.sinks.base import Sink
from edge_runtime.smoothing import ExponentialSmoother
from edge_runtime.sources.base import Frame, FrameSource
from edge_runtime.tracking import IouTracker

Watcher = Callable[[Frame, FrameRecord], None]
"""Sees each frame with its record while the frame's pixels are valid."""


@dataclass(frozen=True)
class PipelineSettings:
    """How faces are followed and their probabilities calmed."""

    detect_interval_s: float = 0.2
    """Longest time between two searches of the whole frame; 0 searches every frame whole."""
    min_score: float = 0.0
    """Detections with a lower score are dropped, 0..1."""
    min_iou: float = 0.3
    """Overlap under which a box is another face, 0..1."""
    drop_after_s: float = 0.5
    """A track that was not seen for longer ends."""
    confirm_s: float = 0.2
    """A face whose score never reached `sure_score` is reported once it was there for so long."""
    sure_score: float = 0.9
    """A face of this score, 0..1, is reported at once."""
    smoothing_s: float = 0.3
    """Time constant of the probabilities' average per track; 0 smooths nothing."""

    def finder(self, detector: Detector) -> FaceFinder:
        """What finds and follows faces by these settings."""
        tracker = IouTracker(self.min_iou, self.drop_after_s, self.confirm_s, self.sure_score)
        return FaceFinder(detector, tracker, interval_s=self.detect_interval_s, min_score=self.min_score)


@dataclass
class Totals:
    """What a run has done so far."""

    frames: int = 0
    dropped: int = 0
    faces: int = 0
    frames_with_faces: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """How many faces got each label."""
    stage_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Wall time by stage, summed over the frames."""

    def add(self, record: FrameRecord) -> None:
        self.frames += 1
        self.dropped = record.dropped
        self.faces += len(record.faces)
        self.frames_with_faces += bool(record.faces)
        for face in record.faces:
            self.labels[face.label] += 1
        for stage, duration_ms in record.timing_ms.items():
            self.stage_ms[stage] += duration_ms

    def mean_ms(self) -> dict[str, float]:
        """Mean wall time per frame by stage, milliseconds; zeros before the first frame."""
        return {stage: total / max(1, self.frames) for stage, total in self.stage_ms.items()}


class FaceReader:
    """Crops a face out of a frame and classifies it, in buffers that are allocated once."""

    def __init__(self, classifier: Classifier) -> None:
        contract = classifier.contract
        self._classifier = classifier
        self._crop_spec = contract.crop
        self._input = contract.input
        self.needs_color = contract.input.color == "rgb"
        shape = contract.input.shape[1:]
        self._crop = np.empty(shape if self.needs_color else shape[:2], np.uint8)
        self._prepare = classifier.preparation(self._crop)

    def crop(self, luma: UInt8Array, bgr: UInt8Array | None, box: Box) -> UInt8Array:
        """The face as the model wants it, uint8 (height, width[, 3]); valid until the next call.

        Raises:
            SourceError: the model needs colour and the frame has none.
        """
        region = crop_region(box, self._crop_spec)
        if not self.needs_color:
            return crop_face(luma, region, self._input, self._crop)
        if bgr is None:
            raise SourceError("the model needs colour, the source delivers luma alone; use another model")
        crop_face(bgr, region, self._input, self._crop)
        return cv2.cvtColor(self._crop, cv2.COLOR_BGR2RGB, dst=self._crop)  # type: ignore[return-value]

    def read(
        self, luma: UInt8Array, bgr: UInt8Array | None, box: Box, stage_ns: dict[str, int]
    ) -> FloatArray:
        """Probabilities (labels,) of a face; the time goes to `preprocess` and `infer`."""
        started_ns = time.perf_counter_ns()
        self.crop(luma, bgr, box)
        tensor = self._prepare()
        prepared_ns = time.perf_counter_ns()
        probabilities = self._classifier.infer(tensor)
        stage_ns["preprocess"] += prepared_ns - started_ns
        stage_ns["infer"] += time.perf_counter_ns() - prepared_ns
        return probabilities


class Pipeline:
    """Turns the frames of a source into records and hands them to sinks; single client."""

    def __init__(
        self,
        source: FrameSource,
        detector: Detector,
        classifier: Classifier,
        sinks: Sequence[Sink] = (),
        settings: PipelineSettings | None = None,
        whole: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """
        Args:
            whole: context in which a record goes to all sinks and is counted, so that no signal breaks in
                between.
        """
        self.settings = settings or PipelineSettings()
        self.totals = Totals()
        """Of the frames that `run` has handed to all sinks."""
        self._whole = whole
        self._source = source
        self._classifier = classifier
        self._sinks = tuple(sinks)
        self._reader = FaceReader(classifier)
        self._finder = self.settings.finder(detector)
        self._smoother = ExponentialSmoother(self.settings.smoothing_s)
        self._model = f"sha256:{classifier.file.sha256}"

    def run(
        self,
        max_frames: int | None = None,
        watch: Watcher | None = None,
        done: Callable[[], None] | None = None,
    ) -> Totals:
        """Process frames until the source ends or `max_frames` are done.

        Args:
            watch: sees every frame before the sinks do.
            done: called after every frame that went through to the sinks.

        Raises:
            SourceError: the source broke.
            SinkError: results cannot be written.
            BackendError: the interpreter failed.
        """
        for frame, record in self.records(max_frames):
            if watch is not None:
                watch(frame, record)
            with self._whole():
                for sink in self._sinks:
                    sink.write(record)
                self.totals.add(record)
            if done is not None:
                done()
            # A camera takes its memory back when nothing views it any more.
            del frame, record
        return self.totals

    def records(self, max_frames: int | None = None) -> Iterator[tuple[Frame, FrameRecord]]:
        """Yield each processed frame with its record; sinks are not served.

        Raises:
            SourceError: the source broke.
            BackendError: the interpreter failed.
        """
        if max_frames is not None and max_frames < 1:
            return
        asked_ns = time.perf_counter_ns()
        for count, frame in enumerate(self._source.frames(), start=1):
            stage_ns = dict.fromkeys(STAGES, 0)
            stage_ns["capture"] = time.perf_counter_ns() - asked_ns
            faces = self._faces(frame, stage_ns)
            stage_ns["total"] = time.perf_counter_ns() - asked_ns
            record = FrameRecord(
                frame=frame.index,
                t_capture_ns=frame.t_capture_ns,
                age_ms=(time.monotonic_ns() - frame.t_capture_ns) / 1e6,
                dropped=frame.dropped,
                faces=faces,
                timing_ms={stage: ns / 1e6 for stage, ns in stage_ns.items()},
                model=self._model,
                backend=self._classifier.backend.description,
                source=frame.name,
                t_scene_ns=frame.t_scene_ns,
            )
            yield frame, record
            del frame, record, faces
            if max_frames is not None and count >= max_frames:
                return
            asked_ns = time.perf_counter_ns()

    def _faces(self, frame: Frame, stage_ns: dict[str, int]) -> tuple[FaceRecord, ...]:
        started_ns = time.perf_counter_ns()
        if frame.name:
            # Pictures of a folder are no film: nobody is followed from one to the next.
            tracks = self._finder.find_in_still(frame.luma, frame.scene_ns)
            self._smoother.keep(())
        else:
            tracks = self._finder.find(frame.luma, frame.scene_ns)
        stage_ns["detect"] = time.perf_counter_ns() - started_ns
        faces = []
        for track in tracks:
            probabilities = self._reader.read(frame.luma, frame.bgr, track.box, stage_ns)
            calm = self._smoother.update(track.number, probabilities, frame.scene_ns)
            faces.append(self._record(track.number, track.box, track.score, calm))
        self._smoother.keep(track.number for track in self._finder.tracker.tracks)
        return tuple(faces)

    def _record(self, track: int, box: Box, score: float, probabilities: FloatArray) -> FaceRecord:
        label, confidence = self._classifier.label(probabilities)
        named = dict(zip(self._classifier.contract.labels, probabilities.tolist(), strict=True))
        return FaceRecord(track, box, score, label, confidence, named)

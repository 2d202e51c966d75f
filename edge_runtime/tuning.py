"""Measure settings on a recorded clip, so that all of them see the same frames, and choose by a rule."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np

from edge_runtime.classifier import Classifier
from edge_runtime.clip import Clip, ClipSource, Tell
from edge_runtime.config import ModelConfig
from edge_runtime.detectors import Detector, load_detector
from edge_runtime.detectors.base import LocalDetector
from edge_runtime.errors import SourceError
from edge_runtime.pipeline import Pipeline, PipelineSettings
from edge_runtime.preprocess import UInt8Array

APPEARS_WITHIN_S = 0.3
LEAVES_WITHIN_S = 0.5
MIN_FOUND = 0.95
"""Least share of the reference's frames with a face that a choice may find."""
MAX_LOAD = 0.8
"""Most of the processor's time, in cores per thread of the work, that a choice may take at its rate."""
RATES_HZ = (25.0, 20.0, 15.0, 10.0, 5.0)
INTERVALS_S = (0.0, 0.1, 0.2)
WARMUP_FRAMES = 5
PRESENT_FRAMES, ENTRANCES = 6, 5
"""Of the staged entrances by which delays are measured: one for each place between two searches at the
longest interval and rate."""

RULE = (
    f"of the settings that find a face in at least {MIN_FOUND:.0%} of the frames where the best detector, "
    f"searching every frame whole, finds one, report a face within {APPEARS_WITHIN_S} s and drop it within "
    f"{LEAVES_WITHIN_S} s: those that keep the highest rate, with the fewest threads; among them the one "
    "with the least CPU time per frame"
)


@dataclass(frozen=True)
class Candidate:
    """Settings that are measured."""

    detector: str
    interval_s: float
    size_wh: tuple[int, int]
    threads: int

    def __str__(self) -> str:
        width, height = self.size_wh
        return f"{self.detector} every {self.interval_s:g} s {width}x{height} threads {self.threads}"


@dataclass(frozen=True)
class Measured:
    """What a candidate's run over the clip gave."""

    candidate: Candidate
    frames: int
    cpu_ms: float
    """CPU time per frame without capture, all threads."""
    p95_age_ms: float
    """From a frame's arrival to its result, where no frame waits for another."""
    with_face: tuple[bool, ...]
    """Per frame of the clip."""
    found: float
    """Frames with a face, of those where the best detector on every frame has one."""
    face_px: float
    """Median width of the faces' boxes; 0 without one."""
    rate_hz: float
    """Highest rate at which it leaves the processor some rest."""
    appears_s: float
    """Longest time from a face's coming, anywhere between two frames, to its report."""
    leaves_s: float
    """Longest time for which a face that has gone is still reported."""

    @property
    def qualifies(self) -> bool:
        fresh = self.appears_s <= APPEARS_WITHIN_S and self.leaves_s <= LEAVES_WITHIN_S
        return fresh and self.found >= MIN_FOUND

    def to_dict(self) -> dict[str, Any]:
        document = asdict(self)
        del document["with_face"]
        return {**document.pop("candidate"), **document, "qualifies": self.qualifies}


class Tuner:
    """Measures candidates on one clip."""

    def __init__(
        self, clip: Clip, model: ModelConfig, settings: PipelineSettings, longest_s: float, tell: Tell
    ) -> None:
        """
        Args:
            model: its `threads` are the candidates'.
            longest_s: of one candidate's run over the clip; a slow one sees its first part alone.
        """
        self._clips = {clip.size_wh: clip}
        self._full = clip
        self._model = model
        self._settings = settings
        self._longest_s = longest_s
        self._tell = tell
        self._reference: tuple[bool, ...] = ()
        self.measured: list[Measured] = []
        self.model_width_px = 0

    def find_reference(self, detectors: Sequence[str]) -> None:
        """Search every frame whole with each detector; the one that finds most is the measure of `found`.

        Raises:
            SourceError: nobody was to be seen.
        """
        runs = [self.measure(Candidate(name, 0.0, self._full.size_wh, 1)) for name in detectors]
        best = max(runs, key=lambda run: sum(run.with_face) / run.frames)
        if not any(best.with_face):
            raise SourceError(
                f"no face in {best.frames} frames; let somebody stand before the camera, or give a video "
                "with a face"
            )
        self._reference = best.with_face
        self.measured = [replace(run, found=share_found(run.with_face, self._reference)) for run in runs]

    def _classifier(self, candidate: Candidate) -> Classifier:
        model = self._model
        return Classifier.load(model.name, model.backend, candidate.threads, model.flip_average)

    def measure(self, candidate: Candidate) -> Measured:
        """Run a candidate over the clip, then over staged entrances.

        Raises:
            EdgeFerError: model, backend or detector cannot be used.
        """
        cv2.setNumThreads(candidate.threads)
        clip = self._clip(candidate.size_wh)
        classifier = self._classifier(candidate)
        self.model_width_px = classifier.contract.input.width
        try:
            detector = load_detector(candidate.detector)
            result = self._play(candidate, clip, detector, classifier)
            if any(result.with_face):
                start = result.with_face.index(True)
                result = self._stage(result, clip, start, detector, classifier)
        finally:
            classifier.close()
        self.measured.append(result)
        return result

    def verify(self, measured: Measured, rate_hz: float, seconds: float) -> dict[str, float]:
        """Play the clip in real time with a choice: p95 of the age, frames and how many were dropped."""
        candidate = measured.candidate
        cv2.setNumThreads(candidate.threads)
        classifier = self._classifier(candidate)
        limit = round(seconds * rate_hz)
        source = ClipSource(self._clip(candidate.size_wh), rate_hz, limit, realtime=True)
        pipeline = self._pipeline(candidate, source, load_detector(candidate.detector), classifier)
        ages = []
        dropped = 0
        for _, record in pipeline.records():
            ages.append(record.age_ms)
            dropped = record.dropped
            self._tell("checking in real time", (record.frame + 1) / limit)
        classifier.close()
        return {
            "rate_hz": rate_hz,
            "frames": len(ages),
            "dropped": dropped,
            "p95_age_ms": float(np.percentile(ages, 95)),
        }

    def _play(
        self, candidate: Candidate, clip: Clip, detector: Detector, classifier: Classifier
    ) -> Measured:
        pipeline = self._pipeline(candidate, ClipSource(clip, clip.rate_hz), detector, classifier)
        with_face, work_ms, widths = [], [], []
        cpu_ns = 0
        started_s = time.monotonic()
        before_ns = time.process_time_ns()
        for number, (_, record) in enumerate(pipeline.records(), start=1):
            now_ns = time.process_time_ns()
            if number > WARMUP_FRAMES:
                cpu_ns += now_ns - before_ns
                work_ms.append(record.timing_ms["total"])
            with_face.append(bool(record.faces))
            widths += [face.box.w for face in record.faces[:1]]
            self._tell(str(candidate), number / len(clip.luma))
            if number >= 2 * WARMUP_FRAMES and time.monotonic() - started_s > self._longest_s:
                break
            before_ns = time.process_time_ns()
        cpu_ms = cpu_ns / 1e6 / len(work_ms)
        p95_ms = float(np.percentile(work_ms, 95))
        return Measured(
            candidate,
            len(with_face),
            cpu_ms,
            p95_ms,
            tuple(with_face),
            share_found(with_face, self._reference),
            float(np.median(widths)) if widths else 0.0,
            sustained_rate_hz(cpu_ms + clip.capture_cpu_ms, p95_ms, candidate.threads, clip.rate_hz),
            float("inf"),
            float("inf"),
        )

    def _stage(
        self, run: Measured, clip: Clip, start: int, detector: Detector, classifier: Classifier
    ) -> Measured:
        """Let a face of the clip come and go at different places between two searches of the frame."""
        absent_frames = int(LEAVES_WITHIN_S * run.rate_hz) + 2
        curtain = np.full_like(clip.luma[0], round(float(clip.luma[0].mean())))
        colored = (np.full_like(clip.bgr[0], curtain[0, 0]),) if clip.bgr else ()
        # The same frame again and again: what is measured is the delay, not whether the face is found.
        there, there_bgr = clip.luma[start : start + 1], clip.bgr[start : start + 1]
        luma: tuple[UInt8Array, ...] = ()
        bgr: tuple[UInt8Array, ...] = ()
        marks: list[bool] = []
        for entrance in range(ENTRANCES):
            absent = absent_frames + entrance
            luma += (curtain,) * absent + there * PRESENT_FRAMES
            bgr += colored * absent + there_bgr * PRESENT_FRAMES
            marks += [False] * absent + [True] * PRESENT_FRAMES
        luma += (curtain,) * absent_frames
        bgr += colored * absent_frames
        marks += [False] * absent_frames
        staged = replace(clip, luma=luma, bgr=bgr)
        pipeline = self._pipeline(run.candidate, ClipSource(staged, run.rate_hz), detector, classifier)
        seen = [bool(record.faces) for _, record in pipeline.records()]
        late_frames, stale_frames = delays(marks, seen)
        frame_s = 1 / run.rate_hz
        age_s = run.p95_age_ms / 1000
        # A face may come right after a frame was taken, which then has to wait for the next.
        return replace(
            run,
            appears_s=(late_frames + 1) * frame_s + age_s,
            leaves_s=(stale_frames + 1) * frame_s + age_s,
        )

    def _pipeline(
        self, candidate: Candidate, source: ClipSource, detector: Detector, classifier: Classifier
    ) -> Pipeline:
        settings = replace(self._settings, detect_interval_s=candidate.interval_s)
        return Pipeline(source, detector, classifier, settings=settings)

    def _clip(self, size_wh: tuple[int, int]) -> Clip:
        if size_wh not in self._clips:
            self._clips[size_wh] = self._full.halved()
        return self._clips[size_wh]


def share_found(with_face: Sequence[bool], reference: Sequence[bool]) -> float:
    """Share of the reference's frames with a face in which one was found, too, 0..1; 0 if there are none.

    Args:
        with_face: frame by frame, for the first of the reference's frames or all of them.
    """
    wanted = reference[: len(with_face)]
    found = sum(here and there for here, there in zip(with_face, wanted, strict=False))
    return found / max(1, sum(wanted))


def delays(marks: Sequence[bool], seen: Sequence[bool]) -> tuple[float, float]:
    """Longest delay in frames from a face's coming to its report, and from its going to the last one.

    Args:
        marks: whether a face is there, per frame.
        seen: whether one is reported, per frame.
    """
    late = stale = 0.0
    for index in range(1, len(marks)):
        if marks[index] == marks[index - 1]:
            continue
        end = next((n for n in range(index, len(marks)) if marks[n] != marks[index]), len(marks))
        span = list(seen[index:end])
        if marks[index]:
            late = max(late, span.index(True) if True in span else float("inf"))
        else:
            stale = max(stale, len(span) - span[::-1].index(True) if True in span else 0)
    return late, stale


def sustained_rate_hz(cpu_ms: float, p95_ms: float, threads: int, rate_hz: float) -> float:
    """Highest rate up to `rate_hz` at which neither load nor single frames exceed their time."""
    for rate in sorted({rate_hz, *(rate for rate in RATES_HZ if rate < rate_hz)}, reverse=True):
        if cpu_ms * rate / 1000 <= MAX_LOAD * threads and p95_ms * rate / 1000 <= 1:
            return rate
    return min(rate_hz, RATES_HZ[-1])


def choose(measured: Sequence[Measured]) -> Measured | None:
    """The best of those that qualify by `RULE`; None if none does."""
    return min(
        (run for run in measured if run.qualifies),
        key=lambda run: (-run.rate_hz, run.candidate.threads, run.cpu_ms),
        default=None,
    )


def intervals_of(name: str) -> tuple[float, ...]:
    """Detection intervals worth measuring: a detector without a local search ignores them.

    Raises:
        EdgeFerError: the detector cannot be loaded.
    """
    return INTERVALS_S if isinstance(load_detector(name), LocalDetector) else (0.0,)

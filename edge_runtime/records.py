"""The object that every processed frame becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.preprocess import Box

SCHEMA = 1
STAGES = ("capture", "detect", "preprocess", "infer", "total")


@dataclass(frozen=True)
class FaceRecord:
    """One face in one frame."""

    track: int
    """Number that stays with a face from frame to frame; from 1."""
    box: Box
    """As the detector or tracker reports it, pixels of the frame."""
    score: float
    """The detector's confidence, 0..1."""
    label: str
    """The most probable class, or `uncertain` below the model's threshold."""
    confidence: float
    """Probability of the most probable class, 0..1."""
    probabilities: Mapping[str, float]
    """By label, in the model's order; they add up to 1."""

    def to_dict(self) -> dict[str, Any]:
        box = self.box
        return {
            "track": self.track,
            "box": [round(value) for value in (box.x, box.y, box.w, box.h)],
            "score": round(self.score, 4),
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "probabilities": {label: round(p, 4) for label, p in self.probabilities.items()},
        }


@dataclass(frozen=True)
class FrameRecord:
    """What was seen in one frame, and what it cost."""

    frame: int
    t_capture_ns: int
    age_ms: float
    """From capture to the end of processing."""
    dropped: int
    """Frames dropped since the source was opened."""
    faces: tuple[FaceRecord, ...]
    timing_ms: Mapping[str, float]
    """Wall time per stage of `STAGES`."""
    model: str
    """`sha256:` and the digest of the classifier's file."""
    backend: str
    """Runtime that computed the result, e.g. `ai-edge-litert 2.3.0 xnnpack threads=1`."""
    source: str = field(default="")
    """Path of the picture, for image and folder sources; bytes that are no UTF-8 are escaped."""
    t_scene_ns: int | None = None
    """Time in the film, where that runs at another pace than the clock; not part of the JSON object."""

    @property
    def scene_ns(self) -> int:
        """Time by which dwell times are measured."""
        return self.t_capture_ns if self.t_scene_ns is None else self.t_scene_ns

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of one line."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "frame": self.frame,
            "t_capture_ns": self.t_capture_ns,
            "age_ms": round(self.age_ms, 3),
            "dropped": self.dropped,
            "faces": [face.to_dict() for face in self.faces],
            "timing_ms": {stage: round(self.timing_ms[stage], 3) for stage in STAGES},
            "model": self.model,
            "backend": self.backend,
        }
        if self.source:
            document["source"] = self.source
        return document

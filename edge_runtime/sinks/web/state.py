"""What has been seen, for whoever asks: the newest record, totals, the last two minutes.

`add` is called in the pipeline's thread with every record and does next to nothing; the rest is called in
the server's thread and works out what it needs. In memory alone.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.records import STAGES, FaceRecord, FrameRecord

HISTORY_S = 120
RATE_WINDOW_S = 3.0


@dataclass
class _Second:
    """The largest face's probabilities, added up over a second of the watch."""

    number: int
    faces: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, face: FaceRecord) -> None:
        self.faces += 1
        for label, probability in face.probabilities.items():
            self.sums[label] = self.sums.get(label, 0.0) + probability

    def to_dict(self) -> dict[str, Any]:
        means = {label: round(total / self.faces, 3) for label, total in self.sums.items()}
        return {"second": self.number, "probabilities": means or None}


@dataclass(frozen=True)
class Totals:
    """Since the sink was opened."""

    frames: int
    dropped: int
    labels: dict[str, int]
    """Faces by label."""
    stage_s: dict[str, float]
    """Wall time by stage, seconds."""
    record: FrameRecord | None
    """The newest."""
    age_s: float | None
    """Since that record came; None before the first."""
    rate_hz: float
    """Processed frames per second, over the last seconds."""


class WatchState:
    """Thread-safe."""

    def __init__(self, healthy_within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds, monotonic.
        """
        self._healthy_within_s = healthy_within_s
        self._clock = clock
        self._lock = threading.Lock()
        self._opened_s = clock()
        self._record: FrameRecord | None = None
        self._came_s = 0.0
        self._frames = 0
        self._labels: Counter[str] = Counter()
        self._stage_ms = dict.fromkeys(STAGES, 0.0)
        self._times_s: deque[float] = deque(maxlen=256)
        self._history: deque[_Second] = deque(maxlen=HISTORY_S)

    def add(self, record: FrameRecord) -> None:
        """Take a record in."""
        now_s = self._clock()
        with self._lock:
            self._record, self._came_s = record, now_s
            self._frames += 1
            self._times_s.append(now_s)
            for face in record.faces:
                self._labels[face.label] += 1
            for stage, duration_ms in record.timing_ms.items():
                self._stage_ms[stage] += duration_ms
            number = int(now_s - self._opened_s)
            if not self._history or self._history[-1].number != number:
                self._history.append(_Second(number))
            if record.faces:
                self._history[-1].add(max(record.faces, key=lambda face: face.box.w * face.box.h))

    def is_healthy(self) -> bool:
        """Whether a frame was processed lately, with faces or without."""
        return self._record is not None and self._clock() - self._came_s <= self._healthy_within_s

    def totals(self) -> Totals:
        with self._lock:
            now_s = self._clock()
            recent = [moment for moment in self._times_s if now_s - moment <= RATE_WINDOW_S]
            # From the oldest frame of the window to now, so that the rate falls while nothing comes.
            span_s = now_s - recent[0] if len(recent) > 1 else 0.0
            return Totals(
                self._frames,
                self._record.dropped if self._record else 0,
                dict(self._labels),
                {stage: total_ms / 1000 for stage, total_ms in self._stage_ms.items()},
                self._record,
                now_s - self._came_s if self._record else None,
                (len(recent) - 1) / span_s if span_s > 0 else 0.0,
            )

    def to_dict(self) -> dict[str, Any]:
        """The newest record and what the page shows beside it."""
        totals = self.totals()
        with self._lock:
            # The second that is running is not complete yet.
            complete = self._history[-2].to_dict() if len(self._history) > 1 else None
        return {
            "record": totals.record.to_dict() if totals.record else None,
            "healthy": self.is_healthy(),
            "age_s": None if totals.age_s is None else round(totals.age_s, 3),
            "rate_hz": round(totals.rate_hz, 2),
            "frames": totals.frames,
            "second": int(self._clock() - self._opened_s),
            "history_last": complete,
        }

    def history(self) -> dict[str, Any]:
        """The largest face's mean probabilities by second; seconds without a frame are left out."""
        with self._lock:
            seconds = [second.to_dict() for second in list(self._history)[:-1]]
        return {"second": int(self._clock() - self._opened_s), "span_s": HISTORY_S, "points": seconds}

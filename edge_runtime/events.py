"""From frames to what happened: somebody arrived, left, or looks different now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_runtime.contract import UNCERTAIN
from edge_runtime.records import FaceRecord, FrameRecord

SCHEMA = 1
KINDS = ("arrived", "left", "changed")


@dataclass(frozen=True)
class EventSettings:
    """How long a state must last before it counts."""

    arrive_after_s: float = 0.3
    """A face must be there for so long; shorter ones are taken for false alarms and never reported."""
    leave_after_s: float = 0.5
    """A face must be gone for so long."""
    change_after_s: float = 0.5
    """Another expression must last for so long; `uncertain` is none."""
    min_interval_s: float = 1.0
    """Between two changes that are reported of one track."""


@dataclass(frozen=True)
class Event:
    """One thing that happened to one face."""

    kind: str
    """`arrived`, `left` or `changed`."""
    track: int
    label: str
    """Expression now, or the last one of a face that left."""
    previous: str
    """Expression before a change, else empty."""
    dwell_s: float
    """How long it lasted: for `arrived` and `left` the presence so far, for `changed` the expression
    before."""
    time_s: float
    """Seconds since 1970 by the system's clock."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "event": self.kind,
            "track": self.track,
            "label": self.label,
            "previous": self.previous or None,
            "dwell_s": round(self.dwell_s, 3),
            "time": round(self.time_s, 3),
        }


@dataclass
class _State:
    first_ns: int
    last_ns: int
    label: str
    label_since_ns: int
    candidate: str = ""
    candidate_since_ns: int = 0
    arrived: bool = False
    changed_ns: int | None = None


class EventDetector:
    """Watches records and reports events; time is the film's, so that a file gives what a camera would."""

    def __init__(
        self, settings: EventSettings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings or EventSettings()
        self._clock = clock
        self._states: dict[int, _State] = {}

    def update(self, record: FrameRecord) -> list[Event]:
        """The events that a frame brings, those of faces that left first."""
        now_ns = record.scene_ns
        present = {face.track for face in record.faces}
        events = []
        for track, state in list(self._states.items()):
            if track not in present and now_ns - state.last_ns >= self._settings.leave_after_s * 1e9:
                del self._states[track]
                if state.arrived:
                    events.append(self._event("left", track, state, state.last_ns - state.first_ns))
        for face in record.faces:
            events += self._follow(face, now_ns)
        return events

    def finish(self) -> list[Event]:
        """The source has ended: everybody who is still there has left."""
        events = [
            self._event("left", track, state, state.last_ns - state.first_ns)
            for track, state in self._states.items()
            if state.arrived
        ]
        self._states.clear()
        return events

    def _follow(self, face: FaceRecord, now_ns: int) -> list[Event]:
        state = self._states.get(face.track)
        if state is None:
            state = _State(now_ns, now_ns, face.label, now_ns)
            self._states[face.track] = state
        state.last_ns = now_ns
        if not state.arrived:
            state.label, state.label_since_ns = face.label, now_ns
            if now_ns - state.first_ns < self._settings.arrive_after_s * 1e9:
                return []
            state.arrived = True
            return [self._event("arrived", face.track, state, now_ns - state.first_ns)]
        return self._change(face, state, now_ns)

    def _change(self, face: FaceRecord, state: _State, now_ns: int) -> list[Event]:
        if face.label in (state.label, UNCERTAIN):
            state.candidate = ""
            return []
        if face.label != state.candidate:
            state.candidate, state.candidate_since_ns = face.label, now_ns
        if now_ns - state.candidate_since_ns < self._settings.change_after_s * 1e9:
            return []
        rested_ns = self._settings.min_interval_s * 1e9
        if state.changed_ns is not None and now_ns - state.changed_ns < rested_ns:
            return []
        previous, lasted_ns = state.label, state.candidate_since_ns - state.label_since_ns
        state.label, state.label_since_ns = face.label, state.candidate_since_ns
        state.candidate, state.changed_ns = "", now_ns
        return [self._event("changed", face.track, state, lasted_ns, previous)]

    def _event(self, kind: str, track: int, state: _State, lasted_ns: int, previous: str = "") -> Event:
        return Event(kind, track, state.label, previous, lasted_ns / 1e9, self._clock())

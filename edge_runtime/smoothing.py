"""Calm probabilities: an exponential average per track, by time and not by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edge_runtime.classifier import FloatArray


class ExponentialSmoother:
    """First-order low-pass filter per track.

    The weight of a new value is `1 - exp(-dt / time_constant_s)`, so that the answer to a step takes
    the same time at 5 and at 30 frames/s.
    """

    def __init__(self, time_constant_s: float) -> None:
        """
        Args:
            time_constant_s: after it, 63 % of a sudden change is shown; 0 smooths nothing.
        """
        self._time_constant_ns = time_constant_s * 1e9
        self._states: dict[int, tuple[int, FloatArray]] = {}

    def update(self, track: int, probabilities: FloatArray, now_ns: int) -> FloatArray:
        """Smoothed probabilities (labels,) of a track; the first value of a track is taken as it is."""
        if self._time_constant_ns <= 0:
            return probabilities
        state = self._states.get(track)
        if state is None:
            self._states[track] = (now_ns, probabilities.copy())
            return probabilities
        before_ns, smoothed = state
        weight = -math.expm1(-max(0, now_ns - before_ns) / self._time_constant_ns)
        smoothed += weight * (probabilities - smoothed)
        self._states[track] = (now_ns, smoothed)
        return smoothed

    def keep(self, tracks: Iterable[int]) -> None:
        """Forget every track but these."""
        alive = set(tracks)
        if alive != self._states.keys():
            for number in self._states.keys() - alive:
                del self._states[number]

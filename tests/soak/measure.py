"""What a process holds, and what it should not hold more of after an hour."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MAX_GROWTH_BYTES = 2_000_000
"""Most that resident memory may grow after the warm-up."""
WARM_UP = 0.4
"""Fraction of the samples before which growth is not counted: caches fill, rare branches import."""
ENDS = 0.15
"""Fraction of the samples after the warm-up whose median stands for the beginning and the end."""


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    t_s: float
    """Since the first frame."""
    frames: int
    rss_bytes: int
    descriptors: int
    threads: int
    age_ms: float
    """Median age of the frames since the sample before, when their records were ready."""
    worst_age_ms: float


def take(t_s: float, frames: int, ages_ms: Sequence[float]) -> Sample:
    """Sample this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        t_s=round(t_s, 3),
        frames=frames,
        rss_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
        descriptors=len(list(Path("/proc/self/fd").iterdir())) - 1,
        threads=len(list(Path("/proc/self/task").iterdir())),
        age_ms=round(statistics.median(ages_ms), 3) if ages_ms else 0.0,
        worst_age_ms=round(max(ages_ms, default=0.0), 3),
    )


@dataclass(frozen=True)
class Growth:
    """The end of a run against its beginning, warm-up left out."""

    rss_bytes: int
    descriptors: int
    threads: int
    age_ms: float

    def problems(self) -> list[str]:
        """What grew that should not."""
        found = []
        if self.rss_bytes > MAX_GROWTH_BYTES:
            found.append(f"resident memory grew by {self.rss_bytes / 1e6:.1f} MB")
        if self.descriptors > 0:
            found.append(f"{self.descriptors} more open files")
        if self.threads > 0:
            found.append(f"{self.threads} more threads")
        return found


def growth(samples: Sequence[Sample]) -> Growth:
    """Compare medians, so that one sample in the middle of a write does not decide."""
    steady = samples[int(len(samples) * WARM_UP) :]
    width = max(1, int(len(steady) * ENDS))
    first, last = steady[:width], steady[-width:]

    def change(name: str) -> float:
        end, begin = ([getattr(sample, name) for sample in part] for part in (last, first))
        return statistics.median(end) - statistics.median(begin)

    return Growth(
        round(change("rss_bytes")),
        round(change("descriptors")),
        round(change("threads")),
        round(change("age_ms"), 3),
    )


class Sampler:
    """Takes a sample at intervals while frames go by."""

    def __init__(self, interval_s: float) -> None:
        self.samples: list[Sample] = []
        self._interval_s = interval_s
        self._ages_ms: list[float] = []
        self._frames = 0
        self._started_s: float | None = None
        self._sampled_s = 0.0

    def frame(self, age_ms: float) -> None:
        now_s = time.monotonic()
        if self._started_s is None:
            self._started_s = self._sampled_s = now_s
        self._frames += 1
        self._ages_ms.append(age_ms)
        if now_s - self._sampled_s >= self._interval_s:
            self.samples.append(take(now_s - self._started_s, self._frames, self._ages_ms))
            self._sampled_s = now_s
            self._ages_ms.clear()

    def to_dict(self) -> dict[str, Any]:
        found = growth(self.samples)
        return {
            "frames": self._frames,
            "seconds": self.samples[-1].t_s if self.samples else 0.0,
            "growth": asdict(found),
            "problems": found.problems(),
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "samples": [asdict(sample) for sample in self.samples],
        }

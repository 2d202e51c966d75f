"""`python -m tests.faults.disturbed KIND ARGUMENT…`: edge-fer in a process where something is wrong.

Kinds: `clock` (the wall clock jumps by days, forwards and backwards, with every frame), `worker` (the work
on the tenth frame raises what nobody has foreseen), `flicker` (a face that comes and goes all the time, so
that there are many events).
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

JUMPS_S = (0.0, 86_400.0, -86_400.0, 3600.0, -1e9, 59.9)


def jump() -> None:
    """Make the wall clock jump; the monotonic clock, which cannot, stays as it is."""
    real, jumps = time.time, itertools.cycle(JUMPS_S)
    time.time = lambda: max(0.0, real() + next(jumps))


def fail() -> None:
    from edge_runtime.finding import FaceFinder

    find, calls = FaceFinder.find, itertools.count()

    def failing(self: FaceFinder, *arguments: Any) -> Any:
        if next(calls) == 10:
            raise ZeroDivisionError("of nobody's making")
        return find(self, *arguments)

    FaceFinder.find = failing  # type: ignore[method-assign]


def flicker() -> None:
    """The whole frame is a face in one frame of two, always another one."""
    from edge_runtime.finding import FaceFinder
    from edge_runtime.preprocess import Box
    from edge_runtime.tracking import Track

    calls = itertools.count()

    def find(self: FaceFinder, luma: Any, now_ns: int) -> list[Track]:
        call = next(calls)
        height, width = luma.shape
        return [] if call % 4 else [Track(call // 4 + 1, Box(0, 0, width, height), 1.0, now_ns, now_ns)]

    FaceFinder.find = find  # type: ignore[method-assign]


if __name__ == "__main__":
    {"clock": jump, "worker": fail, "flicker": flicker}[sys.argv[1]]()
    from edge_runtime.__main__ import main

    sys.exit(main(sys.argv[2:]))

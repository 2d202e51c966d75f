"""Waiting that a watchdog does not take for a hang."""

from __future__ import annotations

import threading
from collections.abc import Callable

ALIVE_EVERY_S = 1.0
"""Longest part of a pause after which it is told that the waiting is meant."""


def pause(closed: threading.Event, seconds: float, alive: Callable[[], None] | None) -> bool:
    """Wait for so long, or until closed; whether it was.

    Args:
        alive: called after each part of the pause.
    """
    while seconds > 0 and not closed.wait(min(seconds, ALIVE_EVERY_S)):
        if alive is not None:
            alive()
        seconds -= ALIVE_EVERY_S
    return closed.is_set()

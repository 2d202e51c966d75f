"""Signals that end or restart the work between two steps, never in the middle of writing."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from types import FrameType

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count it: 128 + SIGINT."""


class Interrupts:
    """Raises an exception for a signal at once, or at the end of the step that must be whole.

    An exception that a signal handler raises may strike between any two instructions: after a row was
    committed and before it was taken off the list, say, so that it would be written twice.
    """

    def __init__(
        self,
        exceptions: Mapping[signal.Signals, type[BaseException]],
        ends: tuple[type[BaseException], ...],
    ) -> None:
        """
        Args:
            exceptions: what each signal raises in the main thread.
            ends: those after which nothing more is raised, so that closing is not broken off.
        """
        self._exceptions = exceptions
        self._ends = ends
        self._depth = 0
        self._pending: type[BaseException] | None = None
        self._ending = False

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Signals raise inside the block; their handlers come back afterwards.

        After a signal that ended the work, one that would kill the process is ignored instead: everything
        is closed by then, and the status would tell of a death.
        """
        before = {number: signal.signal(number, self._handle) for number in self._exceptions}
        try:
            yield
        finally:
            for number, handler in before.items():
                kills = handler is signal.SIG_DFL
                signal.signal(number, signal.SIG_IGN if kills and self._ending else handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A step that must be whole: a signal that comes meanwhile raises at its end."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if not self._depth and self._pending is not None:
            pending, self._pending = self._pending, None
            self._raise(pending)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        exception = self._exceptions[signal.Signals(number)]
        if not self._depth:
            self._raise(exception)
        elif self._pending not in self._ends:
            self._pending = exception

    def _raise(self, exception: type[BaseException]) -> None:
        if self._ending:
            return
        self._ending = exception in self._ends
        raise exception


@contextlib.contextmanager
def leaving_at_once(name: str) -> Iterator[None]:
    """Ctrl-C ends the process with one line and status 130, as long as nothing is open.

    For heavy imports: an exception in the middle of one may come out as another, or be swallowed by a
    callback of the import system. A handler of somebody else's stays.

    Args:
        name: of the program, for the line.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{name}: interrupted\n".encode())
        os._exit(INTERRUPTED)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    try:
        signal.signal(signal.SIGINT, leave)
    except ValueError:
        # Not the main thread, to which signals do not come.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""Sinks `events` and `hook`: what happened, as JSON Lines or to a command."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.events import Event, EventDetector, EventSettings
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.base import Holding, Writer
from edge_runtime.sinks.linefile import LineFile, Rotation

log = logging.getLogger(__name__)

HOOK_GRACE_S = 2.0
"""How long a hook that still runs is waited for at the end."""


class EventLines:
    """Writes each event as one line of JSON, to stdout or appended to a file."""

    def __init__(self, path: str, rotation: Rotation | None = None) -> None:
        """
        Args:
            path: file to append to; empty for stdout.

        Raises:
            SinkError: the file cannot be opened.
        """
        self._file = LineFile(Path(path), append=True, rotation=rotation) if path else None

    def write(self, event: Event) -> None:
        """
        Raises:
            SinkError: the line cannot be written, e.g. the disk is full.
            BrokenPipeError: the reader of stdout has gone.
        """
        line = json.dumps(event.to_dict(), separators=(",", ":"), allow_nan=False) + "\n"
        if self._file is not None:
            self._file.write_line(line)
        else:
            _write_to_stdout(line)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class EventsSink:
    """Finds out what happened as the records come and hands it on.

    Where lines have to wait for room it is the events that wait: found later, they would be dated later.
    """

    def __init__(self, lines: Writer[Event], settings: EventSettings) -> None:
        self._detector = EventDetector(settings)
        self._lines = lines

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: an event cannot be written.
            BrokenPipeError: the reader of stdout has gone.
        """
        self._hand_on(self._detector.update(record))

    def settle(self) -> bool:
        return not isinstance(self._lines, Holding) or self._lines.settle()

    def close(self) -> None:
        """
        Raises:
            SinkError: the last events, or those that still wait, cannot be written.
        """
        try:
            self._hand_on(self._detector.finish())
        finally:
            self._lines.close()

    def _hand_on(self, events: list[Event]) -> None:
        for event in events:
            self._lines.write(event)


def _write_to_stdout(line: str) -> None:
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SinkError(f"cannot write the events to stdout ({error.strerror})") from None


class HookSink:
    """Runs a command on each event, with the event as JSON on its standard input.

    One command runs at a time; an event that comes while it still runs is counted and passed over, so
    that a slow command can neither hold up the camera nor pile up. No shell is involved.
    """

    def __init__(self, command: str, settings: EventSettings) -> None:
        """
        Raises:
            UsageError: no command, or it is not installed.
        """
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"hook:{command}: {error}") from None
        if not self._command or shutil.which(self._command[0]) is None:
            raise UsageError(f"hook:{command}: no such command; give its full path")
        self._detector = EventDetector(settings)
        self._running: subprocess.Popen[bytes] | None = None
        self.passed_over = 0

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: the command cannot be started.
        """
        for event in self._detector.update(record):
            self._run(event)

    def close(self) -> None:
        for event in self._detector.finish():
            self._run(event)
        if self._running is not None:
            try:
                self._running.wait(HOOK_GRACE_S)
            except subprocess.TimeoutExpired:
                log.warning("the hook still runs; it is left to itself")
            self._running = None
        if self.passed_over:
            log.warning("%d events came while the hook still ran and were passed over", self.passed_over)
            self.passed_over = 0

    def _run(self, event: Event) -> None:
        if self._running is not None and self._running.poll() is None:
            self.passed_over += 1
            return
        environment = {
            **os.environ,
            "EDGE_FER_EVENT": event.kind,
            "EDGE_FER_TRACK": str(event.track),
            "EDGE_FER_LABEL": event.label,
        }
        try:
            self._running = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=sys.stderr, env=environment
            )
            assert self._running.stdin is not None
            # An event is far smaller than a pipe's buffer: this never waits for the command.
            with self._running.stdin as stream:
                stream.write(json.dumps(event.to_dict()).encode() + b"\n")
        except BrokenPipeError:
            return
        except OSError as error:
            raise SinkError(f"hook {self._command[0]}: cannot be started ({error.strerror})") from None

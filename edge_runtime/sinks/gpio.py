"""Sink `gpio:LINE`: a line that is active while somebody is there or looks so, or pulses on an event."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Mapping, Sequence

from edge_runtime.contract import UNCERTAIN
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.events import KINDS, EventDetector, EventSettings
from edge_runtime.options import number, split_options
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.gpioline import OutputLine, find_chip

PRESENT = "present"
DEFAULT_PULSE_S = 0.5
OPTIONS = ("while", "on", "pulse", "active", "chip")


class GpioSink:
    """Drives one output line.

    With a condition the line becomes active once that has held for as long as a face must be there to
    have arrived, and inactive once it has not held for as long as a face must be gone to have left, so
    that a relay does not chatter. With an event it pulses; an event during a pulse makes it longer. The
    line is inactive and given back at the end.
    """

    def __init__(self, name: str, argument: str, settings: EventSettings) -> None:
        """
        Args:
            name: the whole name, for the errors.
            argument: `LINE` or `GPIOn`, then `,while=present`, `,while=EXPRESSION` or `,on=EVENT`, and
                `,pulse=SECONDS`, `,active=low`, `,chip=NAME`.

        Raises:
            UsageError: a wrong option.
            SinkError: no such chip or line, or it is in use.
        """
        line, options, self._pulse_s = parse_line(name, argument)
        self._condition = options.get("while", "" if "on" in options else PRESENT)
        self._event = options.get("on", "")
        self._settings = settings
        self._detector = EventDetector(settings)
        self._active = False
        self._differs_since_ns: int | None = None
        self._name = name
        self._known = self._condition in ("", PRESENT, UNCERTAIN)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        chip = find_chip(options.get("chip", ""))
        self._line = OutputLine(chip, line, active_low=options.get("active") == "low")

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: the line cannot be set, or the model has no such expression.
        """
        if not self._known and record.faces:
            reason = _unknown_expression(self._condition, tuple(record.faces[0].probabilities))
            if reason:
                raise SinkError(f"{self._name}: {reason}")
            self._known = True
        if self._condition:
            self._follow(record)
        elif any(event.kind == self._event for event in self._detector.update(record)):
            self._pulse()

    def close(self) -> None:
        """
        Raises:
            SinkError: the line cannot be made inactive.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._line.close()

    def _follow(self, record: FrameRecord) -> None:
        now_ns = record.scene_ns
        holds = bool(record.faces) and (
            self._condition == PRESENT or any(face.label == self._condition for face in record.faces)
        )
        if holds == self._active:
            self._differs_since_ns = None
            return
        if self._differs_since_ns is None or now_ns < self._differs_since_ns:
            self._differs_since_ns = now_ns
        wait_s = self._settings.arrive_after_s if holds else self._settings.leave_after_s
        if now_ns - self._differs_since_ns >= wait_s * 1e9:
            self._line.set(holds)
            self._active = holds
            self._differs_since_ns = None

    def _pulse(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._line.set(True)
            # A thread ends it, because the next frame may be long in coming.
            self._timer = threading.Timer(self._pulse_s, self._end_pulse)
            self._timer.daemon = True
            self._timer.start()

    def _end_pulse(self) -> None:
        with self._lock:
            # One that was too late to be cancelled must not cut the next pulse short.
            if self._timer is threading.current_thread():
                self._timer = None
                with contextlib.suppress(SinkError):
                    self._line.set(False)


def parse_line(
    name: str, argument: str, labels: Sequence[str] = ()
) -> tuple[int, Mapping[str, str], float]:
    """Number of the line, its options, and seconds of a pulse; arguments as those of `GpioSink`.

    Args:
        labels: the model's expressions, where they are known.

    Raises:
        UsageError: no number, a wrong option, or an expression that is not among `labels`.
    """
    line, options = split_options(name, argument, OPTIONS)
    match = re.fullmatch(r"(?:GPIO)?([0-9]{1,4})", line, re.IGNORECASE)
    if match is None:
        raise UsageError(f"{name}: the line must be a number, e.g. gpio:17 for GPIO17. Received: {line!r}")
    _check(name, options)
    reason = _unknown_expression(options.get("while", PRESENT), labels) if labels else ""
    if reason:
        raise UsageError(f"{name}: {reason}")
    return int(match[1]), options, number(name, options, "pulse", DEFAULT_PULSE_S, 0.001)


def _unknown_expression(condition: str, labels: Sequence[str]) -> str:
    """Why a condition can never hold; empty where it can."""
    if condition in (PRESENT, UNCERTAIN, *labels):
        return ""
    return (
        f"the model has no expression {condition!r}; choose {PRESENT}, {', '.join(labels)} or {UNCERTAIN}"
    )


def _check(name: str, options: Mapping[str, str]) -> None:
    if "while" in options and "on" in options:
        raise UsageError(f"{name}: give while=… or on=…, not both")
    if "on" in options and options["on"] not in KINDS:
        raise UsageError(f"{name}: on must be one of {', '.join(KINDS)}. Received: {options['on']!r}")
    if "pulse" in options and "on" not in options:
        raise UsageError(f"{name}: pulse needs on=EVENT")
    if options.get("while") == "":
        raise UsageError(f"{name}: while must be {PRESENT} or an expression, e.g. while=happy")
    if options.get("active", "high") not in ("high", "low"):
        raise UsageError(f"{name}: active must be high or low. Received: {options['active']!r}")

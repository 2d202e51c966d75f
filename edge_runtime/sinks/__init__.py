"""Where results go, chosen by name and imported when chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from edge_runtime.errors import UsageError
from edge_runtime.events import EventSettings
from edge_runtime.sinks.base import Sink

HELP = (
    "text, jsonl, jsonl:FILE (a new file), jsonl+:FILE (appends), events, events:FILE, hook:COMMAND, "
    "sqlite:FILE, gpio:LINE[,while=present|EXPRESSION][,on=EVENT], mqtt:HOST[:PORT], mqtts:HOST[:PORT] or "
    "web:HOST:PORT; a FILE of lines may be followed by ,max_mb=N,keep=N (rotation)"
)

__all__ = ["HELP", "Sink", "open_sink", "sink_opener"]


def open_sink(
    name: str,
    events: EventSettings | None = None,
    mqtt: Mapping[str, Any] | None = None,
    rotation: Mapping[str, Any] | None = None,
    web: Mapping[str, Any] | None = None,
    *,
    labels: Sequence[str] = (),
    patient: bool = False,
) -> Sink:
    """Open the sink called `name`; arguments as those of `sink_opener`.

    Raises:
        UsageError: unknown name, or a wrong option.
        SinkError: it cannot be opened.
    """
    return sink_opener(name, events, mqtt, rotation, web, labels=labels, patient=patient)()


def sink_opener(
    name: str,
    events: EventSettings | None = None,
    mqtt: Mapping[str, Any] | None = None,
    rotation: Mapping[str, Any] | None = None,
    web: Mapping[str, Any] | None = None,
    *,
    labels: Sequence[str] = (),
    patient: bool = False,
) -> Callable[[], Sink]:
    """What opens the sink called `name`; no file, line or socket is touched before.

    Args:
        events: how long a state must last before `events`, `hook`, `gpio` and `mqtt` report it.
        mqtt: fields of `edge_runtime.sinks.mqtt.MqttSettings`.
        rotation: fields of `edge_runtime.sinks.linefile.Rotation`, for what the name leaves out.
        web: fields of `edge_runtime.sinks.web.WebSettings`.
        labels: the model's expressions, where they are known: `gpio` is held to them at once.
        patient: whether lines wait for room while a file cannot be written, instead of ending the run.

    Raises:
        UsageError: unknown name, or a wrong option.
        SinkError: a package is missing, or a token or password cannot be read.
    """
    timing = events or EventSettings()
    kind, _, argument = name.partition(":")
    if kind == "text" and not argument:
        from edge_runtime.sinks.text import TextSink

        return TextSink
    if kind == "jsonl" or (kind == "jsonl+" and argument):
        from edge_runtime.sinks.jsonl import JsonLinesFile, JsonLinesStream
        from edge_runtime.sinks.linefile import parse_target, rotation_of
        from edge_runtime.sinks.patient import PatientSink

        if not argument:
            return JsonLinesStream
        path, turns = parse_target(name, argument, rotation_of(rotation))

        def open_lines() -> Sink:
            file = JsonLinesFile(path, append=kind == "jsonl+", rotation=turns)
            return PatientSink(file, name) if patient else file

        return open_lines
    if kind == "events":
        from edge_runtime.sinks.events import EventLines, EventsSink
        from edge_runtime.sinks.linefile import parse_target, rotation_of
        from edge_runtime.sinks.patient import PatientSink

        path, turns = parse_target(name, argument, rotation_of(rotation))

        def open_events() -> Sink:
            lines = EventLines(path, turns)
            waiting = PatientSink(lines, name) if patient and path else lines
            return EventsSink(waiting, timing)

        return open_events
    if kind == "hook" and argument:
        from edge_runtime.sinks.events import HookSink

        hook = HookSink(argument, timing)
        return lambda: hook
    if kind == "sqlite" and argument:
        from edge_runtime.sinks.sqlite import SqliteSink

        return partial(SqliteSink, argument)
    if kind == "gpio" and argument:
        from edge_runtime.sinks.gpio import GpioSink, parse_line

        parse_line(name, argument, labels)
        return partial(GpioSink, name, argument, timing)
    if kind in ("mqtt", "mqtts") and argument:
        from edge_runtime.sinks.mqtt import MqttSettings, MqttSink, broker_of

        broker = MqttSettings(**(mqtt or {}))
        broker_of(argument, broker, tls=kind == "mqtts")
        return partial(MqttSink, argument, broker, timing, tls=kind == "mqtts")
    if kind == "web" and argument:
        from edge_runtime.sinks.web import WebSettings, WebSink, access_of

        page = WebSettings(**(web or {}))
        access_of(argument, page)
        return partial(WebSink, argument, page)
    raise UsageError(f"unknown sink {name!r}; choose {HELP}")

"""Where results go, chosen by name and imported when chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import UsageError
from edge_runtime.events import EventSettings
from edge_runtime.sinks.base import Sink

HELP = (
    "text, jsonl, jsonl:FILE (a new file), jsonl+:FILE (appends), events, events:FILE, hook:COMMAND, "
    "sqlite:FILE, gpio:LINE[,while=present|EXPRESSION][,on=EVENT], mqtt:HOST[:PORT], mqtts:HOST[:PORT] or "
    "web:HOST:PORT; a FILE of lines may be followed by ,max_mb=N,keep=N (rotation)"
)

__all__ = ["HELP", "Sink", "open_sink"]


def open_sink(
    name: str,
    events: EventSettings | None = None,
    mqtt: Mapping[str, Any] | None = None,
    rotation: Mapping[str, Any] | None = None,
    web: Mapping[str, Any] | None = None,
) -> Sink:
    """Open the sink called `name`.

    Args:
        events: how long a state must last before `events`, `hook`, `gpio` and `mqtt` report it.
        mqtt: fields of `edge_runtime.sinks.mqtt.MqttSettings`.
        rotation: fields of `edge_runtime.sinks.linefile.Rotation`, for what the name leaves out.
        web: fields of `edge_runtime.sinks.web.WebSettings`.

    Raises:
        UsageError: unknown name.
        SinkError: it cannot be opened.
    """
    kind, _, argument = name.partition(":")
    if kind == "text" and not argument:
        from edge_runtime.sinks.text import TextSink

        return TextSink()
    if kind == "jsonl" or (kind == "jsonl+" and argument):
        from edge_runtime.sinks.jsonl import JsonLinesFile, JsonLinesStream
        from edge_runtime.sinks.linefile import parse_target, rotation_of

        if not argument:
            return JsonLinesStream()
        path, turns = parse_target(name, argument, rotation_of(rotation))
        return JsonLinesFile(path, append=kind == "jsonl+", rotation=turns)
    if kind == "events":
        from edge_runtime.sinks.events import EventsSink
        from edge_runtime.sinks.linefile import parse_target, rotation_of

        path, turns = parse_target(name, argument, rotation_of(rotation))
        return EventsSink(path, events or EventSettings(), turns)
    if kind == "hook" and argument:
        from edge_runtime.sinks.events import HookSink

        return HookSink(argument, events or EventSettings())
    if kind == "sqlite" and argument:
        from edge_runtime.sinks.sqlite import SqliteSink

        return SqliteSink(argument)
    if kind == "gpio" and argument:
        from edge_runtime.sinks.gpio import GpioSink

        return GpioSink(name, argument, events or EventSettings())
    if kind in ("mqtt", "mqtts") and argument:
        from edge_runtime.sinks.mqtt import MqttSettings, MqttSink

        settings = MqttSettings(**(mqtt or {}))
        return MqttSink(argument, settings, events or EventSettings(), tls=kind == "mqtts")
    if kind == "web" and argument:
        from edge_runtime.sinks.web import WebSettings, WebSink

        return WebSink(argument, WebSettings(**(web or {})))
    raise UsageError(f"unknown sink {name!r}; choose {HELP}")

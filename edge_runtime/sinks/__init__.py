"""Where results go, chosen by name and imported when chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import UsageError
from edge_runtime.events import EventSettings
from edge_runtime.sinks.base import Sink

HELP = (
    "text, jsonl, jsonl:FILE (a new file), jsonl+:FILE (appends), events, events:FILE, hook:COMMAND "
    "sqlite:FILE, mqtt:HOST[:PORT] or mqtts:HOST[:PORT]"
)

__all__ = ["HELP", "Sink", "open_sink"]


def open_sink(
    name: str, events: EventSettings | None = None, mqtt: Mapping[str, Any] | None = None
) -> Sink:
    """Open the sink called `name`.

    Args:
        events: how long a state must last before `events`, `hook` and `mqtt` report it.
        mqtt: fields of `edge_runtime.sinks.mqtt.MqttSettings`.

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

        return JsonLinesFile(argument, append=kind == "jsonl+") if argument else JsonLinesStream()
    if kind == "events":
        from edge_runtime.sinks.events import EventsSink

        return EventsSink(argument, events or EventSettings())
    if kind == "hook" and argument:
        from edge_runtime.sinks.events import HookSink

        return HookSink(argument, events or EventSettings())
    if kind == "sqlite" and argument:
        from edge_runtime.sinks.sqlite import SqliteSink

        return SqliteSink(argument)
    if kind in ("mqtt", "mqtts") and argument:
        from edge_runtime.sinks.mqtt import MqttSettings, MqttSink

        settings = MqttSettings(**(mqtt or {}))
        return MqttSink(argument, settings, events or EventSettings(), tls=kind == "mqtts")
    raise UsageError(f"unknown sink {name!r}; choose {HELP}")

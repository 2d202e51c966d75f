"""Where results go, chosen by name and imported when chosen."""

from __future__ import annotations

from edge_runtime.errors import UsageError
from edge_runtime.sinks.base import Sink

HELP = "text, jsonl, jsonl:FILE (a new file) or jsonl+:FILE (appends)"

__all__ = ["HELP", "Sink", "open_sink"]


def open_sink(name: str) -> Sink:
    """Open the sink called `name`.

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
    raise UsageError(f"unknown sink {name!r}; choose {HELP}")

"""Options behind the path in a source's or sink's name, e.g. `jsonl+:FILE,max_mb=10,keep=5`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from edge_runtime.errors import UsageError
from edge_runtime.numbers import MOST

_LOOKS_LIKE_AN_OPTION = re.compile(r"[a-z_]+=[^,/]*")


def split_options(name: str, text: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Divide what follows the kind into a path and its options.

    Options stand at the end: words of `known`, alone or with `=` and a value. A comma that is followed by
    anything else belongs to the path.

    Args:
        name: the whole name, for the errors.

    Raises:
        UsageError: something that looks like an option is none.
    """
    parts = text.split(",")
    options: dict[str, str] = {}
    while len(parts) > 1:
        key, _, value = parts[-1].partition("=")
        if key in known:
            options.setdefault(key, value)
        elif _LOOKS_LIKE_AN_OPTION.fullmatch(parts[-1]):
            near = get_close_matches(key, known, n=1, cutoff=0)
            raise UsageError(f"{name}: unknown option {key!r}; did you mean {near[0]!r}?")
        else:
            break
        parts.pop()
    return ",".join(parts), options


def number(name: str, options: Mapping[str, str], key: str, default: float, low: float) -> float:
    """The value of an option as a number.

    Raises:
        UsageError: no number, below `low`, or too large for anything.
    """
    text = options.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= MOST:
        raise UsageError(
            f"{name}: {key} must be a number of at least {low:g}, at most {MOST:g}. Received: {text!r}"
        )
    return value

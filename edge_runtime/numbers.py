"""What counts as a number where people write one."""

from __future__ import annotations

import re

MOST = 1e9
"""No setting is larger: times become whole nanoseconds and sizes whole bytes, which have an end."""
MAX_THREADS = 64
"""Interpreters that are asked for thousands of threads never come back."""


def whole_number(text: str) -> int | None:
    """The value of ASCII digits; None for anything else.

    `str.isdigit` takes superscripts as well, which `int` refuses, and `int` refuses thousands of digits.
    """
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None

"""Options behind a path: at the end, known words alone, and a path may hold commas."""

from __future__ import annotations

import pytest

from edge_runtime.errors import UsageError
from edge_runtime.options import number, split_options

KNOWN = ("max_mb", "keep", "watch")


@pytest.mark.parametrize(
    ("text", "path", "options"),
    [
        ("out.jsonl", "out.jsonl", {}),
        ("out.jsonl,max_mb=10,keep=3", "out.jsonl", {"max_mb": "10", "keep": "3"}),
        ("in,watch", "in", {"watch": ""}),
        ("a, b.jsonl", "a, b.jsonl", {}),
        ("a,b=1/out.jsonl,keep=2", "a,b=1/out.jsonl", {"keep": "2"}),
        ("watch", "watch", {}),
    ],
)
def test_what_belongs_to_the_path(text: str, path: str, options: dict[str, str]) -> None:
    assert split_options("name", text, KNOWN) == (path, options)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown option 'kep'; did you mean 'keep'"):
        split_options("jsonl:out,kep=1", "out,kep=1", KNOWN)


@pytest.mark.parametrize("text", ["", "ten", "-1", "inf", "nan"])
def test_numbers(text: str) -> None:
    assert number("name", {"keep": "2.5"}, "keep", 0, 0) == 2.5
    assert number("name", {}, "keep", 7, 0) == 7
    with pytest.raises(UsageError, match="keep must be a number of at least 0"):
        number("name", {"keep": text}, "keep", 0, 0)

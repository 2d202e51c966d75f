from dataclasses import dataclass

import pytest

from benchmarks.schema import RecordError, parse, to_document


@dataclass(frozen=True)
class Inner:
    share: float


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    flag: bool
    maybe: int | None
    parts: tuple[Inner, ...]
    table: dict[str, float]


GOOD = {
    "name": "x",
    "count": 3,
    "flag": True,
    "maybe": None,
    "parts": [{"share": 1}],
    "table": {"a": 0.5},
}


def test_there_and_back() -> None:
    record = parse(Outer, GOOD, "here")
    assert record == Outer("x", 3, True, None, (Inner(1.0),), {"a": 0.5})
    assert to_document(record) == GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "here.name: expected a string"),
        ({"count": 3.5}, "here.count: expected an integer"),
        ({"count": True}, "here.count: expected an integer"),
        ({"count": None}, "here.count: expected an integer"),
        ({"flag": 1}, "here.flag: expected true or false"),
        ({"maybe": "3"}, "here.maybe: expected an integer"),
        ({"parts": {"share": 1}}, "here.parts: expected a list"),
        ({"parts": [{"share": "1"}]}, r"here.parts\[0\].share: expected a finite number"),
        ({"parts": [{}]}, r"here.parts\[0\]: lacks share; unknown values are null"),
        ({"table": {"a": float("nan")}}, "here.table.a: expected a finite number"),
        ({"extra": 1}, "here: has unknown keys extra"),
    ],
)
def test_what_is_wrong_is_named(change: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        parse(Outer, {**GOOD, **change}, "here")


def test_a_missing_key_is_not_null() -> None:
    document = {key: value for key, value in GOOD.items() if key != "maybe"}
    with pytest.raises(RecordError, match="lacks maybe"):
        parse(Outer, document, "here")

"""Frozen dataclasses as JSON objects, checked field by field on reading.

A record that another program wrote, or that somebody edited, is refused with the place that is wrong;
nothing is converted silently, no key may be missing and none may be unknown.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar

from edge_runtime.errors import EdgeFerError

T = TypeVar("T")


class RecordError(EdgeFerError):
    """A record file is not JSON, has another schema, or a field is missing, unknown or of another type."""


def parse(cls: type[T], value: Any, where: str) -> T:
    """Build a dataclass from a JSON object.

    Args:
        cls: a dataclass whose fields are int, float, str, bool, None, unions of these, tuples of one
            item type, dicts with string keys, or dataclasses.
        value: what `json` gave.
        where: for messages, e.g. `records.json, record 2`.

    Raises:
        RecordError: with the path of the field.
    """
    result: T = _parse(cls, value, where)
    return result


def _parse(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _parse_union(arguments, value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _parse_dataclass(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong("a list", value, where)
        return tuple(_parse(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong("an object", value, where)
        return {key: _parse(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _parse_scalar(kind, value, where)


def _parse_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    others = [argument for argument in arguments if argument is not type(None)]
    for other in others[:-1]:
        try:
            return _parse(other, value, where)
        except RecordError:
            continue
    return _parse(others[-1], value, where)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _parse_dataclass(cls: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong("an object", value, where)
    hints = _hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    missing, unknown = set(names) - value.keys(), value.keys() - set(names)
    if missing:
        raise RecordError(
            f"{where}: lacks {', '.join(sorted(missing))}; unknown values are null, not absent"
        )
    if unknown:
        raise RecordError(f"{where}: has unknown keys {', '.join(sorted(unknown))}")
    return cls(**{name: _parse(hints[name], value[name], f"{where}.{name}") for name in names})


def _parse_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        raise _wrong("a finite number", value, where)
    if kind is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise _wrong("an integer", value, where)
    if kind in (str, bool):
        if isinstance(value, kind):
            return value
        raise _wrong("a string" if kind is str else "true or false", value, where)
    raise TypeError(f"{where}: fields of type {kind} are not supported")


def _wrong(expected: str, value: Any, where: str) -> RecordError:
    return RecordError(f"{where}: expected {expected}. Received: {str(value)[:60]!r}")


def to_document(record: Any) -> Any:
    """The JSON form of a dataclass, the inverse of `parse`."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {
            field.name: to_document(getattr(record, field.name))
            for field in dataclasses.fields(record)
            if field.init
        }
    if isinstance(record, dict):
        return {key: to_document(value) for key, value in record.items()}
    if isinstance(record, (tuple, list)):
        return [to_document(value) for value in record]
    return record

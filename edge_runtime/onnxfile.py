"""The `metadata_props` of an ONNX file, read and written with the standard library alone.

An ONNX file is one protobuf message. Its `metadata_props` (field 14) are pairs of strings, and appending
an encoded field to a message adds an element to it: so the graph's own bytes stay as they are, and their
digest can be checked without the package `onnx`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping

from edge_runtime.errors import ContractError

CONTRACT_NAME = "edge-fer.json"
LABELS_NAME = "labels.txt"
CHECKSUM_NAME = "edge-fer.sha256"
"""Digest over the other two: unlike a zip archive, a protobuf message has no checksums of its own."""

_IR_VERSION, _GRAPH, _METADATA_PROPS = 1, 7, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_OWN = (LABELS_NAME, CONTRACT_NAME, CHECKSUM_NAME)


def split_onnx(data: bytes, path: str | os.PathLike[str] = "model") -> tuple[bytes, dict[str, bytes]]:
    """Split an `.onnx` file into the graph's own bytes and edge-fer's properties.

    Raises:
        ContractError: not an ONNX model, truncated, or the properties are damaged.
    """
    graph = bytearray()
    members: dict[str, bytes] = {}
    seen: set[int] = set()
    try:
        for number, start, body, end in _fields(data):
            seen.add(number)
            entry = _pair(data[body:end]) if number == _METADATA_PROPS else None
            if entry is not None and entry[0] in _OWN:
                members[entry[0]] = entry[1]
            else:
                graph += data[start:end]
    except ValueError as error:
        raise ContractError(
            f"{path}: not an ONNX model, or it is truncated or damaged ({error}); fetch or convert it again"
        ) from None
    if not {_IR_VERSION, _GRAPH} <= seen:
        raise ContractError(f"{path}: not an ONNX model (no graph in it), or it is truncated")
    checksum = members.pop(CHECKSUM_NAME, b"").decode("ascii", "replace")
    if members and checksum != _checksum(members):
        raise ContractError(
            f"{path}: its {CONTRACT_NAME} is truncated or damaged; fetch or convert the model again"
        )
    return bytes(graph), members


def append_properties(graph: bytes, members: Mapping[str, bytes]) -> bytes:
    """Append properties to the graph's bytes, with their checksum."""
    complete = {**members, CHECKSUM_NAME: _checksum(members).encode()}
    return graph + b"".join(_encoded_property(name, value) for name, value in complete.items())


def _checksum(members: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(members):
        total.update(f"{name}:{len(members[name])}:".encode() + members[name])
    return total.hexdigest()


def _encoded_property(name: str, value: bytes) -> bytes:
    pair = _encoded_bytes(1, name.encode()) + _encoded_bytes(2, value)
    return _encoded_bytes(_METADATA_PROPS, pair)


def _encoded_bytes(number: int, content: bytes) -> bytes:
    return _encoded_varint(number << 3 | _BYTES) + _encoded_varint(len(content)) + content


def _encoded_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _pair(message: bytes) -> tuple[str, bytes] | None:
    values = {number: message[body:end] for number, _, body, end in _fields(message)}
    if 1 not in values:
        return None
    return values[1].decode("utf-8", "replace"), values.get(2, b"")


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, start of the content and end of each top-level field.

    Raises:
        ValueError: the bytes are no protobuf message.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise ValueError(f"field 0 at byte {start}")
        if kind == _VARINT:
            body = position
            _, position = _varint(message, position)
        elif kind == _BYTES:
            size, body = _varint(message, position)
            position = body + size
        elif kind in (_FIXED64, _FIXED32):
            body = position
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {start}")
        if position > len(message):
            raise ValueError(f"field {number} ends beyond the file")
        yield number, start, body, position


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("the file ends inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number is too long")

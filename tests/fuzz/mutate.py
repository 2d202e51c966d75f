"""Makes bad input out of good: the same input for the same numbers, on every machine."""

from __future__ import annotations

import copy
import math
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

MAX_BYTES = 1 << 16
"""Longer inputs are cut: length is not what finds mistakes here."""

INTERESTING = (
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    1 << 31,
    (1 << 31) - 1,
    (1 << 32) - 1,
)
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 1e-9, 1e308, -1e308, 1 << 63, 1 << 200, -(1 << 200), 0.5,
    "", " ", "x", "\x00", "\ud800", "é", "nan", "uncertain", "happy", "luma", "rgb", "detect", "softmax",
    "a\nb", "../../etc/passwd", "A" * 5000, [], {}, [[]], {"a": {}}, math.nan, math.inf, -math.inf,
)  # fmt: skip
TOKENS = (
    b"", b"\n", b"\r", b"\x00", b"\"", b"'", b",", b"\t", b" ", b"[", b"]", b"{", b"}", b"=", b"[[", b"]]",
    b"-1", b"1e999", b"nan", b"inf", b"0x10", b"99999999999999999999999999", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xed\xa0\x80", b"true", b"null", b"# ", b"/", b"../", b"%s", b"PK\x03\x04", b"PK\x05\x06", b"TFL3",
    b"\"\"\"", b"'''", b"\\u0000", b"1_000", b"1979-05-27", b"_", b".", b"\xff\xd9", b"\xff\xda", b"IEND",
)  # fmt: skip


def mutate_bytes(rng: random.Random, data: bytes, dictionary: Sequence[bytes] = TOKENS) -> bytes:
    """One to eight changes of bytes: flips, numbers, cuts, copies, words."""
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        _change(rng, mutated, dictionary)
    return bytes(mutated[:MAX_BYTES])


def _change(rng: random.Random, data: bytearray, dictionary: Sequence[bytes]) -> None:
    size = len(data)
    at = rng.randrange(size + 1)
    kind = rng.randrange(9)
    if kind == 0 and at < size:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < size:
        data[at] = rng.randrange(256)
    elif kind == 2:
        word = rng.choice(dictionary)
        data[at : at + len(word) * rng.randrange(2)] = word
    elif kind == 3:
        form = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q"))
        width = struct.calcsize(form)
        value = rng.choice(INTERESTING) & ((1 << 8 * width) - 1)
        data[at : at + width] = struct.pack(form, value)
    elif kind == 4:
        del data[at : at + _length(rng)]
    elif kind == 5:
        data[at:at] = data[at : at + _length(rng)]
    elif kind == 6:
        del data[at:]
    elif kind == 7:
        source = rng.randrange(size + 1)
        data[at : at + _length(rng)] = data[source : source + _length(rng)]
    else:
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))


def _length(rng: random.Random) -> int:
    return rng.choice((1, 1, 2, 4, 8, 16, 64, 256, 4096))


def mutate_document(rng: random.Random, document: Any) -> Any:
    """One to four changes of a JSON document's values, keys and lengths, in place."""
    changed = document
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed = _change_value(rng, changed)
    return changed


def _scalar(rng: random.Random) -> Any:
    # A copy: what is put into a document is changed later on.
    return copy.deepcopy(rng.choice(SCALARS))


def _change_value(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        kind = rng.randrange(12)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[rng.choice(("", "x", "schema", "self", "__class__", key + "_"))] = _scalar(rng)
        else:
            value[key] = _change_value(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        kind = rng.randrange(8)
        if kind == 0:
            del value[at]
        elif kind == 1:
            value[at:at] = value[at : at + 1] * rng.choice((1, 2, 5))
        else:
            value[at] = _change_value(rng, value[at])
        return value
    if isinstance(value, str) and rng.random() < 0.5:
        return mutate_bytes(rng, value.encode("utf-8", "replace")).decode("utf-8", "replace")
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300
    if number and rng.random() < 0.5:
        return rng.choice((-value, value + 1, value * 1000, value // 3, value * 0.5, str(value)))
    return _scalar(rng)

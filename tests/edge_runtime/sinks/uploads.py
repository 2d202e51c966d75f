"""Hooks of Schemathesis: what a picture is, which no schema can say.

Loaded by Schemathesis in its own environment (`SCHEMATHESIS_HOOKS`), hence nothing of edge-fer's here.
"""

from __future__ import annotations

import struct

import schemathesis
from hypothesis import strategies


def _pnm(width: int, height: int, channels: int, shade: int) -> bytes:
    kind = 5 if channels == 1 else 6
    return b"P%d\n%d %d\n255\n" % (kind, width, height) + bytes([shade]) * (width * height * channels)


def _bmp(width: int, height: int, shade: int) -> bytes:
    rows = bytes([shade]) * ((width * 3 + 3) // 4 * 4 * height)
    head = struct.pack("<2sIHHIIiiHH", b"BM", 54 + len(rows), 0, 0, 54, 40, width, height, 1, 24)
    return head + bytes(24) + rows


_side = strategies.integers(1, 60)
_shade = strategies.integers(0, 255)
PICTURES = strategies.one_of(
    strategies.builds(_pnm, _side, _side, strategies.sampled_from([1, 3]), _shade),
    strategies.builds(_bmp, _side, _side, _shade),
)

for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, PICTURES)

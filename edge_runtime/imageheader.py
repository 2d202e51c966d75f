"""The size of a picture as its first bytes announce it: what is too large is refused before it is decoded.

A file of a few kilobytes can announce a picture of gigabytes. Standard library alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded: 192 MB as BGR."""
MAX_SCANS = 100
"""Most passes of a progressive JPEG; each costs a decoder a walk over the whole picture."""

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True)
class Header:
    """What a picture says of itself."""

    kind: str
    """`JPEG`, `PNG`, `BMP`, `WebP`, `PNM`, `GIF` or `TIFF`."""
    width: int
    """Pixels; 0 where the header is broken."""
    height: int

    def complaint(self) -> str | None:
        """Why it must not be decoded, for an error, or None."""
        if self.width < 1 or self.height < 1:
            return f"the picture's header is corrupt ({self.width}x{self.height})"
        if self.width * self.height > MAX_PIXELS:
            return (
                f"{self.width}x{self.height} pixels is more than the {MAX_PIXELS // 1_000_000} million "
                "allowed; give a smaller picture"
            )
        return None


def read_header(data: bytes) -> Header | None:
    """The header of a picture's bytes; None where they are of no kind that is known here."""
    for kind, signatures, size in _KINDS:
        if data.startswith(signatures) and (kind != "WebP" or data[8:12] == b"WEBP"):
            try:
                width, height = size(data)
            except (struct.error, ValueError, IndexError):
                width = height = 0
            return Header(kind, width, height)
    return None


def is_complete(data: bytes) -> bool:
    """Whether the end of a JPEG, PNG or WebP is there: decoders fill with gray what is missing.

    Raises ValueError or struct.error for a header that `read_header` calls broken.
    """
    if data.startswith(JPEG):
        # FF in a scan's data is always followed by 00 or a marker, so this is the end of the picture.
        return data.find(b"\xff\xd9", _jpeg_scan(data)[1]) >= 0
    if data.startswith(PNG):
        return data.rfind(b"IEND") >= 0
    if data.startswith(b"RIFF"):
        (length,) = struct.unpack_from("<I", data, 4)
        return len(data) >= length + 8
    return True


def has_too_many_scans(data: bytes) -> bool:
    """Whether a JPEG would keep a decoder busy for minutes."""
    return data.startswith(JPEG) and data.count(b"\xff\xda") > MAX_SCANS


def _png_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    return _jpeg_scan(data)[0]


def _jpeg_scan(data: bytes) -> tuple[tuple[int, int], int]:
    """Size and the position where the first scan's data starts.

    Raises ValueError where the segments are broken; an EXIF thumbnail is skipped with its segment.
    """
    size = (0, 0)
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
        if marker == 0xDA:
            return size, position + 2 + length
        position += 2 + length
    return size, len(data)


def _bmp_size(data: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _webp_size(data: bytes) -> tuple[int, int]:
    """The three kinds of WebP: https://developers.google.com/speed/webp/docs/riff_container."""
    kind = data[12:16]
    if kind == b"VP8X":
        if len(data) < 30:
            raise ValueError
        width = int.from_bytes(data[24:27], "little") + 1
        return width, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError


def _pnm_size(data: bytes) -> tuple[int, int]:
    lines = [line.partition(b"#")[0] for line in data[:4096].splitlines()]
    fields = b" ".join(lines).split()
    return int(fields[1]), int(fields[2])


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _tiff_size(data: bytes) -> tuple[int, int]:
    """The largest of each side that any entry of the first directory names (TIFF 6.0, section 2)."""
    order = "<" if data.startswith(b"II") else ">"
    (offset,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    width = height = 0
    for entry in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", data, offset + 2 + 12 * entry)
        if tag not in (256, 257):
            continue
        form = {1: "B", 3: "H", 4: "I"}.get(kind)
        if form is None:
            raise ValueError
        (value,) = struct.unpack_from(f"{order}{form}", data, offset + 2 + 12 * entry + 8)
        width, height = (max(width, value), height) if tag == 256 else (width, max(height, value))
    return width, height


_KINDS: tuple[tuple[str, tuple[bytes, ...], Callable[[bytes], tuple[int, int]]], ...] = (
    ("PNG", (PNG,), _png_size),
    ("JPEG", (JPEG,), _jpeg_size),
    ("BMP", (b"BM",), _bmp_size),
    ("WebP", (b"RIFF",), _webp_size),
    ("PNM", (b"P2", b"P3", b"P5", b"P6"), _pnm_size),
    ("GIF", (b"GIF87a", b"GIF89a"), _gif_size),
    ("TIFF", (b"II*\0", b"MM\0*"), _tiff_size),
)

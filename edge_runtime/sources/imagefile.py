"""Read a picture from a file, and say in one line what is wrong with it."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.preprocess import UInt8Array

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".pnm"})
"""Suffixes by which a path is taken for a picture; the content decides how it is read."""

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded: 192 MB as BGR. A file of a few kB can announce far more."""

MAX_FILE_BYTES = 256 << 20

KINDS = "JPEG, PNG, BMP, WebP or PGM/PPM"


def read_image(path: str | Path) -> UInt8Array:
    """Read a picture as BGR (H, W, 3) uint8; the EXIF orientation is applied.

    Raises:
        SourceError: missing, empty, truncated or corrupt file, not a picture, or too large.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; give a smaller picture")
        data = path.read_bytes()
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot read the picture ({error.strerror})") from None
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str = "picture") -> UInt8Array:
    """Decode a picture's bytes to BGR (H, W, 3) uint8; `name` stands in the errors.

    The size is read from the header and checked before anything is decoded, and the end of a JPEG or
    PNG is looked for, because decoders fill what a truncated file lacks with gray.

    Raises:
        SourceError: empty, truncated, corrupt or too large, or not a picture.
    """
    if not data:
        raise SourceError(f"{name}: the file is empty; give a {KINDS} picture")
    size = header_size(data)
    if size is None:
        raise SourceError(f"{name}: not a {KINDS} picture; convert it first")
    width, height = size
    if width < 1 or height < 1:
        raise SourceError(f"{name}: the picture's header is corrupt ({width}x{height})")
    if width * height > MAX_PIXELS:
        raise SourceError(
            f"{name}: {width}x{height} pixels is more than the {MAX_PIXELS // 1_000_000} million allowed; "
            "give a smaller picture"
        )
    if not _is_complete(data):
        raise SourceError(f"{name}: the picture is truncated; fetch it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(f"{name}: the picture is corrupt and cannot be decoded; fetch it again")
    return image  # type: ignore[return-value]


def header_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as the header announces it, (0, 0) for a broken header, None for another format."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg_scan(data)[0]
        if data.startswith(b"BM"):
            if struct.unpack_from("<I", data, 14)[0] == 12:
                return struct.unpack_from("<HH", data, 18)
            width, height = struct.unpack_from("<ii", data, 18)
            return width, abs(height)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:2] in (b"P2", b"P3", b"P5", b"P6"):
            return _pnm_size(data)
    except (struct.error, ValueError, IndexError):
        return 0, 0
    return None


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


def _webp_size(data: bytes) -> tuple[int, int]:
    """The three kinds of WebP: https://developers.google.com/speed/webp/docs/riff_container."""
    kind = data[12:16]
    if kind == b"VP8X":
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


def _is_complete(data: bytes) -> bool:
    if data.startswith(b"\xff\xd8\xff"):
        # FF in a scan's data is always followed by 00 or a marker, so this is the end of the picture.
        return data.find(b"\xff\xd9", _jpeg_scan(data)[1]) >= 0
    if data.startswith(b"\x89PNG"):
        return data.rfind(b"IEND") >= 0
    if data.startswith(b"RIFF"):
        return len(data) >= struct.unpack_from("<I", data, 4)[0] + 8
    return True

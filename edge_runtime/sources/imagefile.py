"""Read a picture from a file, and say in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.imageheader import MAX_SCANS, has_too_many_scans, is_complete, read_header
from edge_runtime.preprocess import UInt8Array

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".pnm"})
"""Suffixes by which a path is taken for a picture; the content decides how it is read."""

MAX_FILE_BYTES = 256 << 20

DECODED = frozenset({"JPEG", "PNG", "BMP", "WebP", "PNM"})
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
    header = read_header(data)
    if header is None or header.kind not in DECODED:
        raise SourceError(f"{name}: not a {KINDS} picture; convert it first")
    complaint = header.complaint()
    if complaint:
        raise SourceError(f"{name}: {complaint}")
    if has_too_many_scans(data):
        raise SourceError(f"{name}: more than {MAX_SCANS} passes in one JPEG; save the picture anew")
    if not is_complete(data):
        raise SourceError(f"{name}: the picture is truncated; fetch it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError(f"{name}: the picture is corrupt and cannot be decoded; fetch it again")
    return image  # type: ignore[return-value]

"""Pictures: every damage is one line of error, and nothing large is decoded on a header's word."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.imageheader import read_header
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources.imagefile import decode_image, read_image


@pytest.fixture(scope="module")
def image() -> UInt8Array:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (80, 60))  # type: ignore[return-value]


def header_size(data: bytes) -> tuple[int, int]:
    header = read_header(data)
    assert header is not None
    return header.width, header.height


def encoded(image: UInt8Array, suffix: str) -> bytes:
    written = image[:, :, 0] if suffix == ".pgm" else image
    return cv2.imencode(suffix, written)[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".ppm", ".pgm"])
def test_size_is_read_from_the_header_and_the_picture_decoded(image: UInt8Array, suffix: str) -> None:
    data = encoded(image, suffix)
    assert header_size(data) == (80, 60)
    assert decode_image(data).shape == (60, 80, 3)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm"])
def test_lossless_pictures_come_back_exactly(image: UInt8Array, suffix: str) -> None:
    assert np.array_equal(decode_image(encoded(image, suffix)), image)


def test_lossless_and_lossy_webp_sizes(image: UInt8Array) -> None:
    lossless = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    lossy = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()
    assert header_size(lossless) == header_size(lossy) == (80, 60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
def test_truncated_pictures_are_refused(image: UInt8Array, suffix: str, part: float) -> None:
    data = encoded(image, suffix)
    with pytest.raises(SourceError, match=r"truncated|corrupt"):
        decode_image(data[: int(len(data) * part)])


def test_every_prefix_of_a_jpeg_is_refused_in_one_line(image: UInt8Array) -> None:
    data = encoded(image, ".jpg")
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(SourceError) as caught:
            decode_image(data[:length], "x.jpg")
        assert "\n" not in str(caught.value)


def test_thumbnail_inside_exif_does_not_hide_a_truncation(image: UInt8Array) -> None:
    data = encoded(image, ".jpg")
    thumbnail = encoded(image[:8, :8], ".jpg")
    segment = b"Exif\0\0" + thumbnail
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    whole = data[:2] + app1 + data[2:]
    assert header_size(whole) == (80, 60)
    assert decode_image(whole).shape == (60, 80, 3)
    with pytest.raises(SourceError, match="truncated"):
        decode_image(whole[: int(len(whole) * 0.9)])


def png_announcing(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_header_that_announces_a_giant_is_refused_before_decoding() -> None:
    with pytest.raises(SourceError, match="60000x60000 pixels"):
        decode_image(png_announcing(60_000, 60_000))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"this is a text file\n", "not a JPEG"),
        (png_announcing(0, 5), "corrupt"),
        (b"P5\n# only a comment\n", "corrupt"),
        (b"\x89PNG\r\n\x1a\n", "corrupt"),
        (b"BM123", "corrupt"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        decode_image(data)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(SourceError, match="cannot read the picture"):
        read_image(tmp_path)

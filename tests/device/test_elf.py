"""The ELF reader, on headers made here and on a real library."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.device.elf import PAGE_16K, PT_LOAD, load_alignments, misaligned

PT_DYNAMIC = 2


def elf64(*segments: tuple[int, int]) -> bytes:
    """An ELF64 header with a program header per (type, p_align)."""
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    return header + b"".join(
        struct.pack("<IIQQQQQQ", kind, 5, 0, 0, 0, 0, 0, align) for kind, align in segments
    )


def elf32(*segments: tuple[int, int]) -> bytes:
    header = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 3, 40, 1, 0, 52, 0, 0, 52, 32, len(segments), 0, 0, 0)
    return header + b"".join(
        struct.pack("<IIIIIIII", kind, 0, 0, 0, 0, 0, 5, align) for kind, align in segments
    )


@pytest.mark.parametrize("make", [elf64, elf32])
def test_only_load_segments_count(make: Callable[..., bytes]) -> None:
    assert load_alignments(make((PT_LOAD, 65536), (PT_DYNAMIC, 8), (PT_LOAD, 4096))) == (65536, 4096)


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"\x7fELF\x02\x02" + bytes(60), elf64((1, 4096))[:80]]
)
def test_what_is_no_elf_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="ELF"):
        load_alignments(data)


def test_misaligned_names_the_library_that_a_pi_5_refuses(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    good, bad = tmp_path / "package" / "good.so", tmp_path / "libbad.so.1"
    good.write_bytes(elf64((PT_LOAD, 65536)))
    bad.write_bytes(elf64((PT_LOAD, PAGE_16K), (PT_LOAD, 4096)))
    (tmp_path / "notes.so").write_text("not an object")
    assert misaligned(tmp_path) == (2, [bad])


def test_a_real_library_is_read() -> None:
    library = next(path for path in Path(np.__file__).parent.rglob("*.so"))
    alignments = load_alignments(library.read_bytes())
    assert alignments
    assert all(align & (align - 1) == 0 for align in alignments)

"""Read from ELF headers whether shared objects load on a kernel with larger pages.

The kernel of a Raspberry Pi 5 uses 16 kB pages: it cannot map a segment that is aligned for 4 kB.
Layout: System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import struct
from pathlib import Path

PT_LOAD = 1
PAGE_16K = 1 << 14


def load_alignments(data: bytes) -> tuple[int, ...]:
    """`p_align` of every PT_LOAD segment of a little-endian ELF file, 32 or 64 bits.

    Raises:
        ValueError: not such a file, or truncated.
    """
    if data[:4] != b"\x7fELF" or len(data) < 6 or data[5] != 1:
        raise ValueError("not a little-endian ELF file")
    wide = data[4] == 2
    try:
        table = struct.unpack_from("<Q" if wide else "<I", data, 32 if wide else 28)[0]
        size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
        found = []
        for start in range(table, table + size * count, size or 1):
            (kind,) = struct.unpack_from("<I", data, start)
            if kind == PT_LOAD:
                align = struct.unpack_from("<Q" if wide else "<I", data, start + (48 if wide else 28))
                found.append(align[0])
    except struct.error:
        raise ValueError("truncated ELF headers") from None
    return tuple(found)


def misaligned(folder: Path, page: int = PAGE_16K) -> tuple[int, list[Path]]:
    """Shared objects below a folder: how many there are, and those that a kernel with `page` refuses."""
    objects = sorted(
        path
        for pattern in ("*.so", "*.so.*")
        for path in folder.rglob(pattern)
        if path.is_file() and path.open("rb").read(4) == b"\x7fELF"
    )
    return len(objects), [
        path for path in objects if any(align % page for align in load_alignments(path.read_bytes()))
    ]

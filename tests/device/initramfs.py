"""Folders as the first file system of a Linux kernel: a cpio archive in the format `newc`.

See https://docs.kernel.org/driver-api/early-userspace/buffer-format.html.
"""

from __future__ import annotations

import stat
from collections.abc import Container, Mapping
from pathlib import Path
from typing import BinaryIO

CONSOLE = (5, 1)
"""Device numbers of /dev/console, which the first process needs before anything is mounted."""


def write_initramfs(out: Path, folders: Mapping[str, Path], without: Container[str] = ()) -> None:
    """Pack folders.

    Args:
        folders: what to pack, by its place in the file system; the root's is the empty string.
        without: names of files and folders that are left out wherever they are.
    """
    with out.open("wb") as archive:
        count = 0

        def add(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
            nonlocal count
            count += 1
            _write_entry(archive, count, name, mode, data, device)

        for place, folder in folders.items():
            if place:
                add(place, stat.S_IFDIR | 0o755)
            for path in sorted(folder.rglob("*")):
                inner = path.relative_to(folder)
                if any(part in without for part in inner.parts):
                    continue
                name = "/".join(filter(None, (place, inner.as_posix())))
                if path.is_symlink():
                    add(name, stat.S_IFLNK | 0o777, str(path.readlink()).encode())
                elif path.is_dir():
                    add(name, stat.S_IFDIR | 0o755)
                elif path.is_file():
                    add(name, stat.S_IFREG | 0o755, path.read_bytes())
        add("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE)
        add("TRAILER!!!", 0)


def _write_entry(
    archive: BinaryIO, number: int, name: str, mode: int, data: bytes, device: tuple[int, int]
) -> None:
    path = name.encode() + b"\0"
    # Number, mode, user, group, links, time, size, device of the file (2), of a device node (2), length of
    # the name, checksum.
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    archive.write(header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4))

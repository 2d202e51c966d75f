"""A double of the kernel's GPIO character device, for the four calls that `gpioline` makes.

It stands on linux/gpio.h's layouts (checked against the header by a test) and on what the kernel's
documentation says: a new output is inactive, a line belongs to one holder until its descriptor is closed,
values are logical. Whether a pin really moves it cannot tell.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

from edge_runtime.sinks import gpioline


class Kernel:
    """Chips as files in a folder; `levels` are what a voltmeter would show."""

    def __init__(self, folder: Path, chips: dict[str, tuple[str, int]]) -> None:
        """
        Args:
            chips: label and number of lines by file name.
        """
        self.folder = folder
        self.chips = chips
        for name in chips:
            (folder / name).touch()
        self.levels: dict[tuple[str, int], list[int]] = {}
        """Every level that a line took, by chip and offset."""
        self.foreign: dict[tuple[str, int], bytes] = {}
        """Lines that other programs hold."""
        self._lines: dict[int, tuple[str, int, bool]] = {}

    @property
    def held(self) -> list[tuple[str, int]]:
        """Lines whose descriptor is open."""
        return [line[:2] for descriptor, line in self._lines.items() if _is_open(descriptor)]

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        handler: Any = {
            gpioline.GET_CHIPINFO: self._chip_info,
            gpioline.GET_LINEINFO: self._line_info,
            gpioline.GET_LINE: self._get_line,
            gpioline.SET_VALUES: self._set_values,
        }[request]
        size = request >> 16 & 0x3FFF
        assert len(argument) == size
        answer: bytes = handler(descriptor, bytearray(argument))
        assert len(answer) == size
        return answer

    def _chip(self, descriptor: int) -> str:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name not in self.chips:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        return name

    def _chip_info(self, descriptor: int, _argument: bytearray) -> bytes:
        name = self._chip(descriptor)
        label, lines = self.chips[name]
        return struct.pack("=32s32sI", name.encode(), label.encode(), lines)

    def _line_info(self, descriptor: int, argument: bytearray) -> bytes:
        (offset,) = struct.unpack_from("=I", argument, 64)
        holder = self.foreign.get((self._chip(descriptor), offset), b"")
        struct.pack_into("=32s", argument, 32, holder)
        struct.pack_into("=Q", argument, 72, int(bool(holder)))
        return bytes(argument)

    def _get_line(self, descriptor: int, argument: bytearray) -> bytes:
        chip = self._chip(descriptor)
        (offset,) = struct.unpack_from("=I", argument, 0)
        (flags,) = struct.unpack_from("=Q", argument, 288)
        (count,) = struct.unpack_from("=I", argument, 560)
        assert argument[256:288].rstrip(b"\0") == b"edge-fer"
        assert count == 1
        # Padding must be zero, or the kernel refuses.
        assert not any(argument[300:320])
        assert not any(argument[568:588])
        if (chip, offset) in self.foreign or (chip, offset) in self.held:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        line = os.open("/dev/null", os.O_RDWR)
        self._lines[line] = (chip, offset, bool(flags & 2))
        assert flags & 8
        self._drive(line, False)
        struct.pack_into("=i", argument, 588, line)
        return bytes(argument)

    def _set_values(self, descriptor: int, argument: bytearray) -> bytes:
        bits, mask = struct.unpack("=QQ", argument)
        assert mask == 1
        self._drive(descriptor, bool(bits & 1))
        return bytes(argument)

    def _drive(self, descriptor: int, active: bool) -> None:
        chip, offset, active_low = self._lines[descriptor]
        self.levels.setdefault((chip, offset), []).append(int(active != active_low))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

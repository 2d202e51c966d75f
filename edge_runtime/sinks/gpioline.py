"""One output line of a GPIO chip, by the kernel's character device; standard library alone.

Raspberry Pi OS 12 and 13 come with different, incompatible versions of the gpiod library; the kernel's own
interface (version 2, Linux 5.10 and later) is the same on both. Layouts and numbers are those of
linux/gpio.h, see https://docs.kernel.org/userspace-api/gpio/chardev.html.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import SinkError

DEVICES = Path("/dev")
CONSUMER = b"edge-fer"

GET_CHIPINFO = 0x8044B401
GET_LINEINFO = 0xC100B405
GET_LINE = 0xC250B407
SET_VALUES = 0xC010B40F

CHIP_INFO = struct.Struct("=32s32sI")
"""struct gpiochip_info: name, label, number of lines."""
LINE_INFO = struct.Struct("=32s32sIIQ160s16s")
"""struct gpio_v2_line_info: name, consumer, offset, number of attributes, flags, attributes, padding."""
LINE_REQUEST = struct.Struct("=I252s32sQI20s240sIII16si")
"""struct gpio_v2_line_request for one line: offset, room for 63 more, consumer, flags, number of
attributes, padding, attributes, number of lines, size of the event buffer, padding in two parts,
descriptor."""
LINE_VALUES = struct.Struct("=QQ")
"""struct gpio_v2_line_values: bits, mask."""

FLAG_USED = 1 << 0
FLAG_ACTIVE_LOW = 1 << 1
FLAG_OUTPUT = 1 << 3

HEADER_LABELS = ("pinctrl-rp1", "pinctrl-bcm")
"""How the labels begin of the chips behind the 40-pin header: Raspberry Pi 5, and those before. Their
numbers are no help: the Raspberry Pi 5's was gpiochip4 and became gpiochip0 with later 6.6 kernels
(https://github.com/raspberrypi/linux/pull/6144)."""


@dataclass(frozen=True)
class Chip:
    """A GPIO chip."""

    path: Path
    label: str
    lines: int

    def __str__(self) -> str:
        return f"{self.path.name} ({self.label}, {self.lines} lines)"


def list_chips() -> list[Chip]:
    """The chips that may be opened, by number.

    Raises:
        SinkError: there are some, but none may be opened.
    """
    paths = sorted(DEVICES.glob("gpiochip*"), key=lambda path: (len(path.name), path.name))
    chips, refused = [], False
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            refused |= error.errno in (errno.EACCES, errno.EPERM)
            continue
        try:
            answer = fcntl.ioctl(descriptor, GET_CHIPINFO, bytes(CHIP_INFO.size))
        except OSError:
            continue
        finally:
            os.close(descriptor)
        _, label, lines = CHIP_INFO.unpack(answer)
        chips.append(Chip(path, _text(label), lines))
    if refused and not chips:
        raise SinkError("no permission for /dev/gpiochip*; add the user to the group gpio and log in again")
    return chips


def find_chip(wanted: str) -> Chip:
    """The chip with a name (gpiochip0), number, path or label; without one, that of the 40-pin header.

    Raises:
        SinkError: none, or it is not clear which.
    """
    chips = list_chips()
    there = ", ".join(map(str, chips)) or "none"
    if wanted:
        for chip in chips:
            if wanted in (
                chip.path.name,
                str(chip.path),
                chip.label,
                chip.path.name.removeprefix("gpiochip"),
            ):
                return chip
        raise SinkError(f"no GPIO chip {wanted!r} (there: {there})")
    for label in HEADER_LABELS:
        for chip in chips:
            if chip.label.startswith(label):
                return chip
    if len(chips) == 1:
        return chips[0]
    raise SinkError(f"no GPIO chip of a Raspberry Pi's header (there: {there}); name one with ,chip=NAME")


class OutputLine:
    """A line that is ours until it is closed; inactive at first and at the end."""

    def __init__(self, chip: Chip, offset: int, *, active_low: bool = False) -> None:
        """
        Raises:
            SinkError: no such line, or another program holds it.
        """
        if not 0 <= offset < chip.lines:
            raise SinkError(f"{chip} has no line {offset}; choose 0 to {chip.lines - 1}")
        flags = FLAG_OUTPUT | (FLAG_ACTIVE_LOW if active_low else 0)
        request = LINE_REQUEST.pack(offset, b"", CONSUMER, flags, 0, b"", b"", 1, 0, 0, b"", -1)
        self._descriptor = -1
        self._what = f"GPIO line {offset} of {chip.path.name}"
        try:
            descriptor = os.open(chip.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                answer = fcntl.ioctl(descriptor, GET_LINE, request)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    raise SinkError(f"{self._what}: {_holder(descriptor, offset)} uses it") from None
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(f"{self._what}: cannot be used ({error.strerror})") from None
        self._descriptor = LINE_REQUEST.unpack(answer)[-1]
        os.set_inheritable(self._descriptor, False)

    def set(self, active: bool) -> None:
        """
        Raises:
            SinkError: the kernel refuses.
        """
        try:
            fcntl.ioctl(self._descriptor, SET_VALUES, LINE_VALUES.pack(int(active), 1))
        except OSError as error:
            raise SinkError(f"{self._what}: cannot be set ({error.strerror})") from None

    def close(self) -> None:
        """Make the line inactive and give it back; idempotent."""
        if self._descriptor < 0:
            return
        try:
            self.set(False)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1


def _holder(descriptor: int, offset: int) -> str:
    request = LINE_INFO.pack(b"", b"", offset, 0, 0, b"", b"")
    try:
        answer = fcntl.ioctl(descriptor, GET_LINEINFO, request)
    except OSError:
        return "another program or driver"
    return _text(LINE_INFO.unpack(answer)[1]) or "another program or driver"


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")

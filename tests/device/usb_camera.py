"""A USB camera in software: the kernel's USB/IP host talks to it over a socket, and uvcvideo sees a webcam.

USB Device Class Definition for Video Devices 1.0 with one bulk endpoint; the USB/IP protocol is that of
https://docs.kernel.org/usb/usbip_protocol.html. It offers uncompressed pictures first and Motion JPEG
second, and sends what it is given as JPEG. Standard library alone.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

HOST = Path("/sys/devices/platform/vhci_hcd.0")
PORT = 0
HIGH_SPEED = 3
DEVICE_ID = 0x10002
NAME = "edge-fer test camera"

SUBMIT, UNLINK, ANSWER, UNLINKED = 1, 2, 3, 4
HEADER = struct.Struct(">5I")
"""Command, sequence number, device, direction, endpoint."""
SUBMITTED = struct.Struct(">IiIIi8s")
"""Flags, length, start frame, packets, interval, setup packet."""
ANSWERED = struct.Struct(">iiIII8x")
"""Status, length, start frame, packets, errors."""
HEADER_BYTES = 48

UNCOMPRESSED, MJPEG = 1, 2
"""Numbers of the formats."""
YUY2 = bytes.fromhex("5955593200001000800000aa00389b71")
INTERVAL = 2_000_000
"""100 ns; 5 pictures a second."""
PAYLOAD_BYTES = 16384
"""Of one transfer: what uvcvideo asks for at once (32 packets of 512)."""
END_OF_HEADER, END_OF_FRAME = 0x80, 0x02


class UsbCamera:
    """Plugged in from `plug` to `unplug`; `picture` gives the JPEG of each number."""

    def __init__(self, picture: Callable[[int], bytes], sizes: tuple[tuple[int, int], ...]) -> None:
        """
        Args:
            picture: JPEG of the picture with a number; its size should be the one that is committed.
            sizes: width and height of the frames that it offers, the default first.
        """
        self.committed: list[tuple[int, int]] = []
        """Format and index of the size, from 0, each time that the driver has chosen."""
        self._picture = picture
        self._sizes = sizes
        self._probe = self._settle(UNCOMPRESSED, 1)
        self._lock = threading.Condition()
        self._waiting: list[int] = []
        """Sequence numbers of the transfers that wait for a picture."""
        self._socket: socket.socket | None = None

    def plug(self) -> None:
        ours, kernels = socket.socketpair()
        self._socket = ours
        self._waiting.clear()
        (HOST / "attach").write_text(f"{PORT} {kernels.fileno()} {DEVICE_ID} {HIGH_SPEED}")
        kernels.close()
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()
        threading.Thread(target=self._film, args=(ours,), daemon=True).start()

    def unplug(self) -> None:
        with contextlib.suppress(OSError):
            (HOST / "detach").write_text(str(PORT))
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        with self._lock:
            self._lock.notify_all()

    def _serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                header = _receive(line, HEADER_BYTES)
                command, number, _, direction, endpoint = HEADER.unpack_from(header)
                if command == UNLINK:
                    (other,) = struct.unpack_from(">I", header, HEADER.size)
                    with self._lock:
                        known = other in self._waiting
                        if known:
                            self._waiting.remove(other)
                        self._send(
                            line, UNLINKED, number, struct.pack(">i", -errno.ECONNRESET if known else 0)
                        )
                    continue
                _, length, _, _, _, setup = SUBMITTED.unpack_from(header, HEADER.size)
                out = b"" if direction else _receive(line, length)
                if endpoint:
                    with self._lock:
                        self._waiting.append(number)
                        self._lock.notify_all()
                    continue
                answer = self.control(setup, out)
                with self._lock:
                    if answer is None:
                        self._answer(line, number, b"", -errno.EPIPE)
                    elif direction:
                        self._answer(line, number, answer[:length])
                    else:
                        self._answer(line, number, b"", written=length)

    def _film(self, line: socket.socket) -> None:
        index, toggle = 0, 0
        with contextlib.suppress(OSError):
            while self._socket is line:
                jpeg = self._picture(index)
                for start in range(0, len(jpeg), PAYLOAD_BYTES - 2):
                    part = jpeg[start : start + PAYLOAD_BYTES - 2]
                    last = start + len(part) == len(jpeg)
                    flags = END_OF_HEADER | toggle | (END_OF_FRAME if last else 0)
                    with self._lock:
                        self._lock.wait_for(lambda: self._waiting or self._socket is not line)
                        if self._socket is not line:
                            return
                        self._answer(line, self._waiting.pop(0), bytes((2, flags)) + part)
                toggle ^= 1
                index += 1
                time.sleep(INTERVAL / 1e7)

    def _answer(
        self, line: socket.socket, number: int, data: bytes, status: int = 0, written: int = 0
    ) -> None:
        self._send(line, ANSWER, number, ANSWERED.pack(status, len(data) or written, 0, 0, 0) + data)

    def _send(self, line: socket.socket, command: int, number: int, body: bytes) -> None:
        head = HEADER.pack(command, number, 0, 0, 0) + body[: HEADER_BYTES - HEADER.size]
        line.sendall(head.ljust(HEADER_BYTES, b"\0") + body[HEADER_BYTES - HEADER.size :])

    def control(self, setup: bytes, out: bytes) -> bytes | None:
        """What a control request (setup packet and data) is answered with; None refuses it."""
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        if kind == 0x80 and request == 6:
            return self._descriptor(value >> 8, value & 0xFF)
        if kind == 0x80 and request == 0:
            return b"\0\0"
        if not kind & 0x60:
            return b""
        if index & 0xFF != 1 or value >> 8 not in (1, 2):
            return None
        if kind == 0x21:
            self._probe = self._settle(out[2], out[3])
            if value >> 8 == 2:
                self.committed.append((self._probe[2], self._probe[3] - 1))
            return b""
        return {0x85: struct.pack("<H", len(self._probe)), 0x86: b"\x03"}.get(request, self._probe)

    def _settle(self, form: int, size: int) -> bytes:
        """The answer to a proposal: format and size as asked, everything else as it is here."""
        form = form if form in (UNCOMPRESSED, MJPEG) else UNCOMPRESSED
        size = size if 1 <= size <= len(self._sizes) else 1
        width, height = self._sizes[size - 1]
        return struct.pack(
            "<HBBI5HII", 1, form, size, INTERVAL, 0, 0, 0, 0, 0, 2 * width * height, PAYLOAD_BYTES
        )

    def _descriptor(self, kind: int, number: int) -> bytes | None:
        if kind == 1:
            return struct.pack(
                "<BBHBBBBHHHBBBB", 18, 1, 0x200, 0xEF, 2, 1, 64, 0x1D6B, 0x102, 1, 1, 2, 3, 1
            )
        if kind == 2:
            return self._configuration()
        if kind == 3:
            text = {1: "edge-fer", 2: NAME, 3: "0001"}.get(number)
            body = b"\x09\x04" if text is None else text.encode("utf-16-le")
            return bytes((2 + len(body), 3)) + body
        return None

    def _configuration(self) -> bytes:
        terminals = struct.pack("<BBBBHBBHHHB3s", 18, 0x24, 2, 1, 0x201, 0, 0, 0, 0, 0, 3, b"\0\0\0")
        terminals += struct.pack("<BBBBHBBB", 9, 0x24, 3, 2, 0x101, 0, 1, 0)
        control = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x100, 13 + len(terminals), 48_000_000, 1, 1)
        count = len(self._sizes)
        formats = struct.pack("<BBBBB16sBBBBBB", 27, 0x24, 4, UNCOMPRESSED, count, YUY2, 16, 1, 0, 0, 0, 0)
        formats += self._frames(5) + COLORS
        formats += struct.pack("<BBBBBBBBBBB", 11, 0x24, 6, MJPEG, count, 1, 1, 0, 0, 0, 0)
        formats += self._frames(7) + COLORS
        size = 15 + len(formats)
        stream = struct.pack("<BBBBHBBBBBBBBB", 15, 0x24, 1, 2, size, 0x81, 0, 2, 0, 0, 0, 1, 0, 0)
        body = struct.pack("<BBBBBBBB", 8, 11, 0, 2, 0x0E, 3, 0, 2)
        body += struct.pack("<BBBBBBBBB", 9, 4, 0, 0, 0, 0x0E, 1, 0, 2) + control + terminals
        body += struct.pack("<BBBBBBBBB", 9, 4, 1, 0, 1, 0x0E, 2, 0, 0) + stream + formats
        body += struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 50) + body

    def _frames(self, subtype: int) -> bytes:
        return b"".join(
            struct.pack(
                "<BBBBBHHIIIIBI",
                30,
                0x24,
                subtype,
                number,
                0,
                width,
                height,
                width * height * 8,
                width * height * 80,
                2 * width * height,
                INTERVAL,
                1,
                INTERVAL,
            )
            for number, (width, height) in enumerate(self._sizes, 1)
        )


COLORS = bytes((6, 0x24, 0x0D, 1, 1, 4))
"""BT.709 primaries and transfer, BT.601 matrix."""


def _receive(line: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = line.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return data

"""What is packed for the emulated board and how its findings are read; the board itself takes minutes."""

from __future__ import annotations

import lzma
import stat
import struct
import sys
from pathlib import Path

import pytest

from tests.device.board import EXPECTED, boot, command, judge
from tests.device.common import FailedError
from tests.device.initramfs import write_initramfs
from tests.device.modules import unpack_modules
from tests.device.usb_camera import MJPEG, UNCOMPRESSED, UsbCamera

FINE = "".join(f"finding check {number}: ok said\n" for number in range(EXPECTED - 1))


def read_newc(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content by name, as the kernel's documentation has the format."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + length - 1].decode()
        start = at + (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, data[start : start + size])
        at = start + (size + 3) // 4 * 4


def test_folders_become_one_file_system(tmp_path: Path) -> None:
    system, site = tmp_path / "system", tmp_path / "site"
    (system / "usr" / "bin").mkdir(parents=True)
    (system / "usr" / "bin" / "python").write_bytes(b"interpreter")
    (system / "bin").symlink_to("usr/bin")
    (site / "numpy" / "tests").mkdir(parents=True)
    (site / "numpy" / "tests" / "large.py").touch()
    (site / "numpy" / "a.py").write_bytes(b"12345")
    write_initramfs(tmp_path / "out", {"": system, "site": site}, {"tests"})
    found = read_newc((tmp_path / "out").read_bytes())
    assert found["usr/bin/python"] == (stat.S_IFREG | 0o755, b"interpreter")
    assert found["bin"] == (stat.S_IFLNK | 0o777, b"usr/bin")
    assert found["site/numpy/a.py"][1] == b"12345"
    assert stat.S_ISCHR(found["dev/console"][0])
    assert not any("tests" in name for name in found)
    names = list(found)
    assert names.index("site") < names.index("site/numpy") < names.index("site/numpy/a.py")


def test_findings_are_failures_or_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(f"noise\n\ufffd{FINE}finding pulse: ok 1 s\nend\n") == []
    assert capsys.readouterr().out.count(": ok: ") == EXPECTED
    assert judge(f"{FINE}finding pulse: FAILED after 0.5 s: 0, not 1\nend\n") == [
        "pulse: after 0.5 s: 0, not 1"
    ]
    (missing,) = judge(f"{FINE}Kernel panic")
    assert missing.startswith(f"{EXPECTED - 1} of {EXPECTED} findings")


def test_the_board_is_ended_when_it_has_said_all(tmp_path: Path) -> None:
    talk = "import time; print('finding a: ok b\\r\\nend\\r', flush=True); time.sleep(60)"
    assert boot([sys.executable, "-c", talk], 30) == "finding a: ok b\nend\n"
    with pytest.raises(FailedError, match="emulator ended: alas"):
        boot([sys.executable, "-c", "print('alas')"], 30)
    with pytest.raises(FailedError, match="nothing more within"):
        boot([sys.executable, "-c", "import time; time.sleep(60)"], 0.5)


def test_the_console_is_the_second_port() -> None:
    words = command(Path("image"), Path("tree"), Path("initramfs"))
    ports = [words[index + 1] for index, word in enumerate(words) if word == "-serial"]
    assert ports == ["null", "stdio"]


def test_modules_come_after_those_that_they_need(tmp_path: Path) -> None:
    for name, needs in (
        ("uvc-video", "video_dev,usb"),
        ("video-dev", ""),
        ("usb", "video-dev"),
        ("other", ""),
    ):
        text = f"\x7fELF\0license=GPL\0depends={needs}\0name={name}\0"
        (tmp_path / f"{name}.ko.xz").write_bytes(lzma.compress(text.encode()))
    written = unpack_modules(tmp_path, ("uvc-video",), tmp_path / "out")
    assert [path.name for path in written] == ["00-video_dev.ko", "01-usb.ko", "02-uvc_video.ko"]
    assert b"name=usb\0" in written[1].read_bytes()


def test_the_cameras_descriptors_add_up() -> None:
    camera = UsbCamera(lambda number: b"", ((640, 480), (320, 240)))
    whole = camera.control(struct.pack("<BBHHH", 0x80, 6, 0x200, 0, 9), b"")
    assert whole is not None
    assert struct.unpack_from("<H", whole, 2)[0] == len(whole)
    parts, at = [], 0
    while at < len(whole):
        assert whole[at] >= 2
        parts.append(whole[at : at + whole[at]])
        at += whole[at]
    stream = next(index for index, part in enumerate(parts) if part[:3] == b"\x0f\x24\x01")
    formats = parts[stream:-1]
    assert struct.unpack_from("<H", formats[0], 4)[0] == sum(map(len, formats))
    assert [part[3] for part in formats if part[2] in (4, 6)] == [UNCOMPRESSED, MJPEG]
    assert sum(part[2] in (5, 7) for part in formats) == 4


def test_the_camera_settles_for_what_it_has() -> None:
    camera = UsbCamera(lambda number: b"", ((640, 480), (320, 240)))

    def stream(request: int, selector: int, out: bytes = b"") -> bytes | None:
        kind = 0xA1 if request & 0x80 else 0x21
        return camera.control(struct.pack("<BBHHH", kind, request, selector << 8, 1, 26), out)

    assert stream(0x85, 1) == b"\x1a\x00"
    assert stream(1, 1, bytes((1, 0, MJPEG, 2)) + bytes(22)) == b""
    probe = stream(0x81, 1)
    assert probe is not None
    assert len(probe) == 26
    assert probe[2:4] == bytes((MJPEG, 2))
    assert struct.unpack_from("<I", probe, 18)[0] == 2 * 320 * 240
    assert camera.committed == []
    assert stream(1, 2, probe) == b""
    assert stream(1, 2, bytes((1, 0, 9, 9)) + bytes(22)) == b""
    assert camera.committed == [(MJPEG, 1), (UNCOMPRESSED, 0)]
    assert stream(0x81, 7) is None

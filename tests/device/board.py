"""`tests/device/run board`: Debian's kernel on QEMU's Raspberry Pi 3B, its pins and a USB camera.

QEMU emulates the board with the registers of its pins, so that the kernel's own driver (pinctrl-bcm2835)
and character device stand between edge-fer and them; no voltage is measured. The camera is a program behind
USB/IP, read through the kernel's own uvcvideo; no USB controller is emulated for it.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.device.aarch64 import TRIXIE, fetch_portrait, install
from tests.device.common import FailedError, need, say
from tests.device.debian import Archive, find_mirror
from tests.device.initramfs import write_initramfs
from tests.device.modules import unpack_modules
from tests.device.wheels import build_wheel

QEMU = "qemu-system-aarch64"
MACHINE = "raspi3b"
DEVICE_TREE = "bcm2837-rpi-3-b.dtb"
GUEST = ("board_guest.py", "usb_camera.py")
LIMIT_S = 900.0
MODULES = ("vhci-hcd", "uvcvideo")
EXPECTED = 12
"""Findings of a whole run."""
UNNEEDED = frozenset({"__pycache__", "doc", "man", "locale", "libLiteRtWebGpuAccelerator.so"})
"""The kernel gives half of the board's 1 GB to the first file system, after it has taken its archive."""
PARAMETERS = (
    "console=ttyS1,115200",
    "quiet",
    # The registers are read while the driver holds them.
    "iomem=relaxed",
    # The board's random numbers come too late for Python's start.
    "PYTHONHASHSEED=0",
    "PYTHONPATH=/guest",
    "rdinit=/usr/bin/python3.13",
    "--",
    "-m",
    "tests.device.board_guest",
)


def check(mirror: str | None) -> None:
    """Run the whole check; prints a line per finding to stdout.

    Raises:
        SkippedError: a tool or the network is missing.
        FailedError: something is wrong.
    """
    need(QEMU, "apt install qemu-system-arm")
    mirror = mirror or find_mirror()
    system = TRIXIE.tree(mirror)
    kernel = Archive(mirror, TRIXIE.suite, TRIXIE.architecture).tree(("linux-image-arm64",), "kernel")
    wheel = build_wheel()
    portrait = fetch_portrait()
    install(TRIXIE, wheel)
    with tempfile.TemporaryDirectory(prefix="edge-fer-board-") as scratch:
        folder = Path(scratch)
        # A package as here, so that the guest's half imports its neighbours by the same names.
        package = folder / "guest" / "tests" / "device"
        package.mkdir(parents=True)
        for name in GUEST:
            shutil.copy(Path(__file__).with_name(name), package)
        unpack_modules(kernel / "usr" / "lib" / "modules", MODULES, folder / "guest" / "modules")
        photograph = folder / "portrait" / portrait.relative_to(portrait.parents[3])
        photograph.parent.mkdir(parents=True)
        shutil.copy(portrait, photograph)
        (photograph.parents[2] / "__init__.py").touch()
        initramfs = folder / "initramfs"
        sites = {"site": TRIXIE.site, "portrait": folder / "portrait", "guest": folder / "guest"}
        write_initramfs(initramfs, {"": system, **sites}, UNNEEDED)
        (image,) = kernel.glob("boot/vmlinuz-*")
        (tree,) = kernel.glob(f"usr/lib/linux-image-*/broadcom/{DEVICE_TREE}")
        say(f"starting {image.name.removeprefix('vmlinuz-')} on an emulated Raspberry Pi 3B")
        said = boot(command(image, tree, initramfs))
    print(f"kernel: {image.name.removeprefix('vmlinuz-')}")
    failures = judge(said)
    if failures:
        raise FailedError(f"{len(failures)} findings:\n" + "\n".join(failures))


def command(image: Path, tree: Path, initramfs: Path) -> list[str]:
    """QEMU's command line; the second serial port, the board's console, is stdout."""
    words = ("-M", MACHINE, "-kernel", image, "-dtb", tree, "-initrd", initramfs)
    ports = ("-display", "none", "-monitor", "none", "-serial", "null", "-serial", "stdio", "-no-reboot")
    return [QEMU, *map(str, words), *ports, "-append", " ".join(PARAMETERS)]


def boot(words: list[str], limit_s: float = LIMIT_S) -> str:
    """What the board says until its guest's half ends.

    Raises:
        FailedError: it did not end in time, or the emulator ended first.
    """
    deadline_s = time.monotonic() + limit_s
    said = b""
    board = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert board.stdout is not None
    try:
        while not re.search(rb"^end\r?\n|Kernel panic", said, re.MULTILINE):
            ready, _, _ = select.select([board.stdout], [], [], max(0.0, deadline_s - time.monotonic()))
            part = os.read(board.stdout.fileno(), 65536) if ready else b""
            if not part:
                why = "the emulator ended" if ready else f"nothing more within {limit_s:g} s"
                raise FailedError(f"{why}: {_text(said)[-800:]}")
            said += part
    finally:
        board.kill()
        board.wait()
        board.stdout.close()
    return _text(said)


def judge(said: str) -> list[str]:
    """Print the findings; those that are failures, and one if some are missing."""
    # The board's console may put a stray byte before a line.
    found = re.findall(r"\bfinding (.*?): (ok|FAILED) (.*)$", said, re.MULTILINE)
    for name, verdict, words in found:
        print(f"{name}: {verdict}: {words}", flush=True)
    failures = [f"{name}: {words}" for name, verdict, words in found if verdict != "ok"]
    if len(found) != EXPECTED:
        failures.append(f"{len(found)} of {EXPECTED} findings: {said[-800:]}")
    return failures


def _text(said: bytes) -> str:
    return said.decode(errors="replace").replace("\r", "")

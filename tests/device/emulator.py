"""QEMU's user emulation: one static program, taken from Debian 13, or one that the user names.

Version 7.2 of Debian 12 must not be used: it crashes on ai-edge-litert 2.2 and later, and computes wrong
int8 results with 2.1.6.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.device.common import CACHE, FailedError, SkippedError, call, say
from tests.device.debian import Archive, host_architecture

MIN_VERSION = 10
SUITE = "trixie"


@dataclass(frozen=True)
class Emulator:
    """A checked `qemu-aarch64` or `qemu-arm`."""

    program: Path
    version: str

    def command(self, root: Path, *words: str | Path) -> list[str | Path]:
        """The command line that runs a program of the tree `root`."""
        return [self.program, "-L", root, *words]


def parse_version(text: str) -> tuple[int, ...]:
    """(10, 0, 13) of `qemu-aarch64 version 10.0.13 (Debian …)`; empty for any other text."""
    found = re.search(r"qemu-\S+ version (\d+(?:\.\d+)*)", text)
    return tuple(map(int, found[1].split("."))) if found else ()


def check_emulator(program: Path) -> Emulator:
    """Refuse a QEMU that is known to compute wrong results.

    Raises:
        FailedError: it does not run, is no QEMU, or is too old.
    """
    try:
        said = call([program, "--version"], timeout_s=60).stdout
    except OSError as error:
        raise FailedError(f"{program} cannot be run: {error.strerror}") from None
    version = parse_version(said)
    if not version:
        raise FailedError(f"{program} is not a QEMU user emulator")
    text = ".".join(map(str, version))
    if version[0] < MIN_VERSION:
        raise FailedError(
            f"{program} is QEMU {text}; {MIN_VERSION} or later is needed: 7.2 crashes on ai-edge-litert "
            "2.2 and computes wrong int8 results with 2.1.6"
        )
    return Emulator(program, text)


def fetch_emulator(name: str, mirror: str) -> Emulator:
    """The emulator `name` (`qemu-aarch64`, `qemu-arm`) from Debian's package qemu-user, kept in the cache.

    Raises:
        SkippedError: it cannot be downloaded.
        FailedError: as `check_emulator`.
    """
    folder = CACHE / "qemu"
    if not (folder / name).exists():
        say(f"fetching QEMU from {SUITE} (71 MB)")
        scratch = CACHE / "qemu.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        Archive(mirror, SUITE, host_architecture()).extract_one("qemu-user", scratch)
        folder.mkdir(exist_ok=True)
        for wanted in ("qemu-aarch64", "qemu-arm"):
            found = scratch / "usr" / "bin" / wanted
            if not found.exists():
                raise SkippedError(f"Debian's qemu-user holds no {wanted} for this machine")
            found.replace(folder / wanted)
        shutil.rmtree(scratch)
    return check_emulator(folder / name)

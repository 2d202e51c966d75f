"""A QEMU that computes wrong results is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.common import FailedError
from tests.device.emulator import check_emulator, parse_version


def fake(folder: Path, says: str) -> Path:
    program = folder / "qemu-aarch64"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("qemu-aarch64 version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright", (10, 0, 13)),
        ("qemu-arm version 7.2", (7, 2)),
        ("Python 3.11.2", ()),
    ],
)
def test_version_is_read(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_old_qemu_is_refused_with_the_reason(tmp_path: Path) -> None:
    program = fake(tmp_path, "qemu-aarch64 version 7.2.17 (Debian 1:7.2+dfsg-7)")
    with pytest.raises(
        FailedError, match=r"is QEMU 7\.2\.17; 10 or later is needed: .* wrong int8 results"
    ):
        check_emulator(program)


def test_new_qemu_is_taken(tmp_path: Path) -> None:
    emulator = check_emulator(fake(tmp_path, "qemu-aarch64 version 11.0"))
    assert emulator.version == "11.0"
    assert emulator.command(Path("/tree"), "/tree/bin/true")[1:] == ["-L", Path("/tree"), "/tree/bin/true"]


def test_another_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="not a QEMU"):
        check_emulator(fake(tmp_path, "hello"))
    with pytest.raises(FailedError, match="cannot be run"):
        check_emulator(tmp_path / "absent")

"""What is packed for the emulated board and how its findings are read; the board itself takes minutes."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from tests.device.board import boot, command, judge
from tests.device.common import FailedError
from tests.device.initramfs import write_initramfs

FINE = "".join(f"finding check {number}: ok said\n" for number in range(7))


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
    assert capsys.readouterr().out.count(": ok: ") == 8
    assert judge(f"{FINE}finding pulse: FAILED after 0.5 s: 0, not 1\nend\n") == [
        "pulse: after 0.5 s: 0, not 1"
    ]
    (missing,) = judge(f"{FINE}Kernel panic")
    assert missing.startswith("7 of 8 findings")


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

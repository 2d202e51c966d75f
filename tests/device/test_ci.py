"""The device checks within continuous integration: bounded in time, skipped with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.device import ci


def script(folder: Path, text: str) -> list[str]:
    """The command of a stand-in for the checks."""
    path = folder / "checks.py"
    path.write_text(text)
    return [sys.executable, str(path)]


@pytest.fixture(autouse=True)
def checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ci, "CHECKS", ((("first", "--quick"), 6), (("second",), 2)))
    monkeypatch.setattr(ci, "GRACE_S", 0.5)


def test_what_fails_counts_and_what_passes_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = script(tmp_path, "import sys\nprint(sys.argv[1:])\nsys.exit(sys.argv[1] == 'second')\n")
    assert ci.check(60, command) == 1
    assert capfd.readouterr().out == "['first', '--quick']\n['second']\n"


def test_what_cannot_run_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = "import sys\nprint('progress')\nprint(f'{sys.argv[1]}: skipped: no network')\nsys.exit(77)\n"
    assert ci.check(60, script(tmp_path, text)) == 0
    assert capfd.readouterr().out.splitlines() == [
        "ci: device checks skipped: first --quick: no network",
        "ci: device checks skipped: second: no network",
    ]


def test_no_check_is_begun_without_time_for_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert ci.check(5.4, script(tmp_path, "raise SystemExit(0)\n")) == 0
    assert ci.check(-30, ["/none/such"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("ci: device checks skipped: first --quick: 5 s are left")
    assert lines[1:] == [
        "ci: device checks skipped: first --quick: 0 s are left, it is not begun below 6 s",
        "ci: device checks skipped: second: 0 s are left, it is not begun below 2 s",
    ]


def test_running_out_of_time_is_no_failure_and_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The grandchild ignores SIGTERM, as a program in the middle of its work may.
    text = (
        "import pathlib, subprocess, sys, time\n"
        "work = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', work])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    assert ci.check(4, script(tmp_path, text)) == 0
    assert "ci: device checks skipped: second: out of time after 4 s" in capfd.readouterr().out
    grandchild = Path("/proc", (tmp_path / "pid").read_text())
    deadline_s = time.monotonic() + 30
    while grandchild.exists() and "\nState:\tZ" not in (grandchild / "status").read_text():
        assert time.monotonic() < deadline_s, "it was left behind"
        time.sleep(0.05)


def test_a_check_leaves_time_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ci, "CHECKS", ((("first",), 0.5), (("second",), 60)))
    text = "import sys, time\nif sys.argv[1] == 'first': time.sleep(600)\nprint('done')\n"
    assert ci.check(62, script(tmp_path, text)) == 0
    assert capfd.readouterr().out == "ci: device checks skipped: first: out of time after 1 s\ndone\n"


def test_a_machine_without_tools_skips_within_the_command(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": str(tmp_path), "EDGE_FER_DEVICE_CACHE": str(tmp_path)}
    run = Path(ci.__file__).with_name("run")
    words = [sys.executable, str(run), "ci", "--seconds", "300"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("ci: device checks skipped: aarch64 --quick: uv is not installed; ")
    assert second.startswith("ci: device checks skipped: picamera2: unshare is not installed; ")

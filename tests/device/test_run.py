"""The command itself: skipped with the reason where tools are missing, the table of sizes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.sources.imagefile import read_image
from tests.device import sizes
from tests.device.common import FailedError
from tests.device.frames import write_frames

RUN = Path(__file__).with_name("run")


def run(cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an empty PATH and a cache of its own."""
    env = {**os.environ, "PATH": str(cache / "no-programs"), "EDGE_FER_DEVICE_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, str(RUN), *words], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("check", "tool"), [("aarch64", "uv"), ("armhf", "uv"), ("picamera2", "unshare"), ("kiosk", "unshare")]
)
def test_missing_tools_skip_with_the_reason(tmp_path: Path, check: str, tool: str) -> None:
    done = run(tmp_path, check)
    assert done.returncode == 77
    assert done.stdout.startswith(f"{check}: skipped: {tool} is not installed")


def test_two_runs_do_not_share_the_cache(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(tmp_path, "aarch64")
    assert done.returncode == 77
    assert "another run" in done.stdout


def test_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 2
    assert run(tmp_path, "riscv").returncode == 2
    # A table of one system would replace that of both.
    assert run(tmp_path, "aarch64", "--quick", "--write-docs").returncode == 2


def make_site(folder: Path, name: str, version: str, size: int) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.bin").write_bytes(bytes(size))
    record = f"{name}.bin,sha256=x,{size}\n{info.name}/RECORD,,\nabsent.py,,\n"
    (info / "RECORD").write_text(record)


def test_table_adds_up(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    make_site(old, "big_one", "1.0", 2_000_000)
    make_site(old, "small", "2", 400_000)
    make_site(new, "big_one", "1.1", 3_000_000)
    lines = sizes.table({"A": old, "B": new}).splitlines()
    assert lines[0] == "| MB | A | B |"
    assert lines[2] == "| big-one | 2.0 (1.0) | 3.0 (1.1) |"
    assert lines[3] == "| all others | 0.4 | 0.0 |"
    assert lines[4] == "| **together** | **2.4** | **3.0** |"
    assert sizes.total_mb(old) == pytest.approx(2.4, abs=0.001)


def test_table_goes_between_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs.md"
    docs.write_text(f"before\n{sizes.BEGIN}\nold\n{sizes.END}\nafter\n")
    monkeypatch.setattr(sizes, "DOCS", docs)
    make_site(tmp_path / "site", "one", "1", 10)
    sizes.report({"A": tmp_path / "site"}, write_docs=True)
    text = docs.read_text()
    assert text.startswith(f"before\n{sizes.BEGIN}\n| MB | A |")
    assert text.endswith(f"\n{sizes.END}\nafter\n")
    assert "old" not in text
    docs.write_text("no markers")
    with pytest.raises(FailedError, match="markers"):
        sizes.report({"A": tmp_path / "site"}, write_docs=True)


def test_generated_frames_are_pictures(tmp_path: Path) -> None:
    write_frames(tmp_path, count=2, width=80, height=60)
    first, second = (read_image(path) for path in sorted(tmp_path.iterdir()))
    assert first.shape == second.shape == (60, 80, 3)
    assert (first != second).any()
    assert first.std() > 30

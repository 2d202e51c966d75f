"""Entering a tree, and what a machine that does not allow it, or names no mirror, is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.device import debian
from tests.device.common import SkippedError
from tests.device.inside import enter, need_namespaces


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_kernel_that_refuses_namespaces_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1")
    program(tmp_path, "chroot", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SkippedError, match=r"--net: unshare: unshare failed: Operation not permitted"):
        need_namespaces("--net")


def test_inside_there_is_what_was_given_and_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        need_namespaces("--net")
    except SkippedError as reason:
        pytest.skip(str(reason))
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "note").write_text("bound")
    monkeypatch.setenv("EDGE_FER_SECRET", "1")
    script = f'echo "$GIVEN $EDGE_FER_SECRET $(id -u)"; cat {tmp_path}/there/note; tail -n +3 /proc/net/dev'
    binds = {tmp_path / "here": tmp_path / "there"}
    done = enter(Path("/"), "sh", "-c", script, env={"GIVEN": "yes"}, binds=binds, offline=True)
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.split("\n", 1)
    assert first.split() == ["yes", "0"]
    assert rest.startswith("bound")
    here = {name for _, name in socket.if_nameindex()} - {"lo"}
    assert not any(f"{name}:" in rest for name in here)
    # Nothing of it stays mounted outside.
    assert not list((tmp_path / "there").iterdir())


APT = """
case "$*" in
*--no-release-info*)
    echo 'Debian|http://mirror.test/debian-security/'
    echo 'Debian|http://mirror.test/debian/' ;;
*) {with_lists} ;;
esac
"""


def test_mirror_of_a_machine_with_and_without_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "dpkg-deb", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "_os_id", lambda: "debian")
    program(tmp_path, "apt-get", APT.format(with_lists="echo 'Debian|http://lists.test/debian/'"))
    assert debian.find_mirror() == "http://lists.test/debian/"
    program(tmp_path, "apt-get", APT.format(with_lists="true"))
    assert debian.find_mirror() == "http://mirror.test/debian/"
    # Another distribution's mirrors hold no Debian.
    monkeypatch.setattr(debian, "_os_id", lambda: "ubuntu")
    with pytest.raises(SkippedError, match="name no Debian mirror"):
        debian.find_mirror()

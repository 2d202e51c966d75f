"""As a service: readiness, the watchdog, SIGTERM and SIGHUP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.notify import Notifier
from edge_runtime.preprocess import UInt8Array


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """A service manager's socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.settimeout(60)
    return listener


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_watchdog_is_fed_by_frames_but_not_by_each(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    notifier = Notifier()
    notifier.ready()
    for _ in range(100):
        notifier.frame_done()
    notifier.stopping()
    assert [manager.recv(64) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    notifier = Notifier()
    notifier.ready()
    notifier.frame_done()
    monkeypatch.setenv("NOTIFY_SOCKET", "/none/such/socket")
    Notifier().ready()


def test_service_reloads_on_hup_and_ends_cleanly_on_term(
    tmp_path: Path, tiny_model: Path, manager: socket.socket, portrait: UInt8Array
) -> None:
    out, settings = tmp_path / "out.jsonl", tmp_path / "edge-fer.toml"
    settings.write_text(
        f"[source]\nname = 'demo:0'\n[model]\nname = '{tiny_model}'\n[output]\nsinks = ['jsonl+:{out}']\n"
    )
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "600000000"}
    command = [sys.executable, "-m", "edge_runtime", "run", "--config", str(settings)]
    log = tmp_path / "log"
    with log.open("w") as stream, subprocess.Popen(command, env=environment, stderr=stream) as process:
        assert manager.recv(64) == b"READY=1"
        assert manager.recv(64) == b"WATCHDOG=1"
        settings.write_text(settings.read_text() + "[detector]\nname = 'none'\n")
        process.send_signal(signal.SIGHUP)
        # No STOPPING=1: systemd would take its word and kill what goes on.
        assert manager.recv(64) == b"READY=1"
        assert manager.recv(64) == b"WATCHDOG=1"
        # A mistake in the file does not stop the service, wherever it would show.
        mistakes = ("[sorce]\n", "[detector]\nname = 'harr'\n")
        for count, mistake in enumerate(mistakes, 1):
            settings.write_text(mistake)
            process.send_signal(signal.SIGHUP)
            wait_for(
                lambda wanted=count: log.read_text().count("with the settings and models before") == wanted
            )
            assert [manager.recv(64) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert manager.recv(64) == b"STOPPING=1"
    text = log.read_text()
    assert "Traceback" not in text
    assert text.count("configuration read again") == 1
    assert "unknown detector 'harr'" in text
    assert text.count("frames, 0 dropped") == 4
    assert all(json.loads(line) for line in out.read_text().splitlines())

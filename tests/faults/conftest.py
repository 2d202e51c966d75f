"""A running edge-fer whose output can be waited for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120.0
LONG_VARIABLE = "EDGE_FER_LONG"
LONG_FORM = (
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get(LONG_VARIABLE), reason=f"the long form: set {LONG_VARIABLE}=1"),
)
"""Of tests that repeat what a short form does a few times."""


class Running:
    """A process of edge-fer with its log and what it has written."""

    def __init__(self, folder: Path, module: str, *arguments: str) -> None:
        self.log_path = folder / "log"
        self.out_path = folder / "stdout"
        self._log = self.log_path.open("w")
        self._out = self.out_path.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdout=self._out,
            stderr=self._log,
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until(self, condition: Callable[[], Any]) -> None:
        """Wait for something to come true while the process lives."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline_s, f"waited in vain:\n{self.log}"
            time.sleep(0.01)

    def wait_for_log(self, text: str, count: int = 1) -> None:
        self.wait_until(lambda: self.log.count(text) >= count)

    def end(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()
        self._out.close()


class Starter:
    """Starts processes that do not outlive their test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.running: list[Running] = []

    def __call__(self, *arguments: str, module: str = "edge_runtime") -> Running:
        folder = self._folder / f"process{len(self.running)}"
        folder.mkdir()
        self.running.append(Running(folder, module, *arguments))
        return self.running[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for running in starter.running:
        running.kill()


@pytest.fixture(scope="session")
def tiny() -> str:
    """A small model, so that processes start quickly."""
    return str(ROOT / "tests" / "data" / "tiny.tflite")


def records(path: Path) -> list[dict[str, Any]]:
    """Every line of a file of JSON Lines; all of them must be complete."""
    text = path.read_text() if path.exists() else ""
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0

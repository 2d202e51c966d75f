"""Signals raise at once, or at the end of a step that must be whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.interrupts import Interrupts, leaving_at_once

ROOT = Path(__file__).resolve().parents[2]


class End(BaseException):
    pass


class Again(BaseException):
    pass


def make() -> Interrupts:
    return Interrupts({signal.SIGUSR1: End, signal.SIGUSR2: Again}, ends=(End,))


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_a_signal_raises_at_once_outside_of_a_step() -> None:
    with make().raising(), pytest.raises(Again):
        send(signal.SIGUSR2)


def test_a_step_is_finished_first() -> None:
    interrupts, done = make(), []

    def work() -> None:
        with interrupts.held():
            with interrupts.held():
                send(signal.SIGUSR2)
            done.append("inner")
        done.append("never")

    with interrupts.raising(), pytest.raises(Again):
        work()
    assert done == ["inner"]


def test_the_end_wins_and_nothing_breaks_off_what_follows_it() -> None:
    interrupts, done = make(), []

    def work() -> None:
        with interrupts.held():
            send(signal.SIGUSR1)
            send(signal.SIGUSR2)

    with interrupts.raising():
        with pytest.raises(End):
            work()
        with interrupts.held():
            send(signal.SIGUSR1)
            done.append("closed")
        send(signal.SIGUSR2)
        done.append("all")
    assert done == ["closed", "all"]


def test_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with make().raising():
        assert signal.getsignal(signal.SIGUSR1) != before
    assert signal.getsignal(signal.SIGUSR1) == before


def test_what_would_kill_is_ignored_after_the_end() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        with make().raising(), pytest.raises(Again):
            send(signal.SIGUSR2)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
        with make().raising(), pytest.raises(End):
            send(signal.SIGUSR1)
        send(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def interrupted(command: list[str], folder: Path) -> tuple[int, str]:
    """Status and stderr of a command that gets Ctrl-C once it has said `importing` there."""
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT
    )
    assert program.stderr is not None
    assert program.stderr.readline() == "importing\n"
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    return program.returncode, said


@pytest.mark.parametrize(
    "words",
    [
        ("edge_runtime", "predict", "face.png"),
        ("edge_runtime", "run"),
        ("benchmarks", "latency"),
        ("benchmarks", "compare"),
        ("convert", "tflite", "m.keras", "--data", "data", "--out", "m.tflite"),
        ("train", "fit", "--recipe", "edge-fer-small", "--data", "data", "--out", "out"),
    ],
)
def test_ctrl_c_in_a_heavy_import_is_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(
        "import sys, time\nprint('importing', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    status, said = interrupted([sys.executable, "-m", *words], tmp_path)
    assert status == 130
    assert said.strip().count("\n") == 0
    assert "interrupted" in said


def test_an_import_cannot_swallow_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from edge_runtime.interrupts import leaving_at_once\n"
        "with leaving_at_once('name'):\n"
        "    try:\n"
        "        print('importing', file=sys.stderr, flush=True)\n"
        "        time.sleep(60)\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    assert interrupted([sys.executable, "-c", code], tmp_path) == (130, "name: interrupted\n")


def test_another_handler_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with leaving_at_once("name"):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with leaving_at_once("name"):
            assert signal.getsignal(signal.SIGINT) != signal.default_int_handler
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)

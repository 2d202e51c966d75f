"""Signals raise at once, or at the end of a step that must be whole."""

from __future__ import annotations

import os
import signal

import pytest

from edge_runtime.interrupts import Interrupts


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

"""Greetings of Keras' backends are held back, everything else is not."""

from __future__ import annotations

import os

import pytest

from train.quiet import without_greetings

GREETINGS = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795241053.563472   30089 port.cc:153] oneDNN custom operations are on. You may see
2026-11-21 06:01:17.000001: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning
"""
ERRORS = """\
E0000 00:00:1795241053.563472   30089 port.cc:153] the driver is older than the library
ImportError: libcudart.so.12: cannot open shared object file
"""


def test_greetings_are_held_back_and_errors_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with without_greetings():
        os.write(2, (GREETINGS + ERRORS).encode())
    assert capfd.readouterr().err == ERRORS


def test_nothing_is_lost_when_the_import_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_greetings():
            os.write(2, ERRORS.encode())
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    os.write(2, b"open again")
    assert capfd.readouterr().err == ERRORS + "open again"

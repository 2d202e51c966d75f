"""What the kiosk's check reads from systemd's and strace's words."""

from __future__ import annotations

import re

import pytest

from tests.device import kiosk
from tests.device.common import ROOT, FailedError

LISTED = """\
@default
    # System calls that are always permitted
    brk
    read

@basic-io
    # Basic IO
    close
    read

@service
    # General
    @default
    @basic-io
    openat
"""
SUMMARY = "syscall\n----------------\nread\nopenat\nclock_gettime64\n----------------\ntotal\n"


def test_calls_of_a_set_include_those_of_its_sets() -> None:
    assert kiosk.allowed_calls(LISTED, "@service") == {"brk", "read", "close", "openat"}
    assert kiosk.allowed_calls(LISTED, "@absent") == set()


def test_calls_that_were_made_are_read_and_compared() -> None:
    made = kiosk.made_calls(SUMMARY)
    assert made == {"read", "openat", "clock_gettime64"}
    assert kiosk.refused_calls(made, kiosk.allowed_calls(LISTED, "@service")) == ["clock_gettime64"]
    with pytest.raises(FailedError, match="nothing to compare"):
        kiosk.refused_calls(made, set())


def test_exposure_is_read() -> None:
    assert kiosk.exposure("\n→ Overall exposure level for edge-fer.service: 1.3 OK :-)\n") == 1.3
    with pytest.raises(FailedError, match="no score"):
        kiosk.exposure("Failed to load unit file")


def test_the_check_reads_this_unit_and_allows_what_is_documented() -> None:
    unit = (ROOT / "deploy" / "edge-fer.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    assert start.split()[0] == kiosk.EDGE_FER
    assert f"/{kiosk.SETTINGS}" in start
    assert re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE) == [kiosk.CALLS]
    stated = re.search(r"exposure level of ([0-9.]+)", (ROOT / "docs" / "kiosk.md").read_text())
    assert stated is not None
    assert float(stated[1]) <= kiosk.MAX_EXPOSURE

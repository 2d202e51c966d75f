"""How the board is: temperature, throttling, load; None for what a machine does not tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.doctor import THROTTLE_FLAGS, THROTTLED

THERMAL = Path("/sys/class/thermal")
CPU_ZONES = ("cpu", "soc", "x86_pkg", "coretemp", "acpitz")
"""Beginnings of the zone types that mean the processor, best first."""
VCGENCMD_TIMEOUT_S = 2.0
KEEP_S = 2.0
"""How long a reading is good."""


@dataclass(frozen=True)
class BoardState:
    """One reading."""

    temperature_c: float | None
    """Of the processor."""
    throttled: tuple[str, ...] | None
    """The firmware's flags in words, e.g. `under-voltage now`; empty: all is well; None: not told."""
    load: float
    """Processes that want to run, mean of the last minute."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Board:
    """Reads at most every `KEEP_S`; may block for a moment, so call it outside the server's thread."""

    def __init__(self, thermal: Path = THERMAL, throttled: Path = THROTTLED) -> None:
        self._thermal = thermal
        self._throttled = throttled
        self._vcgencmd = shutil.which("vcgencmd")
        self._read_s = 0.0
        self._state: BoardState | None = None

    def read(self) -> BoardState:
        now_s = time.monotonic()
        if self._state is None or now_s - self._read_s > KEEP_S:
            bits = self._throttle_bits()
            flags = (
                None
                if bits is None
                else tuple(text for bit, text in THROTTLE_FLAGS.items() if bits >> bit & 1)
            )
            self._state = BoardState(self._temperature_c(), flags, round(os.getloadavg()[0], 2))
            self._read_s = now_s
        return self._state

    def _temperature_c(self) -> float | None:
        found = {}
        for zone in sorted(self._thermal.glob("thermal_zone*")):
            try:
                kind = (zone / "type").read_text().strip().lower()
                found[kind] = int((zone / "temp").read_text()) / 1000
            except (OSError, ValueError):
                continue
        for wanted in CPU_ZONES:
            for kind, value in found.items():
                if kind.startswith(wanted):
                    return round(value, 1)
        return round(next(iter(found.values())), 1) if found else None

    def _throttle_bits(self) -> int | None:
        try:
            return int(self._throttled.read_text().strip(), 16)
        except (OSError, ValueError):
            pass
        if self._vcgencmd is None:
            return None
        try:
            done = subprocess.run(
                [self._vcgencmd, "get_throttled"],
                capture_output=True,
                text=True,
                timeout=VCGENCMD_TIMEOUT_S,
                check=True,
            )
            return int(done.stdout.strip().partition("=")[2], 16)
        except (OSError, subprocess.SubprocessError, ValueError):
            # The service's sandbox may keep vcgencmd from its device: do not try again every two seconds.
            self._vcgencmd = None
            return None

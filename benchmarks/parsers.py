"""Pure parsers of what Linux and the Raspberry Pi's firmware say about a machine.

Each takes the text of a file or of a command's output and returns None (or leaves out what it cannot
find) where the text is another than expected: a benchmark does not fail because a board is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LIVE_FLAGS = {
    0: "under-voltage",
    1: "ARM frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Bits of `vcgencmd get_throttled` that tell of now; the same bits plus 16 stick since boot."""
STICKY_SHIFT = 16

_SINGLE = re.compile(r"=\s*(-?\d+(?:\.\d+)?)")
_PMIC_LINE = re.compile(r"^\s*(\S+)_([AV])\s+(?:current|volt)\(\d+\)=(-?\d+(?:\.\d+)?)[AV]\s*$")

_PI_MODELS = {
    0x04: "2B",
    0x08: "3B",
    0x0D: "3B+",
    0x0E: "3A+",
    0x11: "4B",
    0x12: "Zero 2 W",
    0x13: "400",
    0x14: "CM4",
    0x17: "5",
    0x18: "CM5",
    0x19: "500",
}
_PI_PROCESSORS = {0: "BCM2835", 1: "BCM2836", 2: "BCM2837", 3: "BCM2711", 4: "BCM2712"}
_PI_MEMORY_MIB = {0: 256, 1: 512, 2: 1024, 3: 2048, 4: 4096, 5: 8192, 6: 16384}


def throttled(text: str) -> int | None:
    """Bits of `vcgencmd get_throttled` (`throttled=0x50005`)."""
    match = re.fullmatch(r"\s*throttled=(0x[0-9a-fA-F]+)\s*", text)
    return int(match[1], 16) if match else None


def live_flags(bits: int) -> list[str]:
    """Names of the flags that hold right now."""
    return [name for bit, name in LIVE_FLAGS.items() if bits >> bit & 1]


def sticky_flags(bits: int) -> list[str]:
    """Names of the flags that held at some time since boot."""
    return live_flags(bits >> STICKY_SHIFT)


def measured_value(text: str) -> float | None:
    """The number after `=` in `temp=48.3'C`, `frequency(48)=1500398464` or `volt=0.8700V`."""
    match = _SINGLE.search(text)
    return float(match[1]) if match else None


def pmic_watts(text: str) -> float | None:
    """Power drawn from all rails of a Raspberry Pi 5's PMIC, from `vcgencmd pmic_read_adc`.

    The sum over the rails that report both current and voltage. What hangs on 5 V directly (USB, HAT)
    and the regulator's own loss are not in it.
    """
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for line in text.splitlines():
        match = _PMIC_LINE.match(line)
        if match:
            (amperes if match[2] == "A" else volts)[match[1]] = float(match[3])
    rails = amperes.keys() & volts.keys()
    return sum(amperes[rail] * volts[rail] for rail in sorted(rails)) if rails else None


def millidegrees(text: str) -> float | None:
    """Degrees Celsius of `/sys/class/thermal/thermal_zone*/temp`."""
    text = text.strip()
    return int(text) / 1000 if re.fullmatch(r"-?\d+", text) else None


def cpuinfo(text: str) -> dict[str, str]:
    """Keys of `/proc/cpuinfo` that describe the machine: those of its first CPU and those of the board.

    `Features` (Arm) and `flags` (x86) both become `features`.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        name = key.strip()
        if separator and name not in found:
            found["features" if name in ("Features", "flags") else name] = value.strip()
    found.pop("Serial", None)  # identifies a person's board; nothing here needs it
    return found


def revision(code: str) -> dict[str, str | int | None] | None:
    """Meaning of a Raspberry Pi's revision code (`c03111`), None for an old-style or foreign one.

    Source: Raspberry Pi documentation, "Raspberry Pi revision codes".
    """
    if not re.fullmatch(r"[0-9a-fA-F]{4,8}", code):
        return None
    bits = int(code, 16)
    if not bits >> 23 & 1:
        return None
    return {
        "model": _PI_MODELS.get(bits >> 4 & 0xFF),
        "processor": _PI_PROCESSORS.get(bits >> 12 & 0xF),
        "memory_mib": _PI_MEMORY_MIB.get(bits >> 20 & 0x7),
        "board_revision": f"1.{bits & 0xF}",
    }


def memory_kib(text: str) -> dict[str, int]:
    """KiB by key of `/proc/meminfo` or of the `Vm…` lines of `/proc/self/status`."""
    pairs = re.findall(r"^(\w+):\s+(\d+) kB\s*$", text, re.MULTILINE)
    return {key: int(value) for key, value in pairs}


def os_name(text: str) -> str | None:
    """`PRETTY_NAME` of `/etc/os-release`."""
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', text, re.MULTILINE)
    return match[1] if match else None


def cpu_jiffies(text: str) -> Mapping[str, int] | None:
    """Jiffies of all CPUs together from `/proc/stat`: `busy`, `steal` and `total`.

    `busy` is everything but idle, waiting for input or output, and stolen time; guest time is in
    user time already.
    """
    match = re.search(r"^cpu +([\d ]+)$", text, re.MULTILINE)
    fields = [int(word) for word in match[1].split()] if match else []
    if len(fields) < 4:
        return None
    fields += [0] * (8 - len(fields))
    user, nice, system, idle, iowait, irq, softirq, steal = fields[:8]
    busy = user + nice + system + irq + softirq
    return {"busy": busy, "steal": steal, "total": busy + idle + iowait + steal}

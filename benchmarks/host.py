"""What the machine is, and what state it is in while it is measured.

Everything unknown is None; nothing here raises because a board or a kernel lacks something, and
nothing identifies a person: no serial number, no host name.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import parsers

LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "ai-edge-litert",
    "tflite-runtime",
    "onnxruntime",
)
# fmt: off
FEATURES = (
    "asimd", "asimddp", "asimdhp", "bf16", "fphp", "i8mm", "neon", "sve", "sve2", "vfpv4",
    "amx_bf16", "amx_int8", "amx_tile", "avx", "avx2", "avx512_bf16", "avx512_vnni",
    "avx512bw", "avx512f", "avx_vnni", "f16c", "fma", "sse4_2",
)
# fmt: on
_COMMAND_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class HostInfo:
    """The machine; equal machines have equal `fingerprint`."""

    board: str | None
    """`Raspberry Pi 4 Model B Rev 1.1`, or vendor and product of a PC."""
    revision: str | None
    """Raspberry Pi revision code, e.g. `c03111`."""
    machine: str
    """`aarch64`, `armv7l`, `x86_64`."""
    cpu: str | None
    cpu_features: tuple[str, ...]
    """Those that matter to matrix kernels."""
    cores: int
    """CPUs that this process may use."""
    virtual: bool | None
    """Whether a hypervisor is known to lie below."""
    memory_bytes: int | None
    governor: str | None
    """Frequency governor of the first CPU."""
    frequency_min_mhz: float | None
    frequency_max_mhz: float | None
    os: str | None
    kernel: str
    python: str
    libraries: dict[str, str | None]
    """Version by package; None where it is not installed."""
    power_source: str | None
    """`mains` or `battery` where the kernel tells, `Pi PMIC` where power can be measured."""
    fingerprint: str
    """Digest of board, revision, CPU, cores and memory: what `compare` calls the same host."""

    def to_dict(self) -> dict[str, Any]:
        document = asdict(self)
        document["cpu_features"] = list(self.cpu_features)
        return document


def describe_host(root: Path = Path("/")) -> HostInfo:
    """Read what the machine is.

    Args:
        root: where `proc`, `sys` and `etc` are; another than `/` for recorded machines.
    """
    info = parsers.cpuinfo(_read(root / "proc/cpuinfo"))
    board = _board(root) or info.get("Model")
    memory = parsers.memory_kib(_read(root / "proc/meminfo")).get("MemTotal")
    cpu = info.get("model name") or _arm_core(info) or info.get("Hardware")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    features = set(info.get("features", "").split())
    identity = [board, info.get("Revision"), platform.machine(), cpu, cores, _rounded_gib(memory)]
    return HostInfo(
        board=board,
        revision=info.get("Revision"),
        machine=platform.machine(),
        cpu=cpu,
        cpu_features=tuple(name for name in FEATURES if name in features),
        cores=cores,
        virtual=True if "hypervisor" in features else None,
        memory_bytes=None if memory is None else memory * 1024,
        governor=_read(frequency / "scaling_governor").strip() or None,
        frequency_min_mhz=_khz_as_mhz(_read(frequency / "cpuinfo_min_freq")),
        frequency_max_mhz=_khz_as_mhz(_read(frequency / "cpuinfo_max_freq")),
        os=parsers.os_name(_read(root / "etc/os-release")),
        kernel=platform.release(),
        python=platform.python_version(),
        libraries={name: _version(name) for name in LIBRARIES},
        power_source=_power_source(root),
        fingerprint=hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16],
    )


@dataclass(frozen=True)
class HostState:
    """The machine's state at one moment."""

    t_s: float
    """`time.monotonic()`."""
    temperature_c: float | None
    frequency_mhz: float | None
    """Current frequency of the fastest CPU."""
    throttled: int | None
    """Bits of `vcgencmd get_throttled`."""
    thermal_events: int | None
    """Throttle events since boot that an x86 CPU counts, all CPUs together."""
    watts: float | None
    """From the PMIC of a Raspberry Pi 5."""
    energy_uj: int | None
    """RAPL package energy counter, microjoules; wraps."""
    jiffies: dict[str, int] | None
    """`busy`, `steal` and `total` of `/proc/stat`."""
    memory_available_bytes: int | None
    load_1min: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_state(root: Path = Path("/")) -> HostState:
    """Read the machine's state now; takes some milliseconds on a Pi, where it starts `vcgencmd`."""
    jiffies = parsers.cpu_jiffies(_read(root / "proc/stat"))
    available = parsers.memory_kib(_read(root / "proc/meminfo")).get("MemAvailable")
    load = _read(root / "proc/loadavg").split()
    bits, watts, clock, temperature = None, None, None, None
    if shutil.which("vcgencmd"):
        bits = parsers.throttled(_vcgencmd("get_throttled"))
        watts = parsers.pmic_watts(_vcgencmd("pmic_read_adc"))
        clock = parsers.measured_value(_vcgencmd("measure_clock", "arm"))
        temperature = parsers.measured_value(_vcgencmd("measure_temp"))
    return HostState(
        t_s=time.monotonic(),
        temperature_c=_hottest(root) if temperature is None else temperature,
        frequency_mhz=_fastest_mhz(root) if clock is None else clock / 1e6,
        throttled=bits,
        thermal_events=_thermal_events(root),
        watts=watts,
        energy_uj=_integer(_read(root / "sys/class/powercap/intel-rapl:0/energy_uj")),
        jiffies=None if jiffies is None else dict(jiffies),
        memory_available_bytes=None if available is None else available * 1024,
        load_1min=float(load[0]) if load else None,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _vcgencmd(*words: str) -> str:
    try:
        done = subprocess.run(
            ["vcgencmd", *words], capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _board(root: Path) -> str | None:
    model = _read(root / "proc/device-tree/model").rstrip("\0\n ")
    if model:
        return model
    dmi = root / "sys/class/dmi/id"
    names = [_read(dmi / name).strip() for name in ("sys_vendor", "product_name")]
    return " ".join(name for name in names if name) or None


def _arm_core(info: dict[str, str]) -> str | None:
    """Name of an Arm core by implementer and part, as 64-bit kernels print no name."""
    cores = {"0xd03": "Cortex-A53", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd0b": "Cortex-A76"}
    return cores.get(info.get("CPU part", "")) if info.get("CPU implementer") == "0x41" else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _integer(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdecimal() else None


def _khz_as_mhz(text: str) -> float | None:
    value = _integer(text)
    return None if value is None else value / 1000


def _rounded_gib(kib: int | None) -> int | None:
    """Memory as bought: kernels reserve a little more or less from version to version."""
    return None if kib is None else round(kib / 1024**2)


def _hottest(root: Path) -> float | None:
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    values = [parsers.millidegrees(_read(zone)) for zone in zones]
    return max((value for value in values if value is not None), default=None)


def _fastest_mhz(root: Path) -> float | None:
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    values = [_khz_as_mhz(_read(file)) for file in files]
    return max((value for value in values if value is not None), default=None)


def _thermal_events(root: Path) -> int | None:
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    values = [_integer(_read(file)) for file in files]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _power_source(root: Path) -> str | None:
    if shutil.which("vcgencmd") and parsers.pmic_watts(_vcgencmd("pmic_read_adc")) is not None:
        return "Pi PMIC"
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if _read(supply / "type").strip() == "Mains":
            return "mains" if _read(supply / "online").strip() == "1" else "battery"
    return None

"""What four Raspberry Pi boards answer, in the form in which their kernel and firmware print it."""

from __future__ import annotations

from dataclasses import dataclass

ARMV8_FEATURES = "fp asimd evtstrm crc32 cpuid"
PI5_FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)

PI5_PMIC = """\
   3V7_WL_SW_A current(0)=0.08490132A
   3V3_SYS_A current(1)=0.07124478A
   1V8_SYS_A current(2)=0.16492290A
  DDR_VDD2_A current(3)=0.02634894A
  DDR_VDDQ_A current(4)=0.00000000A
   1V1_SYS_A current(5)=0.18151170A
    0V8_SW_A current(6)=0.32500760A
  VDD_CORE_A current(7)=0.86664000A
   3V3_DAC_A current(17)=0.00018315A
   3V3_ADC_A current(18)=0.00042735A
   0V8_AON_A current(16)=0.00281340A
      HDMI_A current(22)=0.01538280A
  3V7_WL_SW_V volt(8)=3.70214600V
  3V3_SYS_V volt(9)=3.30891100V
  1V8_SYS_V volt(10)=1.80004100V
  DDR_VDD2_V volt(11)=1.10549200V
  DDR_VDDQ_V volt(12)=0.60292480V
  1V1_SYS_V volt(13)=1.10695800V
   0V8_SW_V volt(14)=0.80219130V
 VDD_CORE_V volt(15)=0.72056800V
   3V3_DAC_V volt(20)=3.31064600V
   3V3_ADC_V volt(21)=3.30820400V
   0V8_AON_V volt(19)=0.79731030V
      HDMI_V volt(23)=5.11296000V
     EXT5V_V volt(24)=5.10762000V
      BATT_V volt(25)=0.00000000V
"""


def cpuinfo(cores: int, features: str, part: str, revision: str, model: str, hardware: str = "") -> str:
    """`/proc/cpuinfo` of a 64-bit kernel; older ones print a Hardware line."""
    core = (
        "processor\t: {n}\nBogoMIPS\t: 108.00\n"
        f"Features\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
        f"CPU part\t: {part}\nCPU revision\t: 3\n\n"
    )
    board = f"Hardware\t: {hardware}\n" if hardware else ""
    board += f"Revision\t: {revision}\nSerial\t\t: 10000000abcdef01\nModel\t\t: {model}\n"
    return "".join(core.format(n=n) for n in range(cores)) + board


@dataclass(frozen=True)
class Board:
    """Recorded-style outputs and what they mean."""

    model: str
    cpuinfo: str
    revision: str
    decoded: dict[str, str | int | None]
    core: str
    meminfo: str
    throttled: str
    throttled_bits: int
    live: tuple[str, ...]
    sticky: tuple[str, ...]
    temperature: str
    temperature_c: float
    clock: str
    clock_hz: float
    pmic: str
    watts: float | None


def _board(
    model: str, revision: str, part: str, features: str = ARMV8_FEATURES, hardware: str = "", **rest: object
) -> Board:
    text = cpuinfo(4, features, part, revision, model, hardware)
    return Board(model=model, revision=revision, cpuinfo=text, **rest)  # type: ignore[arg-type]


PI_3 = _board(
    "Raspberry Pi 3 Model B Plus Rev 1.3",
    "a020d3",
    "0xd03",
    hardware="BCM2835",
    decoded={"model": "3B+", "processor": "BCM2837", "memory_mib": 1024, "board_revision": "1.3"},
    core="Cortex-A53",
    meminfo="MemTotal:         931584 kB\nMemFree:          512000 kB\nMemAvailable:     700000 kB\n",
    throttled="throttled=0x50005\n",
    throttled_bits=0x50005,
    live=("under-voltage", "throttled"),
    sticky=("under-voltage", "throttled"),
    temperature="temp=60.1'C\n",
    temperature_c=60.1,
    clock="frequency(45)=600000000\n",
    clock_hz=600e6,
    pmic='error=1 error_msg="Command not registered"\n',
    watts=None,
)
PI_4 = _board(
    "Raspberry Pi 4 Model B Rev 1.1",
    "c03111",
    "0xd08",
    hardware="BCM2835",
    decoded={"model": "4B", "processor": "BCM2711", "memory_mib": 4096, "board_revision": "1.1"},
    core="Cortex-A72",
    meminfo="MemTotal:        3884364 kB\nMemFree:         2909340 kB\nMemAvailable:    3423000 kB\n",
    throttled="throttled=0x0\n",
    throttled_bits=0,
    live=(),
    sticky=(),
    temperature="temp=48.7'C\n",
    temperature_c=48.7,
    clock="frequency(48)=1800457088\n",
    clock_hz=1800457088.0,
    pmic='error=1 error_msg="Command not registered"\n',
    watts=None,
)
PI_5 = _board(
    "Raspberry Pi 5 Model B Rev 1.0",
    "d04170",
    "0xd0b",
    PI5_FEATURES,
    decoded={"model": "5", "processor": "BCM2712", "memory_mib": 8192, "board_revision": "1.0"},
    core="Cortex-A76",
    meminfo="MemTotal:        8252832 kB\nMemFree:         6543210 kB\nMemAvailable:    7500000 kB\n",
    throttled="throttled=0xe0000\n",
    throttled_bits=0xE0000,
    live=(),
    sticky=("ARM frequency capped", "throttled", "soft temperature limit"),
    temperature="temp=71.9'C\n",
    temperature_c=71.9,
    clock="frequency(0)=2400033792\n",
    clock_hz=2400033792.0,
    pmic=PI5_PMIC,
    watts=2.0451,
)
ZERO_2_W = _board(
    "Raspberry Pi Zero 2 W Rev 1.0",
    "902120",
    "0xd03",
    decoded={"model": "Zero 2 W", "processor": "BCM2837", "memory_mib": 512, "board_revision": "1.0"},
    core="Cortex-A53",
    meminfo="MemTotal:         427012 kB\nMemFree:          120000 kB\nMemAvailable:     250000 kB\n",
    throttled="throttled=0x8\n",
    throttled_bits=0x8,
    live=("soft temperature limit",),
    sticky=(),
    temperature="temp=61.8'C\n",
    temperature_c=61.8,
    clock="frequency(48)=1000000000\n",
    clock_hz=1e9,
    pmic='error=1 error_msg="Command not registered"\n',
    watts=None,
)
BOARDS = {"Pi 3": PI_3, "Pi 4": PI_4, "Pi 5": PI_5, "Zero 2 W": ZERO_2_W}

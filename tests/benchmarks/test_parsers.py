import pytest

from benchmarks import parsers
from tests.benchmarks.boards import BOARDS, Board

boards = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


@boards
def test_throttle_flags(board: Board) -> None:
    bits = parsers.throttled(board.throttled)
    assert bits == board.throttled_bits
    assert tuple(parsers.live_flags(bits)) == board.live
    assert tuple(parsers.sticky_flags(bits)) == board.sticky


@boards
def test_temperature_and_clock(board: Board) -> None:
    assert parsers.measured_value(board.temperature) == board.temperature_c
    assert parsers.measured_value(board.clock) == board.clock_hz


@boards
def test_revision_code(board: Board) -> None:
    assert parsers.cpuinfo(board.cpuinfo)["Revision"] == board.revision
    assert parsers.revision(board.revision) == board.decoded


@boards
def test_cpuinfo_names_the_board_and_keeps_its_serial_to_itself(board: Board) -> None:
    info = parsers.cpuinfo(board.cpuinfo)
    assert info["Model"] == board.model
    assert "asimd" in info["features"].split()
    assert "Serial" not in info
    assert "10000000abcdef01" not in str(info)


@boards
def test_power_is_known_on_a_pi_5_alone(board: Board) -> None:
    watts = parsers.pmic_watts(board.pmic)
    assert watts == (None if board.watts is None else pytest.approx(board.watts, abs=1e-4))


@boards
def test_memory(board: Board) -> None:
    kib = parsers.memory_kib(board.meminfo)
    assert kib["MemTotal"] > kib["MemAvailable"] > kib["MemFree"] > 0


def test_a_rail_without_current_does_not_count() -> None:
    text = " A_A current(0)=2.0A\n B_A current(1)=9.0A\n A_V volt(2)=3.0V\nEXT5V_V volt(24)=5.1V\n"
    assert parsers.pmic_watts(text) == 6.0


def test_x86_cpuinfo() -> None:
    info = parsers.cpuinfo("processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fma avx2\n\nprocessor\t: 1\n")
    assert info["model name"] == "Xeon"
    assert info["features"] == "fma avx2"
    assert info["processor"] == "0"


@pytest.mark.parametrize("code", ["0002", "000e", "not hex", ""])
def test_old_or_foreign_revision_codes_mean_nothing(code: str) -> None:
    assert parsers.revision(code) is None


def test_os_release() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n'
    assert parsers.os_name(text) == "Debian GNU/Linux 12 (bookworm)"


def test_cpu_jiffies_leave_idle_waiting_and_stolen_time_out_of_busy() -> None:
    text = "cpu  100 20 30 1000 50 3 2 40 7 7\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n"
    assert parsers.cpu_jiffies(text) == {"busy": 155, "steal": 40, "total": 1245}


@pytest.mark.parametrize("text", ["", "error=1", "VCHI initialization failed", "throttled=", "\0"])
def test_nonsense_is_none_everywhere(text: str) -> None:
    assert parsers.throttled(text) is None
    assert parsers.pmic_watts(text) is None
    assert parsers.millidegrees(text) is None
    assert parsers.os_name(text) is None
    assert parsers.cpu_jiffies(text) is None
    assert parsers.memory_kib(text) == {}
    assert parsers.cpuinfo(text) == {}

import json
import stat
from pathlib import Path

import pytest

from benchmarks.host import HostInfo, describe_host, read_state
from benchmarks.schema import parse, to_document
from tests.benchmarks.boards import BOARDS, PI_3, PI_4, PI_5, Board


def make_root(folder: Path, board: Board) -> Path:
    """The files of a board, and a `vcgencmd` that answers as its firmware does."""
    files = {
        "proc/cpuinfo": board.cpuinfo,
        "proc/device-tree/model": board.model + "\0",
        "proc/meminfo": board.meminfo,
        "proc/stat": "cpu  100 0 50 800 10 0 5 0 0 0\n",
        "proc/loadavg": "0.42 0.30 0.20 1/100 1234\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq": "600000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/thermal/thermal_zone0/temp": "48686\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    answers = {
        "get_throttled": board.throttled,
        "pmic_read_adc": board.pmic,
        "measure_clock arm": board.clock,
        "measure_temp": board.temperature,
    }
    (folder / "answers.json").write_text(json.dumps(answers))
    tool = folder / "bin" / "vcgencmd"
    tool.parent.mkdir()
    cases = "".join(f"  '{words}') cat <<'EOT'\n{text}EOT\n  ;;\n" for words, text in answers.items())
    tool.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\n')
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    return folder


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_board_is_described(board: Board, tmp_path: Path) -> None:
    host = describe_host(make_root(tmp_path, board))
    assert host.board == board.model
    assert host.revision == board.revision
    assert host.cpu == board.core
    assert "asimd" in host.cpu_features
    assert host.governor == "ondemand"
    assert (host.frequency_min_mhz, host.frequency_max_mhz) == (600.0, 1800.0)
    assert host.os == "Debian GNU/Linux 12 (bookworm)"
    assert host.libraries["numpy"] is not None
    assert "10000000abcdef01" not in json.dumps(host.to_dict())
    assert parse(HostInfo, json.loads(json.dumps(to_document(host))), "host") == host


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_the_state_of_a_board(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path, board)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
    state = read_state(root)
    assert state.throttled == board.throttled_bits
    assert state.temperature_c == board.temperature_c
    assert state.frequency_mhz == board.clock_hz / 1e6
    assert (state.watts is None) == (board.watts is None)
    assert state.jiffies == {"busy": 155, "steal": 0, "total": 965}
    assert state.load_1min == 0.42
    assert state.memory_available_bytes is not None


def test_without_firmware_tools_the_kernel_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_root(tmp_path, PI_4)
    monkeypatch.setenv("PATH", "/nonexistent")
    state = read_state(root)
    assert state.throttled is None
    assert state.watts is None
    assert state.temperature_c == 48.686
    assert state.frequency_mhz == 1500.0


def test_a_machine_that_tells_nothing_is_null_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    host, state = describe_host(tmp_path), read_state(tmp_path)
    unknown = (host.board, host.revision, host.cpu, host.memory_bytes, host.governor, host.os)
    assert unknown == (None,) * 6
    assert (state.temperature_c, state.jiffies, state.load_1min) == (None, None, None)
    assert set(host.to_dict()) == set(HostInfo.__dataclass_fields__)


def test_fingerprints_tell_boards_apart_and_survive_updates(tmp_path: Path) -> None:
    prints = {}
    for name, board in {"3": PI_3, "4": PI_4, "5": PI_5}.items():
        folder = tmp_path / name
        folder.mkdir()
        prints[name] = describe_host(make_root(folder, board)).fingerprint
    assert len(set(prints.values())) == 3
    (tmp_path / "4/etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')
    (tmp_path / "4/proc/meminfo").write_text(PI_4.meminfo.replace("3884364", "3882000"))
    assert describe_host(tmp_path / "4").fingerprint == prints["4"]

"""The sink gpio against a double of the kernel's device; its layouts against linux/gpio.h."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.events import EventSettings
from edge_runtime.preprocess import Box
from edge_runtime.records import STAGES, FaceRecord, FrameRecord
from edge_runtime.sinks import gpioline, open_sink
from tests.edge_runtime.sinks.gpio_double import Kernel

PI_5_NEW = {"gpiochip0": ("pinctrl-rp1", 54), "gpiochip10": ("gpio-brcmstb@107d508500", 32)}
PI_5_OLD = {"gpiochip0": ("gpio-brcmstb@107d508500", 32), "gpiochip4": ("pinctrl-rp1", 54)}
PI_4 = {"gpiochip0": ("pinctrl-bcm2711", 58), "gpiochip1": ("raspberrypi-exp-gpio", 8)}
SETTINGS = EventSettings(0.3, 0.5, 0.0, 0.0)


def record(at_s: float, faces: Mapping[int, str]) -> FrameRecord:
    """A frame at a time in the film, with the label of each face by its track."""
    labels = {"happy": 0.5, "sad": 0.5}
    seen = tuple(
        FaceRecord(track, Box(0, 0, 9, 9), 1.0, label, 0.9, labels) for track, label in faces.items()
    )
    timing = dict.fromkeys(STAGES, 0.0)
    return FrameRecord(0, 1, 0, 0, seen, timing, "m", "b", t_scene_ns=round(at_s * 1e9))


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A Raspberry Pi 4 as the sink sees it."""
    return make_board(tmp_path, monkeypatch, PI_4)


def make_board(folder: Path, monkeypatch: pytest.MonkeyPatch, chips: dict[str, tuple[str, int]]) -> Kernel:
    kernel = Kernel(folder, chips)
    monkeypatch.setattr(gpioline, "DEVICES", folder)
    monkeypatch.setattr(gpioline, "fcntl", SimpleNamespace(ioctl=kernel.ioctl))
    return kernel


LAYOUT = """
#include <linux/gpio.h>
#include <stdio.h>
#include <stddef.h>
#define AT(type, field) (int)offsetof(struct type, field)
int main(void) {
  printf("%u %u ", (unsigned)GPIO_GET_CHIPINFO_IOCTL, (unsigned)GPIO_V2_GET_LINEINFO_IOCTL);
  printf("%u %u ", (unsigned)GPIO_V2_GET_LINE_IOCTL, (unsigned)GPIO_V2_LINE_SET_VALUES_IOCTL);
  printf("%d %d %d %d ", (int)sizeof(struct gpiochip_info), (int)sizeof(struct gpio_v2_line_info),
         (int)sizeof(struct gpio_v2_line_request), (int)sizeof(struct gpio_v2_line_values));
  printf("%d %d %d %d %d ", AT(gpio_v2_line_request, consumer), AT(gpio_v2_line_request, config.flags),
         AT(gpio_v2_line_request, config.num_attrs), AT(gpio_v2_line_request, num_lines),
         AT(gpio_v2_line_request, fd));
  printf("%d %d %d ", AT(gpio_v2_line_info, consumer), AT(gpio_v2_line_info, offset),
         AT(gpio_v2_line_info, flags));
  printf("%d %d %d\\n", (int)GPIO_V2_LINE_FLAG_USED, (int)GPIO_V2_LINE_FLAG_ACTIVE_LOW,
         (int)GPIO_V2_LINE_FLAG_OUTPUT);
}
"""


def test_layouts_are_those_of_the_kernel(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/linux/gpio.h").exists():
        pytest.skip("needs a C compiler and linux/gpio.h")
    (tmp_path / "layout.c").write_text(LAYOUT)
    subprocess.run([compiler, "layout.c", "-o", "layout"], cwd=tmp_path, check=True)
    numbers = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout
    assert list(map(int, numbers.split())) == [
        *(gpioline.GET_CHIPINFO, gpioline.GET_LINEINFO, gpioline.GET_LINE, gpioline.SET_VALUES),
        *(gpioline.CHIP_INFO.size, gpioline.LINE_INFO.size, gpioline.LINE_REQUEST.size),
        gpioline.LINE_VALUES.size,
        # Places at which the double reads and writes.
        *(256, 288, 296, 560, 588),
        *(32, 64, 72),
        *(gpioline.FLAG_USED, gpioline.FLAG_ACTIVE_LOW, gpioline.FLAG_OUTPUT),
    ]


@pytest.mark.parametrize(
    ("chips", "header"), [(PI_4, "gpiochip0"), (PI_5_OLD, "gpiochip4"), (PI_5_NEW, "gpiochip0")]
)
def test_header_is_found_by_its_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chips: dict[str, tuple[str, int]], header: str
) -> None:
    kernel = make_board(tmp_path, monkeypatch, chips)
    for name in ("gpio:17", "gpio:GPIO17", f"gpio:17,chip={header}", f"gpio:17,chip={header[-1]}"):
        sink = open_sink(name)
        assert kernel.held == [(header, 17)]
        sink.close()
        sink.close()
        assert kernel.held == []


def test_present_waits_as_arriving_and_leaving_do(board: Kernel) -> None:
    sink = open_sink("gpio:17", SETTINGS)
    levels = board.levels[("gpiochip0", 17)]
    assert levels == [0]
    for seconds, faces, expected in (
        (0.0, {1: "sad"}, 0),
        (0.2, {1: "sad"}, 0),
        (0.25, {}, 0),
        (0.3, {2: "sad"}, 0),
        (0.55, {2: "sad"}, 0),
        (0.6, {2: "happy"}, 1),
        (0.7, {}, 1),
        (1.1, {}, 1),
        (1.15, {2: "sad"}, 1),
        (1.2, {}, 1),
        (1.7, {}, 0),
    ):
        sink.write(record(seconds, faces))
        assert levels[-1] == expected, seconds
    assert levels == [0, 1, 0]
    sink.close()


def test_expression_and_active_low(board: Kernel) -> None:
    sink = open_sink("gpio:17,while=happy,active=low", EventSettings(0.0, 0.0, 0.0, 0.0))
    levels = board.levels[("gpiochip0", 17)]
    for seconds, faces in ((0, {}), (1, {1: "sad"}), (2, {1: "sad", 2: "happy"}), (3, {1: "sad"})):
        sink.write(record(seconds, faces))
    assert levels == [1, 0, 1]
    sink.write(record(4, {1: "happy"}))
    sink.close()
    assert levels == [1, 0, 1, 0, 1]


def test_pulse_ends_by_itself(board: Kernel) -> None:
    sink = open_sink("gpio:17,on=arrived,pulse=0.05", EventSettings(0.0, 0.1, 0.0, 0.0))
    levels = board.levels[("gpiochip0", 17)]
    sink.write(record(0, {1: "sad"}))
    sink.write(record(1, {1: "happy"}))
    deadline = time.monotonic() + 20
    while levels != [0, 1, 0]:
        assert time.monotonic() < deadline, levels
        time.sleep(0.005)
    sink.close()


def test_line_is_low_at_the_end_of_a_run_in_a_pulse(board: Kernel) -> None:
    sink = open_sink("gpio:17,on=arrived,pulse=60", EventSettings(0.0, 0.1, 0.0, 0.0))
    sink.write(record(0, {1: "sad"}))
    sink.write(record(1, {1: "sad", 2: "sad"}))
    sink.close()
    assert board.levels[("gpiochip0", 17)] == [0, 1, 1, 0]
    assert board.held == []


def test_expression_that_the_model_does_not_know(board: Kernel) -> None:
    sink = open_sink("gpio:17,while=hapy")
    sink.write(record(0, {}))
    with pytest.raises(SinkError, match=r"no expression 'hapy'; choose present, .*happy"):
        sink.write(record(1, {1: "happy"}))
    sink.close()


def test_line_in_use_names_who_holds_it(board: Kernel) -> None:
    board.foreign[("gpiochip0", 17)] = b"fan-control"
    with pytest.raises(SinkError, match="GPIO line 17 of gpiochip0: fan-control uses it"):
        open_sink("gpio:17")


def test_no_chip_or_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: Kernel) -> None:
    with pytest.raises(SinkError, match="no line 58; choose 0 to 57"):
        open_sink("gpio:58")
    with pytest.raises(SinkError, match=r"no GPIO chip 'gpiochip7' \(there: gpiochip0 \(pinctrl-bcm2711"):
        open_sink("gpio:17,chip=gpiochip7")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(gpioline, "DEVICES", empty)
    with pytest.raises(SinkError, match=r"no GPIO chip of a Raspberry Pi's header \(there: none\)"):
        open_sink("gpio:17")


@pytest.mark.parametrize(
    "name",
    [
        "gpio:",
        "gpio:led",
        "gpio:17,while=",
        "gpio:17,on=smile",
        "gpio:17,on=arrived,while=happy",
        "gpio:17,pulse=1",
        "gpio:17,on=arrived,pulse=0",
        "gpio:17,active=yes",
        "gpio:17,wile=happy",
    ],
)
def test_wrong_names_are_usage(board: Kernel, name: str) -> None:
    with pytest.raises(UsageError):
        open_sink(name)
    assert board.held == []

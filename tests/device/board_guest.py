"""The half of the board's check that runs on it, as its first process: GPIO and a USB camera.

Pins are read from the processor's own registers (BCM2835 ARM Peripherals, chapter 6), behind the driver's
back. Prints one line `finding NAME: ok|FAILED SAID` per check and `end` at last; the machine is ended from
outside.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.device.usb_camera import MJPEG, NAME, UsbCamera

MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp"))
SITES = ("/site", "/portrait")
REGISTERS = 0x3F200000
"""Where the GPIO registers of the Raspberry Pi 3 are."""
LEVELS = 0x34
"""Offset of GPLEV0; GPFSEL0 is the first register."""
INPUT, OUTPUT = 0, 1
INIT_MODULE = 105
"""Number of the system call on 64-bit ARM."""
RUN_LIMIT_S = 300.0
MODULES = Path("/guest/modules")
SIZES = ((640, 480), (320, 240))
PLACES = 16
"""Where the bar of a picture can be."""
DARK, BRIGHT = 30, 220


class Pins:
    """Function and level of every pin, as the registers have them."""

    def __init__(self) -> None:
        descriptor = os.open("/dev/mem", os.O_RDONLY | os.O_SYNC)
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ, offset=REGISTERS)

    def level(self, pin: int) -> int:
        return self._word(LEVELS + 4 * (pin // 32)) >> (pin % 32) & 1

    def function(self, pin: int) -> int:
        return self._word(4 * (pin // 10)) >> (3 * (pin % 10)) & 7

    def state(self, pin: int) -> tuple[int, int]:
        """Function and level."""
        return self.function(pin), self.level(pin)

    def _word(self, offset: int) -> int:
        (word,) = struct.unpack_from("<I", self._memory, offset)
        return int(word)


class Film:
    """What the camera sees: a bright bar that moves on by one place from picture to picture."""

    def __init__(self) -> None:
        self.camera = UsbCamera(self.picture, SIZES)
        self.broken = False

    def picture(self, number: int) -> bytes:
        """A JPEG of the size that was chosen last; cut off while `broken`."""
        import cv2
        import numpy as np

        chosen = self.camera.committed
        width, height = SIZES[chosen[-1][1] if chosen else 0]
        image = np.full((height, width), DARK, np.uint8)
        unit = width // PLACES
        image[:, number % PLACES * unit :][:, :unit] = BRIGHT
        data = cv2.imencode(".jpg", image)[1].tobytes()
        return data[: len(data) // 2] if self.broken else data


def main() -> None:
    libc = ctypes.CDLL(None)
    for kind, place in MOUNTS:
        libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None)
    sys.path[:0] = SITES
    pins = Pins()
    load_modules(libc)
    film = Film()
    pin_checks = (chips, condition, active_low, pulse, in_use, wrong_line, whole_program, killed)
    camera_checks = (motion_jpeg, newest_frames, broken_pictures, unplugged)
    works: list[partial[str]] = [partial(work, film) for work in camera_checks]
    works += [partial(work, pins) for work in pin_checks]
    for work in works:
        try:
            said, verdict = work(), "ok"
        except AssertionError as error:
            said, verdict = str(error), "FAILED"
        except Exception as error:
            trace = " ".join(traceback.format_tb(error.__traceback__)[-1].split())
            said, verdict = f"{type(error).__name__}: {error} {trace}", "FAILED"
        print(f"finding {work.func.__name__.replace('_', ' ')}: {verdict} {said}", flush=True)
    print("end", flush=True)
    # A first process that ends is a panic; whoever started the machine ends it.
    while True:
        time.sleep(60)


def open_camera(size_wh: tuple[int, int] = SIZES[0], tries: int = 0) -> Any:
    from edge_runtime.sources import SourceOptions, open_source

    wait_for(Path("/dev/video0").exists, "the camera's device", 60)
    options = SourceOptions(size_wh=size_wh, rate_hz=5, color=True, stall_timeout_s=60, reopen_tries=tries)
    return open_source("v4l2:0", options)


def place_of(frame: Any) -> int:
    """Where the bar is; the picture must be as it was drawn."""
    unit = frame.luma.shape[1] // PLACES
    columns = frame.luma.mean(axis=0).reshape(PLACES, unit).mean(axis=1)
    place = int(columns.argmax())
    assert abs(columns[place] - BRIGHT) < 6, f"the bar is at {columns[place]:.0f}, not {BRIGHT}"
    rest = columns[[index for index in range(PLACES) if index != place]]
    assert abs(rest - DARK).max() < 6, f"the ground is at {rest.min():.0f} to {rest.max():.0f}, not {DARK}"
    return place


def motion_jpeg(film: Film) -> str:
    from edge_runtime.sources.listing import list_sources

    film.camera.plug()
    said = []
    for number, size_wh in enumerate(SIZES):
        source = open_camera(size_wh)
        frames = source.frames()
        places, indices = [], []
        for _ in range(6):
            frame = next(frames)
            expect(frame.luma.shape, size_wh[::-1], "shape")
            expect(frame.bgr.shape, (*size_wh[::-1], 3), "shape in colour")
            places.append(place_of(frame))
            indices.append(frame.index)
        source.close()
        expect(film.camera.committed[-1], (MJPEG, number), "format and size that were chosen")
        moved = [(b - a) % PLACES for a, b in pairwise(places)]
        # The driver itself drops a picture where the emulation is late to fetch the one before.
        assert all(1 <= step < PLACES // 2 for step in moved), f"the bar moved by {moved}"
        expect(indices, sorted(set(indices)), "numbers of the frames")
        said.append(source.description)
    entries = [entry for entry in list_sources() if entry.source.startswith("v4l2:")]
    assert any(NAME in entry.description and entry.usable for entry in entries), f"listed: {entries}"
    return "; ".join(said)


def newest_frames(film: Film) -> str:
    source = open_camera()
    frames = source.frames()
    before = next(frames)
    index, dropped = before.index, before.dropped
    time.sleep(3)
    after = next(frames)
    steps = after.index - index
    assert steps > 2, f"after 3 s the next frame is {steps} further on"
    expect(after.dropped - dropped, steps - 1, "dropped")
    place_of(after)
    source.close()
    return f"{steps} frames on after 3 s"


def broken_pictures(film: Film) -> str:
    """A cut-off JPEG is passed over or shown as far as it goes; the frames after it are sound."""
    source = open_camera(tries=5)
    frames = source.frames()
    place_of(next(frames))
    film.broken = True
    began_s = time.monotonic()
    damaged = sound = 0
    while sound < 5:
        frame = next(frames)
        expect(frame.luma.shape, SIZES[0][::-1], "shape")
        if time.monotonic() - began_s > 2:
            film.broken = False
        try:
            place_of(frame)
            sound += not film.broken
        except AssertionError:
            damaged += 1
            sound = 0
            assert time.monotonic() - began_s < 120, "damaged to the end"
    source.close()
    return f"{damaged} damaged frames, then sound ones"


def unplugged(film: Film) -> str:
    source = open_camera(tries=8)
    indices = []
    for frame in source.frames():
        place_of(frame)
        indices.append(frame.index)
        if len(indices) == 3:
            film.camera.unplug()
            threading.Timer(4, film.camera.plug).start()
        if len(indices) == 8:
            break
    source.close()
    film.camera.unplug()
    expect(indices, sorted(set(indices)), "numbers of the frames")
    return f"frames {', '.join(map(str, indices))}"


def load_modules(libc: ctypes.CDLL) -> None:
    for path in sorted(MODULES.iterdir()):
        image = path.read_bytes()
        if libc.syscall(INIT_MODULE, image, ctypes.c_ulong(len(image)), b""):
            print(f"{path.name}: not loaded", flush=True)


def expect(found: object, wanted: object, what: str) -> None:
    assert found == wanted, f"{what}: {found}, not {wanted}"


def chips(pins: Pins) -> str:
    from edge_runtime.sinks.gpioline import find_chip, list_chips

    found = list_chips()
    assert len(found) > 1, f"one chip would be found without looking at labels: {found}"
    header = find_chip("")
    assert header.label.startswith("pinctrl-bcm"), f"took {header}"
    expect(find_chip(header.label), header, "by its label")
    return f"{', '.join(map(str, found))}; the header's is {header.path.name}"


def condition(pins: Pins) -> str:
    from edge_runtime.sinks import open_sink

    sink = open_sink("gpio:17")
    expect(pins.state(17), (OUTPUT, 0), "at first")
    said = []
    for at_s, present, level in (
        (0.0, True, 0),
        (0.2, True, 0),
        (0.35, True, 1),
        (0.4, False, 1),
        (0.85, False, 1),
        (0.95, False, 0),
        (1.0, True, 0),
        (1.4, True, 1),
    ):
        sink.write(record(at_s, present))
        expect(pins.state(17), (OUTPUT, level), f"after {at_s} s")
        said.append(str(level))
    sink.close()
    expect(pins.state(17), (INPUT, 0), "given back")
    return f"GPIO17 {' '.join(said)}"


def active_low(pins: Pins) -> str:
    from edge_runtime.sinks import open_sink

    sink = open_sink("gpio:22,active=low")
    expect(pins.state(22), (OUTPUT, 1), "inactive")
    sink.write(record(0.0, True))
    sink.write(record(0.5, True))
    expect(pins.state(22), (OUTPUT, 0), "active")
    sink.close()
    return "GPIO22 1, 0"


def pulse(pins: Pins) -> str:
    from edge_runtime.sinks import open_sink

    sink = open_sink("gpio:33,on=arrived,pulse=1")
    sink.write(record(0.0, True))
    expect(pins.level(33), 0, "before anybody has arrived")
    sink.write(record(0.5, True))
    started_s = time.monotonic()
    expect(pins.level(33), 1, "at the arrival")
    wait_for(lambda: not pins.level(33), "the end of the pulse", 20)
    took_s = time.monotonic() - started_s
    assert took_s > 0.9, f"the pulse was {took_s:.2f} s long"
    sink.close()
    return f"GPIO33 1 for {took_s:.2f} s"


def in_use(pins: Pins) -> str:
    from edge_runtime.errors import SinkError
    from edge_runtime.sinks import open_sink

    sink = open_sink("gpio:17")
    try:
        open_sink("gpio:17")
    except SinkError as error:
        said = str(error)
    else:
        raise AssertionError("two had the same line")
    finally:
        sink.close()
    assert "edge-fer uses it" in said, said
    return said


def wrong_line(pins: Pins) -> str:
    from edge_runtime.errors import SinkError
    from edge_runtime.sinks import open_sink

    try:
        open_sink("gpio:54")
    except SinkError as error:
        return str(error)
    raise AssertionError("a line that is not there")


def whole_program(pins: Pins) -> str:
    program = start("gpio:27")
    wait_for(lambda: pins.level(27), "the face", RUN_LIMIT_S, program)
    program.send_signal(signal.SIGTERM)
    status = program.wait(RUN_LIMIT_S)
    expect(status, 0, "exit status after SIGTERM")
    expect(pins.state(27), (INPUT, 0), "at the end")
    return "GPIO27 1 once the demo's face was found, 0 after SIGTERM"


def killed(pins: Pins) -> str:
    """No promise is tested here, only said what this kernel does."""
    program = start("gpio:27")
    wait_for(lambda: pins.level(27), "the face", RUN_LIMIT_S, program)
    program.kill()
    program.wait(RUN_LIMIT_S)
    function, level = pins.state(27)
    became = {INPUT: "an input", OUTPUT: "an output"}.get(function, str(function))
    return f"after SIGKILL GPIO27 is {became} at {level}"


def start(sink: str) -> subprocess.Popen[bytes]:
    words = (sys.executable, "-m", "edge_runtime", "run", "--source", "demo:0", "--sink", sink)
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": os.pathsep.join(SITES)})


def wait_for(
    holds: Callable[[], object], what: str, limit_s: float, program: subprocess.Popen[bytes] | None = None
) -> None:
    deadline_s = time.monotonic() + limit_s
    while not holds():
        status = None if program is None else program.poll()
        assert status is None, f"the program ended with {status} before {what}"
        assert time.monotonic() < deadline_s, f"{what} did not come within {limit_s:g} s"
        time.sleep(0.02)


def record(at_s: float, present: bool):  # type: ignore[no-untyped-def]
    """A frame at a time in the film, with a face or without."""
    from edge_runtime.preprocess import Box
    from edge_runtime.records import STAGES, FaceRecord, FrameRecord

    face = FaceRecord(1, Box(0, 0, 9, 9), 1.0, "happy", 0.9, {"happy": 0.9, "sad": 0.1})
    timing = dict.fromkeys(STAGES, 0.0)
    seen = (face,) if present else ()
    return FrameRecord(0, 1, 0, 0, seen, timing, "m", "b", t_scene_ns=round(at_s * 1e9))


if __name__ == "__main__":
    main()

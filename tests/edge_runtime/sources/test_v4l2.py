"""Source `v4l2:` against the kernel: its test driver vivid is a webcam as far as programs can see.

As root: `modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0`. Skipped where the kernel
has no such driver. Small and slow pictures, since an emulated machine may run this.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.sources.listing import list_sources

DRIVER = Path("/sys/bus/platform/drivers/vivid")
UNIT = "vivid.0"
PATIENT = SourceOptions(size_wh=(320, 180), rate_hz=5, stall_timeout_s=30.0, reopen_tries=0)


@pytest.fixture
def camera() -> Iterator[str]:
    """The driver's capture device, as a source's name."""
    found = [
        path.name
        for path in sorted(Path("/sys/class/video4linux").glob("video*"))
        if (path / "name").read_text().strip() == "vivid-000-vid-cap"
    ]
    if not found or not os.access(f"/dev/{found[0]}", os.R_OK | os.W_OK):
        pytest.skip("needs the kernel's test driver vivid")
    yield f"v4l2:{found[0].removeprefix('video')}"
    plug()


def plug() -> None:
    if not (DRIVER / UNIT).exists():
        (DRIVER / "bind").write_text(UNIT)


def unplug() -> None:
    (DRIVER / "unbind").write_text(UNIT)


@pytest.mark.parametrize("size_wh", [(640, 360), (320, 180)])
def test_frames_of_the_wanted_size(camera: str, size_wh: tuple[int, int]) -> None:
    source = open_source(camera, replace(PATIENT, size_wh=size_wh, color=True))
    assert f" {size_wh[0]}x{size_wh[1]} " in source.description
    frames = source.frames()
    seen = [next(frames).index for _ in range(5)]
    frame = next(frames)
    assert frame.luma.shape == size_wh[::-1]
    assert frame.bgr is not None
    # Bars of full colours.
    assert frame.luma.max() > 150
    assert frame.luma.min() < 20
    assert (frame.bgr.max(axis=2) - frame.bgr.min(axis=2)).max() > 150
    assert seen == sorted(set(seen))
    source.close()


def test_who_is_slow_gets_the_newest_frame(camera: str) -> None:
    source = open_source(camera, PATIENT)
    frames = source.frames()
    before = next(frames)
    index, dropped = before.index, before.dropped
    time.sleep(2)
    after = next(frames)
    assert after.index > index + 2
    assert after.dropped >= dropped + 2
    source.close()


def test_a_camera_that_another_program_has_is_one_line(camera: str) -> None:
    first = open_source(camera, PATIENT)
    next(first.frames())
    with pytest.raises(SourceError) as caught:
        open_source(camera, PATIENT)
    assert "\n" not in str(caught.value)
    first.close()
    again = open_source(camera, PATIENT)
    next(again.frames())
    again.close()


def test_it_is_listed(camera: str) -> None:
    (entry,) = (entry for entry in list_sources() if entry.source == camera)
    assert entry.usable
    assert entry.description == "vivid"


def test_a_camera_that_is_unplugged_is_an_error(camera: str) -> None:
    source = open_source(camera, PATIENT)
    frames = source.frames()
    next(frames)
    unplug()
    with pytest.raises(SourceError, match=r"unplugged|delivered nothing|no camera"):
        for _ in frames:
            pass
    source.close()


def test_a_camera_that_is_plugged_in_again_goes_on(camera: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    source = open_source(camera, replace(PATIENT, reopen_tries=8))
    seen: list[int] = []
    unplugged_at = None
    for frame in source.frames():
        seen.append(frame.index)
        if len(seen) == 5:
            unplug()
            threading.Timer(3.0, plug).start()
            unplugged_at = len(caplog.records)
        if unplugged_at is not None and len(caplog.records) > unplugged_at and len(seen) > 10:
            break
    source.close()
    assert seen == sorted(set(seen))
    assert any("opening it again" in record.getMessage() for record in caplog.records)

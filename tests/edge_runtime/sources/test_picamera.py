"""The Raspberry Pi's camera: strides, release of every request, stalls and the advice in errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.sources.picamera import chroma_planes, luma_plane, to_bgr
from tests.edge_runtime.sources import picamera_double
from tests.edge_runtime.sources.picamera_double import Picamera2

OPTIONS = SourceOptions(size_wh=(704, 480), stall_timeout_s=0.2, reopen_tries=2)


@pytest.fixture
def picamera(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Picamera2]]:
    camera, library = picamera_double.modules()
    monkeypatch.setitem(sys.modules, "picamera2", camera)
    monkeypatch.setitem(sys.modules, "libcamera", library)
    monkeypatch.setattr("edge_runtime.sources.reopening.FIRST_PAUSE_S", 0.001)
    yield Picamera2
    assert [camera.outstanding for camera in Picamera2.opened] == [0] * len(Picamera2.opened)


def test_luma_is_a_view_and_every_request_is_released(picamera: type[Picamera2]) -> None:
    source = open_source("picamera2", OPTIONS)
    levels = []
    for frame in source.frames():
        assert frame.luma.shape == (480, 704)
        assert not frame.luma.flags.owndata
        assert frame.luma.min() == frame.luma.max()
        assert frame.bgr is None
        levels.append(int(frame.luma[0, 0]))
        assert frame.index == levels[-1]
        if len(levels) == 5:
            break
    del frame
    source.close()
    source.close()
    (camera,) = picamera.opened
    assert levels == [0, 1, 2, 3, 4]
    assert camera.state == "closed"
    assert camera.flushed == 1


def test_configuration_is_full_range_unqueued_and_of_fixed_rate(picamera: type[Picamera2]) -> None:
    source = open_source("picamera2:0", OPTIONS)
    source.close()
    arguments = picamera.opened[0].arguments
    assert arguments["colour_space"] == "sycc"
    assert arguments["queue"] is False
    assert arguments["raw"] is arguments["display"] is arguments["encode"] is None
    assert arguments["buffer_count"] == 4
    assert arguments["controls"]["FrameDurationLimits"] == (40_000, 40_000)
    assert arguments["main"] == {"size": (704, 480), "format": "YUV420"}


def test_sensor_time_and_missed_frames(picamera: type[Picamera2]) -> None:
    picamera.skip_after = 1
    source = open_source("picamera2", OPTIONS)
    seen = []
    for frame in source.frames():
        age_ns = time.monotonic_ns() - frame.t_capture_ns
        assert age_ns > 1_000_000_000
        seen.append((frame.index, frame.dropped))
        if len(seen) == 4:
            break
    source.close()
    assert seen == [(0, 0), (1, 0), (4, 2), (5, 2)]


def test_a_stall_is_flushed_closed_and_opened_again(
    picamera: type[Picamera2], caplog: pytest.LogCaptureFixture
) -> None:
    picamera.frames_before_stall = [2, 1000]
    source = open_source("picamera2", OPTIONS)
    indices = []
    for frame in source.frames():
        indices.append(frame.index)
        if len(indices) == 4:
            break
    source.close()
    first, second = picamera.opened
    assert indices == [0, 1, 2, 3]
    assert first.flushed >= 1
    assert (first.state, second.state) == ("closed", "closed")
    assert "no frame for 0.2 s" in caplog.text


def test_a_camera_that_stays_away_is_given_up(picamera: type[Picamera2]) -> None:
    picamera.frames_before_stall = [1, 0, 0, 0]
    source = open_source("picamera2", OPTIONS)
    with pytest.raises(SourceError, match=r"no frame for 0\.2 s"):
        list(source.frames())
    assert len(picamera.opened) == 3
    assert all(camera.state == "closed" for camera in picamera.opened)


def test_colour_comes_from_the_same_buffer(picamera: type[Picamera2]) -> None:
    source = open_source("picamera2", SourceOptions(color=True, size_wh=(704, 480)))
    for frame in source.frames():
        assert frame.bgr is not None
        assert frame.bgr.shape == (480, 704, 3)
        assert (frame.bgr == frame.luma[:, :, None]).all()
        break
    source.close()


@pytest.mark.parametrize("pixel_format", ["YUV420", "NV12"])
@pytest.mark.parametrize("stride", [64, 96])
def test_planes_of_padded_buffers(pixel_format: str, stride: int) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    bgr = cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)
    y, v, u = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb))
    u, v = u[::2, ::2], v[::2, ::2]
    memory = np.full(stride * 48 * 3 // 2, 77, np.uint8)
    memory[: stride * 48].reshape(48, stride)[:, :64] = y
    chroma = memory[stride * 48 :]
    if pixel_format == "NV12":
        rows = chroma.reshape(24, stride)
        rows[:, 0:64:2], rows[:, 1:64:2] = u, v
    else:
        rows = chroma.reshape(48, stride // 2)
        rows[:24, :32], rows[24:, :32] = u, v
    luma = luma_plane(memory, (64, 48), stride)
    assert np.array_equal(luma, y)
    found_u, found_v = chroma_planes(memory[stride * 48 :], (64, 48), stride, pixel_format)
    assert np.array_equal(found_u, u)
    assert np.array_equal(found_v, v)
    assert np.abs(to_bgr(luma, found_u, found_v).astype(int) - bgr).mean() < 6


def test_no_camera_busy_camera_and_wrong_number(picamera: type[Picamera2]) -> None:
    with pytest.raises(SourceError, match="no camera 3, libcamera sees 1; check the ribbon cable"):
        open_source("picamera2:3")
    picamera.fail_with = RuntimeError("Failed to acquire camera: Device or resource busy")
    with pytest.raises(SourceError, match="another program holds it"):
        open_source("picamera2")
    with pytest.raises(UsageError, match="give the camera's number"):
        open_source("picamera2:front")


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("No module named 'libcamera'", "--system-site-packages"),
        ("No module named 'libcamera._libcamera'", "the system's own Python"),
        ("No module named 'pykms'", "apt install python3-kms"),
    ],
)
def test_imports_that_fail_say_how_to_mend_it(
    reason: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    real_import = __import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name == "libcamera":
            raise ImportError(reason)
        return real_import(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("builtins.__import__", refuse)
    with pytest.raises(SourceError, match=advice):
        open_source("picamera2")

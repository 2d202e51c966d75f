"""Source `picamera2` against the real Picamera2 and libcamera's virtual camera.

Runs inside the tree that `tests/device/run picamera2` makes, and is skipped elsewhere. Figures that depend
on the machine are printed, not judged.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.sources import SourceOptions
from edge_runtime.sources.demo import open_demo
from edge_runtime.sources.picamera import Picamera2Source
from tests.device import camera_contract
from tests.device.camera_contract import OPTIONS, take

if os.environ.get("EDGE_FER_VIRTUAL_CAMERA") != "1" or find_spec("libcamera") is None:
    pytest.skip("needs libcamera's virtual camera: tests/device/run picamera2", allow_module_level=True)

from tests.device.virtual_camera import RATE_HZ, SIZE_WH, Clock, describe_camera, mend

PICTURES = 4
CYCLES = 50

Picture = npt.NDArray[Any]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """What the camera plays, BGR; faces of the demo's photograph."""
    folder = tmp_path_factory.mktemp("faces")
    demo = open_demo("1", SourceOptions())
    for index in range(PICTURES):
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        assert cv2.imwrite(str(folder / f"{index}.jpg"), demo.render(20 * index), quality)
    describe_camera(folder)
    mend()
    played = [cv2.imread(str(folder / f"{index}.jpg")) for index in range(PICTURES)]
    return [picture for picture in played if picture is not None]


class RealRig:
    """libcamera's virtual camera."""

    def stall(self) -> None:
        Clock.stalled = True

    def resume(self) -> None:
        Clock.stalled = False

    def elapse(self, frames: int) -> None:
        time.sleep(frames / RATE_HZ)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        import libcamera

        camera = libcamera.CameraManager.singleton().cameras[0]
        camera.acquire()
        yield
        camera.release()


@pytest.fixture(autouse=True)
def rig(pictures: list[Picture]) -> Iterator[RealRig]:
    """Every test begins and ends with a camera that delivers."""
    Clock.stalled = False
    yield RealRig()
    Clock.stalled = False
    gc.collect()


class TestReal(camera_contract.Surface):
    """Picamera2's own behaviour."""


class TestSourceOnTheReal(camera_contract.Source):
    """Our source over it."""


def difference(picture: Picture, others: list[Picture]) -> float:
    """Mean absolute difference to the nearest of the others, gray levels."""
    return min(float(cv2.absdiff(picture, other).mean()) for other in others)


def test_luma_is_that_of_the_picture(pictures: list[Picture]) -> None:
    source = Picamera2Source(0, OPTIONS)
    frames = take(source, 24)
    source.close()
    grays = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures]
    assert frames[0][2].shape == SIZE_WH[::-1]
    assert max(difference(luma, grays) for _, _, luma, _, _ in frames) < 3
    assert all(difference(gray, [frame[2] for frame in frames]) < 3 for gray in grays[:2])


def test_color_is_that_of_the_picture(pictures: list[Picture]) -> None:
    source = Picamera2Source(0, SourceOptions(rate_hz=RATE_HZ, color=True))
    ((_, _, _, bgr, _),) = take(source, 1)
    source.close()
    assert bgr is not None
    assert difference(bgr, pictures) < 6


def test_thirty_frames_a_second_and_their_age() -> None:
    source = Picamera2Source(0, OPTIONS)
    frames = source.frames()
    taken, ages_ms = [], []
    for frame in frames:
        ages_ms.append((time.monotonic_ns() - frame.t_capture_ns) / 1e6)
        taken.append((frame.index, frame.dropped, frame.t_capture_ns))
        del frame
        if len(taken) == 120:
            break
    frames.close()  # type: ignore[attr-defined]
    source.close()
    indices, dropped, stamps = zip(*taken, strict=True)
    intervals_ms = np.diff(stamps) / np.diff(indices) / 1e6
    # Of the camera's own clock, so that a busy machine does not decide.
    assert np.median(intervals_ms) == pytest.approx(1000 / RATE_HZ, rel=0.1)
    assert min(ages_ms) >= 0
    p50, p95 = np.percentile(ages_ms, [50, 95])
    said = f"{1000 / np.median(intervals_ms):.1f} frames/s, {dropped[-1]} of {indices[-1] + 1} dropped"
    print(f"\n{said}, age p50 {p50:.1f} ms, p95 {p95:.1f} ms")


def test_open_and_close_leak_nothing() -> None:
    def cycles(count: int) -> tuple[int, int]:
        for _ in range(count):
            source = Picamera2Source(0, OPTIONS)
            take(source, 1)
            source.close()
            del source
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return sum(1 for _ in Path("/proc/self/fd").iterdir()), pages * os.sysconf("SC_PAGE_SIZE") >> 10

    files_before, kb_before = cycles(5)
    files, kb = cycles(CYCLES)
    print(f"\n{CYCLES} cycles: {files - files_before:+d} files, {kb - kb_before:+d} kB resident")
    assert files <= files_before
    assert kb - kb_before < 12 << 10


def test_the_double_has_no_more_than_the_real_one() -> None:
    import picamera2

    from tests.edge_runtime.sources import picamera_double as double

    pairs = ((double.Picamera2, picamera2.Picamera2), (double.Request, picamera2.CompletedRequest))
    for pretended, real in pairs:
        methods = {name: value for name, value in vars(pretended).items() if not name.startswith("_")}
        methods = {name: value for name, value in methods.items() if inspect.isroutine(value)}
        assert methods
        for name in methods:
            wanted = inspect.signature(getattr(pretended, name)).parameters
            assert wanted.keys() <= inspect.signature(getattr(real, name)).parameters.keys(), name
    mapped = inspect.signature(picamera2.MappedArray).parameters
    assert list(inspect.signature(double.MappedArray).parameters) == list(mapped)


def test_edge_fer_run_finds_the_face(capsys: pytest.CaptureFixture[str]) -> None:
    from edge_runtime.__main__ import main

    status = main(["run", "--source", "picamera2", "--max-frames", "20", "--sink", "jsonl"])
    out, err = capsys.readouterr()
    assert status == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) == 20
    assert sum(bool(record["faces"]) for record in records) >= 15

"""Source `picamera2` against the real Picamera2 and libcamera's virtual camera.

Runs inside the tree that `tests/device/run picamera2` makes, and is skipped elsewhere. Figures that depend
on the machine are printed, not judged.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.errors import SourceError, SourceStalledError
from edge_runtime.sources import SourceOptions
from edge_runtime.sources.demo import open_demo

if os.environ.get("EDGE_FER_VIRTUAL_CAMERA") != "1" or find_spec("libcamera") is None:
    pytest.skip("needs libcamera's virtual camera: tests/device/run picamera2", allow_module_level=True)

from tests.device.virtual_camera import RATE_HZ, SIZE_WH, Clock, describe_camera, mend

PICTURES = 4
CYCLES = 50
OPTIONS = SourceOptions(rate_hz=RATE_HZ, stall_timeout_s=1.0)

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


@pytest.fixture(autouse=True)
def plugged_in(pictures: list[Picture]) -> Iterator[None]:
    """Every test begins and ends with a camera that delivers."""
    Clock.stalled = False
    yield
    Clock.stalled = False
    gc.collect()


def open_camera(options: SourceOptions = OPTIONS) -> Any:
    from edge_runtime.sources.picamera import Picamera2Source

    return Picamera2Source(0, options)


def take(source: Any, count: int) -> list[tuple[int, int, Picture, Picture | None, float]]:
    """(index, dropped, luma, bgr, age in ms) of the next frames, copied."""
    taken = []
    frames = source.frames()
    for frame in frames:
        age_ms = (time.monotonic_ns() - frame.t_capture_ns) / 1e6
        bgr = None if frame.bgr is None else frame.bgr.copy()
        taken.append((frame.index, frame.dropped, frame.luma.copy(), bgr, age_ms))
        del frame
        if len(taken) == count:
            break
    frames.close()
    return taken


def difference(picture: Picture, others: list[Picture]) -> float:
    """Mean absolute difference to the nearest of the others, gray levels."""
    return min(float(cv2.absdiff(picture, other).mean()) for other in others)


def test_luma_is_that_of_the_picture(pictures: list[Picture]) -> None:
    source = open_camera()
    frames = take(source, 24)
    source.close()
    grays = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures]
    assert frames[0][2].shape == SIZE_WH[::-1]
    assert max(difference(luma, grays) for _, _, luma, _, _ in frames) < 3
    assert all(difference(gray, [frame[2] for frame in frames]) < 3 for gray in grays[:2])


def test_color_is_that_of_the_picture(pictures: list[Picture]) -> None:
    source = open_camera(SourceOptions(rate_hz=RATE_HZ, color=True))
    ((_, _, _, bgr, _),) = take(source, 1)
    source.close()
    assert bgr is not None
    assert difference(bgr, pictures) < 6


def test_frames_are_numbered_and_their_age_is_known() -> None:
    source = open_camera()
    started_s = time.monotonic()
    frames = take(source, 90)
    rate_hz = 90 / (time.monotonic() - started_s)
    source.close()
    indices = [index for index, *_ in frames]
    assert indices == sorted(set(indices))
    assert all(index == position + dropped for position, (index, dropped, *_) in enumerate(frames))
    ages_ms = np.array([age_ms for *_, age_ms in frames])
    assert (ages_ms >= 0).all()
    p50, p95 = np.percentile(ages_ms, [50, 95])
    print(
        f"\n{rate_hz:.1f} frames/s taken, {frames[-1][1]} dropped, age p50 {p50:.1f} ms, p95 {p95:.1f} ms"
    )


def test_stall_is_told_and_the_camera_opens_again() -> None:
    source = open_camera()
    take(source, 3)
    Clock.stalled = True
    # Requests that are already with the camera may still arrive.
    with pytest.raises(SourceStalledError, match="no frame for 1 s"):
        take(source, 10)
    source.close()
    Clock.stalled = False
    again = open_camera()
    assert len(take(again, 5)) == 5
    again.close()


def test_run_goes_on_after_a_stall() -> None:
    from edge_runtime.sources.picamera import open_picamera2

    source = open_picamera2("0", OPTIONS)
    frames = source.frames()
    before = [next(frames).index for _ in range(5)]
    Clock.stalled = True
    threading.Timer(2.0, setattr, (Clock, "stalled", False)).start()
    after = [next(frames).index for _ in range(15)]
    frames.close()  # type: ignore[attr-defined]
    source.close()
    assert [*before, *after] == sorted({*before, *after})


def test_busy_camera_is_told() -> None:
    import libcamera

    camera = libcamera.CameraManager.singleton().cameras[0]
    camera.acquire()
    try:
        with pytest.raises(SourceError, match="another program holds it"):
            open_camera()
    finally:
        camera.release()


def test_absent_camera_is_told() -> None:
    from edge_runtime.sources.picamera import open_picamera2

    with pytest.raises(SourceError, match="no camera 3, libcamera sees 1"):
        open_picamera2("3", OPTIONS)


def test_stop_during_a_pending_capture() -> None:
    source = open_camera(SourceOptions(rate_hz=RATE_HZ, stall_timeout_s=30.0))
    take(source, 2)
    Clock.stalled = True
    ended: list[BaseException | None] = []

    def wait() -> None:
        try:
            take(source, 50)
        except BaseException as error:
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    time.sleep(0.5)
    source.close()
    thread.join(10)
    assert not thread.is_alive(), "the capture did not end"
    assert ended[0] is None or isinstance(ended[0], SourceError), repr(ended[0])


def test_open_and_close_leak_nothing() -> None:
    def cycles(count: int) -> tuple[int, int]:
        for _ in range(count):
            source = open_camera()
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
        methods = {name for name, value in vars(pretended).items() if inspect.isroutine(value)}
        missing = {name for name in methods if not hasattr(real, name)}
        assert methods
        assert not missing
    assert "wait" in inspect.signature(picamera2.Picamera2.capture_request).parameters
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

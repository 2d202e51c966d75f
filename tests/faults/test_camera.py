"""The camera breaks in every way, while edge-fer watches it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.camera import Camera
from tests.faults.conftest import TIMEOUT_S, Running, Starter, lines, records


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    folder = tmp_path / "bus"
    folder.mkdir()
    return Camera(folder)


def watch(start: Starter, camera: Camera, tiny: str, out: Path, *more: str) -> Running:
    settings = out.with_suffix(".toml")
    settings.write_text("[source]\nstall_timeout_s = 0.3\nreopen_tries = 1000\n")
    running = start(
        str(camera.folder),
        *("run", "--config", str(settings), "--source", f"v4l2:{camera.device}", "--model", tiny),
        *("--sink", f"jsonl+:{out}", "--detector", "none", *more),
        module="tests.faults.camera",
    )
    running.wait_until(lambda: lines(out) > 3)
    return running


def check_ended_well(running: Running, out: Path) -> None:
    """SIGTERM ends it with status 0; nothing was lost, doubled or swapped, and there was no traceback."""
    assert running.end() == 0, running.log
    assert "Traceback" not in running.log
    found = records(out)
    numbers = [record["frame"] for record in found]
    assert numbers == sorted(set(numbers))
    # Whatever is not in the file was dropped for a newer frame, and counted.
    assert numbers[-1] + 1 - len(numbers) == found[-1]["dropped"] - found[0]["dropped"] + numbers[0]


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [
        ("unplugged", "it ended or was unplugged"),
        ("stalled", "no frame for 0.3 s"),
        ("garbage", "no pictures that can be decoded"),
        ("error", "it cannot be read (ValueError: the driver has lost its way)"),
    ],
)
def test_a_camera_that_fails_is_opened_again(
    start: Starter, camera: Camera, tiny: str, tmp_path: Path, mode: str, complaint: str
) -> None:
    out = tmp_path / "out.jsonl"
    running = watch(start, camera, tiny, out)
    camera.set(mode)
    running.wait_for_log(f"{complaint}")
    seen = lines(out)
    camera.set("ok")
    running.wait_until(lambda: lines(out) > seen + 3)
    check_ended_well(running, out)
    first = next(line for line in running.log.splitlines() if complaint in line)
    assert first.startswith("edge-fer: WARNING: camera ")
    assert "opening it again (1 of 1000)" in first


def test_another_size_goes_on_without_a_word(
    start: Starter, camera: Camera, tiny: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    running = watch(start, camera, tiny, out)
    for size in ("320x240", "1280x720", "16x16"):
        camera.set(size)
        wanted = f'"box":[0,0,{size.replace("x", ",")}]'
        running.wait_until(lambda wanted=wanted: wanted in out.read_text())
    check_ended_well(running, out)
    assert "WARNING" not in running.log


@pytest.mark.parametrize("detector", ["haar", "edge"])
def test_detectors_take_noise_and_another_size(
    start: Starter, camera: Camera, tiny: str, tmp_path: Path, detector: str
) -> None:
    out = tmp_path / "out.jsonl"
    running = watch(start, camera, tiny, out, "--detector", detector)
    for mode in ("noise", "16x16", "1280x720", "33x470"):
        camera.set(mode)
        seen = lines(out)
        running.wait_until(lambda seen=seen: lines(out) > seen + 4)
    check_ended_well(running, out)


def test_a_camera_that_does_not_come_back_is_one_error(
    start: Starter, camera: Camera, tiny: str, tmp_path: Path
) -> None:
    out, settings = tmp_path / "out.jsonl", tmp_path / "few.toml"
    settings.write_text("[source]\nreopen_tries = 2\n")
    running = watch(start, camera, tiny, out, "--config", str(settings))
    camera.set("unplugged")
    assert running.process.wait(TIMEOUT_S) == 1
    errors = [line for line in running.log.splitlines() if line.startswith("edge-fer: error:")]
    assert len(errors) == 1
    assert "no camera" in errors[0]
    assert "edge-fer sources" in errors[0]
    assert "Traceback" not in running.log
    records(out)


def test_a_second_instance_is_told_who_has_the_camera(
    start: Starter, camera: Camera, tiny: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    first = watch(start, camera, tiny, out)
    # By another name of the same device.
    link = tmp_path / "by-id"
    link.symlink_to(camera.device)
    second = start(
        str(camera.folder), "run", "--source", f"v4l2:{link}", "--model", tiny, module="tests.faults.camera"
    )
    assert second.process.wait(TIMEOUT_S) == 1
    (error,) = [line for line in second.log.splitlines() if line.startswith("edge-fer:")]
    assert "another edge-fer uses this camera" in error
    seen = lines(out)
    first.wait_until(lambda: lines(out) > seen + 3)
    first.kill()
    # A process that was killed holds nothing.
    again = watch(start, camera, tiny, tmp_path / "again.jsonl")
    check_ended_well(again, tmp_path / "again.jsonl")

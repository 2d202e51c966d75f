"""A watched folder: whole pictures once each, in order, through slow writers, bad files and restarts."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.sources import SourceOptions, is_live, open_source
from edge_runtime.sources.base import FrameSource


def wait_for(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def png(level: int = 100) -> bytes:
    return cv2.imencode(".png", np.full((48, 64), level, np.uint8))[1].tobytes()


class Watcher:
    """Consumes a source in a thread and keeps the pictures' names and levels."""

    def __init__(self, source: FrameSource) -> None:
        self.seen: list[tuple[str, int]] = []
        self._source = source
        self._thread = threading.Thread(target=self._consume)
        self._thread.start()

    def _consume(self) -> None:
        for frame in self._source.frames():
            self.seen.append((Path(frame.name).name, int(frame.luma[0, 0])))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]

    def stop(self) -> None:
        self._source.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


class Looks:
    """Counts the looks that found nothing to do, which is what a watchdog is told."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1

    def pass_by(self, count: int = 4) -> None:
        wanted = self.count + count
        wait_for(lambda: self.count >= wanted)


@pytest.fixture
def looks() -> Looks:
    return Looks()


Watch = Callable[..., Watcher]


@pytest.fixture
def watch(tmp_path: Path, looks: Looks) -> Iterator[Watch]:
    """Opens the folder, watched every 20 ms."""
    watchers = []

    def start(options: str = "") -> Watcher:
        name = f"folder:{tmp_path},watch=0.02{options}"
        watchers.append(Watcher(open_source(name, SourceOptions(alive=looks))))
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.stop()


def put(path: Path, data: bytes, time_s: float) -> None:
    """Write beside, stamp, and rename, as a careful program does."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(data)
    os.utime(beside, (time_s, time_s))
    beside.rename(path)


def test_what_is_there_comes_first_and_by_time(tmp_path: Path, watch: Watch, looks: Looks) -> None:
    put(tmp_path / "b.png", png(), 1000)
    put(tmp_path / "a.png", png(), 2000)
    put(tmp_path / "c.png", png(), 1000)
    watcher = watch()
    wait_for(lambda: len(watcher.seen) == 3)
    put(tmp_path / "0.png", png(), 500)
    wait_for(lambda: len(watcher.seen) == 4)
    looks.pass_by()
    assert watcher.names == ["b.png", "c.png", "a.png", "0.png"]


def test_picture_that_is_being_written_is_taken_once_when_it_is_whole(
    tmp_path: Path, watch: Watch, looks: Looks
) -> None:
    watcher = watch()
    data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))[1].tobytes()
    with (tmp_path / "slow.png").open("wb", buffering=0) as file:
        for start in range(0, len(data), 64):
            file.write(data[start : start + 64])
            time.sleep(0.002)
    wait_for(lambda: len(watcher.seen) == 1)
    looks.pass_by()
    assert watcher.names == ["slow.png"]


def test_writer_that_pauses_is_taken_up_again(
    tmp_path: Path, watch: Watch, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = watch()
    with (tmp_path / "slow.png").open("wb", buffering=0) as file:
        file.write(png()[:60])
        looks.pass_by()
        assert watcher.seen == []
        file.write(png()[60:])
    wait_for(lambda: watcher.names == ["slow.png"])
    assert caplog.text.count("skipped") == 1


def test_corrupt_file_is_one_line(
    tmp_path: Path, watch: Watch, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    watcher = watch()
    looks.pass_by()
    put(tmp_path / "good.png", png(), 1000)
    wait_for(lambda: watcher.names == ["good.png"])
    looks.pass_by()
    assert [line.getMessage().count("bad.png") for line in caplog.records] == [1]


def test_other_files_and_empty_ones_are_left_alone(tmp_path: Path, watch: Watch, looks: Looks) -> None:
    for name in (".hidden.png", "notes.txt", "half.png.part"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "hanging.png").symlink_to(tmp_path / "nowhere.png")
    watcher = watch()
    looks.pass_by()
    assert watcher.seen == []


def test_replaced_picture_is_a_new_one(tmp_path: Path, watch: Watch, looks: Looks) -> None:
    put(tmp_path / "latest.png", png(10), 1000)
    watcher = watch()
    wait_for(lambda: len(watcher.seen) == 1)
    looks.pass_by()
    put(tmp_path / "latest.png", png(20), 1000)
    wait_for(lambda: len(watcher.seen) == 2)
    looks.pass_by()
    assert watcher.seen == [("latest.png", 10), ("latest.png", 20)]


def test_restart_goes_on_where_it_was(tmp_path: Path, watch: Watch, looks: Looks) -> None:
    for n in range(3):
        put(tmp_path / f"{n}.png", png(), 1000 + n)
    first = watch(",done=seen")
    wait_for(lambda: len(first.seen) == 3)
    looks.pass_by()
    first.stop()
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["0.png", "1.png", "2.png"]
    put(tmp_path / "0.png", png(), 2000)
    second = watch(",done=seen")
    wait_for(lambda: second.names == ["0.png"])
    looks.pass_by()
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        "0-1.png",
        "0.png",
        "1.png",
        "2.png",
    ]


def test_picture_stays_until_its_results_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_runtime.sources.watched.ASK_EVERY_S", 0.001)
    for n in range(2):
        put(tmp_path / f"{n}.png", png(), 1000 + n)
    in_folder, heard = [], Looks()

    def delivered() -> bool:
        in_folder.append(sorted(path.name for path in tmp_path.glob("*.png")))
        return len(in_folder) >= 3

    options = SourceOptions(delivered=delivered, alive=heard)
    source = open_source(f"folder:{tmp_path},watch=0.01,done=seen", options)
    frames = source.frames()
    assert Path(next(frames).name).name == "0.png"
    before = heard.count
    assert Path(next(frames).name).name == "1.png"
    assert in_folder == [["0.png", "1.png"]] * 3
    assert heard.count == before + 2
    assert [path.name for path in (tmp_path / "seen").iterdir()] == ["0.png"]
    in_folder.clear()
    source.close()
    assert list(frames) == []
    assert (tmp_path / "1.png").exists()


def test_pictures_that_take_long_do_not_make_the_looks_rarer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "0.png", png(), 1000)
    clock, pauses_s = [0.0], []
    monkeypatch.setattr("edge_runtime.sources.watched.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def pause(closed: threading.Event, seconds: float, alive: object) -> bool:
        pauses_s.append(seconds)
        if len(pauses_s) == 3:
            source.close()
        return closed.is_set()

    monkeypatch.setattr("edge_runtime.sources.watched.pause", pause)
    source = open_source(f"folder:{tmp_path},watch=0.5")
    for _ in source.frames():
        clock[0] += 300
    assert pauses_s == [0.5] * 3


def test_without_done_a_restart_takes_them_again(tmp_path: Path, watch: Watch) -> None:
    put(tmp_path / "0.png", png(), 1000)
    for _ in range(2):
        watcher = watch()
        wait_for(lambda watcher=watcher: watcher.names == ["0.png"])
        watcher.stop()


def test_folder_that_vanishes_is_waited_for(
    tmp_path: Path, watch: Watch, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = watch()
    away = tmp_path.with_name(f"{tmp_path.name}-away")
    tmp_path.rename(away)
    looks.pass_by()
    put(away / "0.png", png(), 1000)
    away.rename(tmp_path)
    wait_for(lambda: watcher.names == ["0.png"])
    assert caplog.text.count("waiting for it") == 1


def test_which_names_are_watched(tmp_path: Path) -> None:
    put(tmp_path / "0.png", png(), 1000)
    for name, watched in (
        (str(tmp_path), False),
        (f"folder:{tmp_path}", False),
        (f"folder:{tmp_path},watch", True),
        (f"folder:{tmp_path},watch=3,done=seen", True),
    ):
        assert is_live(name) is watched
        source = open_source(name)
        assert (", watched every" in source.description) is watched
    assert is_live(str(tmp_path), watch_s=1.0)
    source = open_source(str(tmp_path), SourceOptions(watch_s=2.0))
    assert source.description.endswith("watched every 2 s")


def test_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="watch must be a number"):
        open_source(f"folder:{tmp_path},watch=0")
    with pytest.raises(UsageError, match="did you mean 'done'"):
        open_source(f"folder:{tmp_path},dome=x")
    with pytest.raises(SourceError, match="no such folder"):
        open_source(f"folder:{tmp_path}/none,watch")
    with pytest.raises(SourceError, match="cannot hold the processed pictures"):
        open_source(f"folder:{tmp_path},watch,done=.")

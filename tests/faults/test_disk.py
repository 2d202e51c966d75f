"""The disk is full, and then it is not."""

from __future__ import annotations

import json
import resource
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faults.conftest import Running, Starter, lines, records

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class FullDisk:
    """Lets a process write no more to the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, running: Running) -> None:
        raise NotImplementedError

    def free(self, running: Running) -> None:
        raise NotImplementedError


class SmallFileSystem(FullDisk):
    """A file system of 2 MB in memory, filled up with a file."""

    def fill(self, running: Running) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            for size in (65536, 1024, 64, 1):
                try:
                    while ballast.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def free(self, running: Running) -> None:
        (self.folder / "ballast").unlink()


class FileSizeLimit(FullDisk):
    """No file of the process may grow, from now on."""

    def fill(self, running: Running) -> None:
        largest = max(path.stat().st_size for path in self.folder.iterdir())
        limits = (min(largest + 100, 1 << 30), resource.RLIM_INFINITY)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limits)

    def free(self, running: Running) -> None:
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, UNLIMITED)


@pytest.fixture(params=["file system", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FullDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield FileSizeLimit(folder)
        return
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "edge-fer", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield SmallFileSystem(folder)
    subprocess.run(["umount", "-l", str(folder)], check=False)


def watch(start: Starter, tiny: str, *sinks: str) -> Running:
    options = [word for sink in sinks for word in ("--sink", sink)]
    return start(
        *("run", "--source", "demo:0", "--realtime", "--model", tiny, "--detector", "none", *options)
    )


def faces_of(log: str) -> int:
    """The number of faces of the summary, the last line of a run."""
    summary = next(line for line in log.splitlines() if " frames, " in line)
    return int(summary.partition(" dropped, ")[2].split()[0])


def test_lines_wait_for_room(start: Starter, tiny: str, disk: FullDisk) -> None:
    out = disk.folder / "out.jsonl"
    running = watch(start, tiny, f"jsonl+:{out}", "jsonl")
    running.wait_until(lambda: lines(out) > 5)
    disk.fill(running)
    running.wait_for_log("records wait in memory until it can")
    full, seen = lines(out), lines(running.out_path)
    if not isinstance(disk, FileSizeLimit):
        running.wait_until(lambda: lines(running.out_path) > seen + 40)
        assert lines(out) == full
    disk.free(running)
    running.wait_for_log("can be written again")
    running.wait_until(lambda: lines(out) > full + 5)
    assert running.end() == 0
    numbers = [record["frame"] - record["dropped"] for record in records(out)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == int(running.log.split(" frames, ")[0].split()[-1])
    warnings = [line for line in running.log.splitlines() if "WARNING" in line]
    assert len([line for line in warnings if str(out) in line]) == 2
    assert "the lines before this one are complete" in warnings[0]


def test_counts_wait_for_room(start: Starter, tiny: str, disk: FullDisk) -> None:
    database = disk.folder / "counts.db"
    running = watch(start, tiny, f"sqlite:{database}")
    running.wait_until(lambda: database.exists() and counted(database))
    disk.fill(running)
    running.wait_for_log("adding up in memory until it can be written")
    disk.free(running)
    running.wait_for_log("written again; 0 counts gave way")
    assert running.end() == 0
    assert counted(database) == faces_of(running.log) > 0
    assert running.log.count("WARNING") == 2
    assert "Traceback" not in running.log


def test_pictures_stay_in_their_folder_until_there_is_room(
    start: Starter, tiny: str, disk: FullDisk, tmp_path: Path
) -> None:
    out, pictures = disk.folder / "out.jsonl", tmp_path / "pictures"
    pictures.mkdir()
    # Less than a line's room is left in the file's last page, and the limit is more than the log needs.
    out.write_text(json.dumps({"source": "before", "padding": "-" * (resource.getpagesize() - 96)}) + "\n")
    source = f"folder:{pictures},watch=0.05,done=seen"
    running = start(
        *("run", "--source", source, "--model", tiny, "--detector", "none", "--sink", f"jsonl+:{out}")
    )
    running.wait_for_log("detector none")
    disk.fill(running)
    for name in ("0.png", "1.png"):
        cv2.imwrite(str(pictures / name), np.full((48, 64), 100, np.uint8))
    running.wait_for_log("records wait in memory until it can")
    # Long enough for both to be moved, were they moved now.
    time.sleep(1)
    assert list((pictures / "seen").iterdir()) == []
    disk.free(running)
    running.wait_until(lambda: len(list((pictures / "seen").iterdir())) == 2)
    assert running.end() == 0
    names = sorted(Path(record["source"]).name for record in records(out))
    assert names == ["0.png", "1.png", "before"]


@pytest.mark.parametrize("kind", ["jsonl+", "events"])
def test_a_disk_that_stays_full_is_said_at_the_end(start: Starter, tiny: str, kind: str) -> None:
    running = watch(start, tiny, f"{kind}:/dev/full")
    running.wait_for_log("records wait in memory")
    assert running.end() == 1
    (error,) = [line for line in running.log.splitlines() if line.startswith("edge-fer: error:")]
    assert "No space left on device" in error
    assert error.endswith("records are lost")


def counted(database: Path) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        (total,) = connection.execute("SELECT ifnull(sum(frames), 0) FROM counts").fetchone()
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()
    return int(total)

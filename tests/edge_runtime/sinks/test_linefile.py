"""Rotation: sizes and numbers hold, no line is torn or lost, and a full disk only delays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.sinks import linefile, open_sink
from edge_runtime.sinks.linefile import MB, LineFile, Rotation
from tests.edge_runtime.sinks.test_jsonl import frames_in, record

HUNDRED_BYTES = Rotation(max_mb=100 / MB, keep=3)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def write_numbers(file: LineFile, first: int, last: int) -> None:
    for n in range(first, last + 1):
        file.write_line(f"{n:09d}\n")


def test_files_are_renamed_in_order_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = LineFile(path, append=True, rotation=HUNDRED_BYTES)
    write_numbers(file, 1, 55)
    file.close()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "out.1", "out.2", "out.3"]
    kept = [line for name in ("out.3", "out.2", "out.1", "out") for line in lines(tmp_path / name)]
    assert kept == [f"{n:09d}" for n in range(21, 56)]
    assert all(item.stat().st_size <= 100 for item in tmp_path.iterdir())


def test_new_file_keeps_the_old_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for n in (1, 2):
        file = LineFile(path, append=False, rotation=HUNDRED_BYTES)
        write_numbers(file, n, n)
        file.close()
    assert lines(path) == ["000000002"]
    assert lines(tmp_path / "out.1") == ["000000001"]


def test_continued_file_counts_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for first in (1, 7):
        file = LineFile(path, append=True, rotation=HUNDRED_BYTES)
        write_numbers(file, first, first + 5)
        file.close()
    assert len(lines(tmp_path / "out.1")) == 10
    assert lines(path) == ["000000011", "000000012"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_power_cut_between_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    path = tmp_path / "out"
    file = LineFile(path, append=True, rotation=HUNDRED_BYTES)
    write_numbers(file, 1, 30)
    real = Path.replace
    done = []

    class PowerCut(BaseException):
        pass

    def replace(source: Path, target: Path) -> Path:
        if len(done) == renames:
            raise PowerCut
        done.append(target)
        return real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(PowerCut):
            write_numbers(file, 31, 31)
    again = LineFile(path, append=True, rotation=HUNDRED_BYTES)
    write_numbers(again, 31, 40)
    again.close()
    names = sorted((item.name for item in tmp_path.iterdir()), reverse=True)
    kept = [line for name in names for line in lines(tmp_path / name)]
    assert kept == [f"{n:09d}" for n in range(1, 41)]


def test_full_disk_at_the_new_file_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    file = LineFile(path, append=True, rotation=HUNDRED_BYTES)
    write_numbers(file, 1, 10)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(linefile.os, "open", full)
        for _ in range(3):
            with pytest.raises(SinkError, match="No space left"):
                write_numbers(file, 11, 11)
    write_numbers(file, 11, 12)
    file.close()
    assert len(lines(tmp_path / "out.1")) == 10
    assert lines(path) == ["000000011", "000000012"]


def test_file_that_cannot_be_renamed_grows_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "out"
    file = LineFile(path, append=True, rotation=HUNDRED_BYTES)
    write_numbers(file, 1, 10)

    def refuse(*_: object) -> Path:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        write_numbers(file, 11, 11)
    assert "cannot be rotated (Operation not permitted); it grows on" in caplog.text
    write_numbers(file, 12, 15)
    file.close()
    assert len(lines(tmp_path / "out.1")) + len(lines(path)) == 15


def test_file_that_somebody_deleted_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = LineFile(path, append=True, rotation=HUNDRED_BYTES)
    write_numbers(file, 1, 10)
    path.unlink()
    write_numbers(file, 11, 12)
    file.close()
    assert lines(path) == ["000000011", "000000012"]


def test_link_stays_and_what_it_points_at_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "card" / "real")
    file = LineFile(link, append=True, rotation=HUNDRED_BYTES)
    write_numbers(file, 1, 11)
    file.close()
    assert link.is_symlink()
    assert sorted(item.name for item in (tmp_path / "card").iterdir()) == ["real", "real.1"]


def test_device_is_never_renamed() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    sink = open_sink("jsonl+:/dev/null,max_mb=0.0001")
    for n in range(5):
        sink.write(record(n))
    sink.close()
    assert Path("/dev/null").is_char_device()


def test_options_of_the_name_go_before_those_of_the_file(tmp_path: Path) -> None:
    size = len(linefile_line())
    sink = open_sink(f"jsonl+:{tmp_path}/a,keep=1", rotation={"max_mb": 2.5 * size / MB, "keep": 9})
    for n in range(10, 20):
        sink.write(record(n))
    sink.close()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "a.1"]
    assert frames_in(tmp_path / "a.1") + frames_in(tmp_path / "a") == [16, 17, 18, 19]


def linefile_line() -> str:
    from edge_runtime.sinks.jsonl import to_line

    return to_line(record(10))


@pytest.mark.parametrize("options", ["max_mb=-1", "max_mb=x", "keep=0", "keeep=1"])
def test_wrong_options_are_usage(tmp_path: Path, options: str) -> None:
    with pytest.raises(UsageError):
        open_sink(f"jsonl:{tmp_path}/a,{options}")
    assert not list(tmp_path.iterdir())

"""Files appear whole or not at all, and a failure is one line."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import DataError
from train.files import FULL, write_atomically, write_text


def full_disk(path: Path) -> None:
    path.write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk_of_h5py(path: Path) -> None:
    path.write_text("half")
    print("RuntimeError: Can't decrement id ref count", file=sys.stderr)
    raise RuntimeError(f"Can't close file (file write failed: errno = 28, error message = '{FULL}')")


@pytest.mark.parametrize("write", [full_disk, full_disk_of_h5py])
def test_full_disk_leaves_what_was_there(
    tmp_path: Path, write: object, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.txt"
    write_text(path, "before")
    with pytest.raises(DataError, match=rf"result.txt: cannot be written \({FULL}\)$"):
        write_atomically(path, write)  # type: ignore[arg-type]
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["result.txt"]
    assert capsys.readouterr().err == ""


def test_other_errors_and_lines_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def speak(path: Path) -> None:
        path.write_text("whole")
        print("a word", file=sys.stderr)

    write_atomically(tmp_path / "result.txt", speak)
    assert capsys.readouterr().err == "a word\n"

    def fail(path: Path) -> None:
        path.write_text("half")
        print("its reason", file=sys.stderr)
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        write_atomically(tmp_path / "result.txt", fail)
    assert capsys.readouterr().err == "its reason\n"
    assert (tmp_path / "result.txt").read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["result.txt"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_text(tmp_path / "run" / "result.txt", "text")

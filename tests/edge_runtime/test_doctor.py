"""doctor: each line says ok, warn or fail, and a failing one says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest

from edge_runtime import doctor
from edge_runtime.__main__ import main


@pytest.fixture
def models(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of released models with one sound model."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(tiny_model, folder / "tiny.tflite")
    monkeypatch.setattr(doctor, "MODELS_DIR", folder)
    return folder


def by_name(name: str) -> doctor.Check:
    (found,) = [check for check in doctor.examine() if check.name == name]
    return found


def test_sound_environment_passes(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--format", "json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["model tiny on litert"]["status"] == "ok"
    assert checks["opencv"]["status"] == "ok"
    assert {check["status"] for check in checks.values()} <= {"ok", "warn"}
    assert main(["doctor"]) == 0
    assert "ok    python: 3." in capsys.readouterr().out


def test_damaged_model_fails(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = models / "tiny.tflite"
    path.write_bytes(path.read_bytes()[:-50])
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "fail  model tiny on litert" in out
    assert "fix: reinstall edge-fer" in out


def test_missing_models_fail(models: Path) -> None:
    (models / "tiny.tflite").unlink()
    assert by_name("models").status == "fail"


def test_opencv_without_cascades_is_told(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    check = by_name("opencv")
    assert check.status == "warn"
    assert "detector haar is not available" in check.found
    assert check.fix


def test_throttle_flags_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    flags = tmp_path / "get_throttled"
    monkeypatch.setattr(doctor, "THROTTLED", flags)
    flags.write_text("0\n")
    assert by_name("power").status == "ok"
    flags.write_text("50005\n")
    check = by_name("power")
    assert check.status == "warn"
    assert check.found == "under-voltage now, throttled now, under-voltage since boot, throttled since boot"


def test_clock_of_a_board_without_battery(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)
    assert by_name("clock").status == "warn"


def test_a_check_that_breaks_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, models: Path
) -> None:
    def broken(path: str) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(doctor.shutil, "disk_usage", broken)
    check = by_name("disk")
    assert check.status == "fail"
    assert "no disk" in check.found
    assert by_name("clock").status == "ok"


def test_32_bit_python_on_a_64_bit_kernel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "machine", lambda: "aarch64")
    assert by_name("system").status == "ok"
    monkeypatch.setattr(doctor.sys, "maxsize", 2**31 - 1)
    check = by_name("system")
    assert check.status == "warn"
    assert "32-bit Python" in check.found
    assert "64-bit system" in check.fix

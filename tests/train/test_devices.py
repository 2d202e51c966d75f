"""Data parallelism on two virtual CPU devices, in a process of its own on the JAX backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.support import RECIPE, faces, write_npz, write_recipe

pytest.importorskip("keras")

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]


def fit(folder: Path, backend: str, devices: int, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"},
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-m", "train", "fit", "--recipe", str(folder / "tiny.toml")]
    command += ["--data", str(folder / "faces.npz"), "--epochs", "1", *more]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_npz(tmp_path / "faces.npz", faces())
    # Dropout draws per device, so that only without it one device and two compute the same.
    write_recipe(tmp_path / "tiny.toml", RECIPE.replace("dropout = 0.3", "dropout = 0.0"))
    return tmp_path


def test_other_backends_are_refused(place: Path) -> None:
    pytest.importorskip("tensorflow")
    result = fit(place, "tensorflow", 2, "--out", str(place / "run"), "--data-parallel")
    assert result.returncode == 2
    # One line, without TensorFlow's greetings before it.
    assert result.stderr.startswith("train: error: --data-parallel needs Keras on JAX")
    assert result.stderr.count("\n") == 1


def test_two_devices_compute_what_one_does(place: Path) -> None:
    pytest.importorskip("jax")
    import json

    one = fit(place, "jax", 1, "--out", str(place / "one"))
    two = fit(place, "jax", 2, "--out", str(place / "two"), "--data-parallel")
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert "divided among 2 devices" in two.stderr
    rows = [json.loads((place / run / "history.json").read_text())[0] for run in ("one", "two")]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-3)
    alone = fit(place, "jax", 1, "--out", str(place / "alone"), "--data-parallel")
    assert alone.returncode == 1
    assert "found one device" in alone.stderr

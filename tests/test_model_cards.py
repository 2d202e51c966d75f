"""The figures in a released model's card are those of the file beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.classifier import MODELS_DIR
from edge_runtime.modelfile import read_tflite

FER2013 = Path(__file__).resolve().parents[2] / "shared" / "data"
MODELS = sorted(MODELS_DIR.glob("*.tflite"))
CLASSIFIERS = [path for path in MODELS if read_tflite(path).contract.task != "detect"]


@pytest.fixture(params=MODELS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_every_released_model_has_a_card_that_names_its_digest(model: Path) -> None:
    card = model.with_suffix(".md").read_text(encoding="utf-8")

    assert read_tflite(model).sha256 in card
    assert f"{model.stat().st_size:,} bytes" in card


@pytest.mark.data
@pytest.mark.skipif(not FER2013.exists(), reason="no FER2013 in ../shared/data")
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda path: path.stem)
def test_card_states_what_the_benchmark_measures(model: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "accuracy", "--model", str(model)]
    options = ["--data", str(FER2013), "--split", "PublicTest", "--format", "json", "--backend", "litert"]
    done = subprocess.run(command + options, check=True, capture_output=True, text=True)
    (result,) = json.loads(done.stdout)
    card = model.with_suffix(".md").read_text(encoding="utf-8")

    rows = {
        "top-1": result,
        "top-1 without copies of training images": result["leak_free"],
        "top-1 against the FER+ majority": result["ferplus"],
    }
    for name, figures in rows.items():
        assert f"| {name} | {_accuracy(figures)} |" in card
    for name, key in (("balanced accuracy", "balanced_accuracy"), ("macro F1", "macro_f1"), ("ECE", "ece")):
        assert f"| {name} | {100 * result[key]:.2f} % |" in card


def _accuracy(figures: dict[str, Any]) -> str:
    low, high = (100 * bound for bound in figures["top1_interval"])
    return f"{100 * figures['top1']:.2f} % [{low:.2f}, {high:.2f}], n = {figures['n']}"

"""Every architecture of `train` converts to every format and computes what Keras computes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.convert.architectures import CASES, DETECTORS, FORMATS, examine
from train.models import architecture_names

RECORD = Path(__file__).parents[2] / "docs" / "conversion" / "architectures.json"
LARGE = ("cnn_4block", "cnn_baseline", "cnn_csv", "face_resnet", "resnet50", "resnet50v2", "vgg16")
"""Minutes each, or like one of the others; examined where EDGE_FER_LONG=1 is set."""
pytestmark = pytest.mark.host


def test_no_architecture_is_forgotten() -> None:
    assert sorted([*CASES, *DETECTORS]) == architecture_names()
    recorded = json.loads(RECORD.read_text())
    assert {item["architecture"] for item in recorded["architectures"]} == set(CASES)
    assert all(item["tflite_runtime"] for item in recorded["architectures"])
    assert recorded["formats"] == list(FORMATS)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", CASES)
def test_it_converts_to_every_format_and_computes_as_keras(tensorflow: Any, architecture: str) -> None:
    pytest.importorskip("tf2onnx")
    if architecture in LARGE and os.environ.get("EDGE_FER_LONG") != "1":
        pytest.skip("long; set EDGE_FER_LONG=1")
    found = examine(architecture)
    recorded = {item["architecture"]: item for item in json.loads(RECORD.read_text())["architectures"]}
    for name, done in found["formats"].items():
        exact = name.endswith("float32")
        assert done["deviation"] < (1e-4 if exact else 0.15), name
        wanted = recorded[architecture]["formats"][name]
        assert (done["pieces"], done["outside"]) == (wanted["pieces"], wanted["outside"]), name

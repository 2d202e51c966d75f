"""`convert all`: every format, the table, the page; counts of computation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convert.__main__ import main
from convert.cost import count_cost
from convert.page import page
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite
from edge_runtime.classifier import Classifier, self_test

FORMATS = ["float32", "float16", "dynamic", "int8", "int16x8", "onnx-float32", "onnx-int8"]


@pytest.mark.host
def test_every_format_is_written_and_runs(
    tensorflow: Any, keras_file: Path, data_file: Path, tmp_path: Path, capsys: Any
) -> None:
    pytest.importorskip("tf2onnx")
    arguments = ["all", str(keras_file), "--data", str(data_file), "--out", str(tmp_path)]
    options = ["--calibration-images", "40", "--min-agreement", "0.9", "--format", "json"]
    assert main([*arguments, *options]) == 0
    said = capsys.readouterr()
    assert "warning: int16x8: XNNPACK runs nothing of this graph" in said.err
    rows = json.loads(said.out)
    assert [row["format"] for row in rows] == FORMATS
    for row in rows:
        classifier = Classifier.load(tmp_path / row["file"])
        self_test(classifier)
        assert row["size_bytes"] == (tmp_path / row["file"]).stat().st_size
        assert row["cpu_ms"] > 0
    document = json.loads((tmp_path / "report-tiny.json").read_text())
    html = (tmp_path / "report-tiny.html").read_text()
    assert all(f">{name}</td>" in html for name in FORMATS)
    lost = html.split("Where precision is lost")[1]
    assert all(f">{layer['name']}</td>" in lost for row in rows for layer in row["worst_layers"])
    # The bias of the last layer is zero, and the converter leaves it out.
    assert document["parameters"] == 8 * 9 + 8 + 12 * 72 + 12 + 12 * 108 + 12 + 12 * 7
    assert len(list(tmp_path.iterdir())) == len(FORMATS) + 2


@pytest.mark.host
def test_computation_is_counted_as_by_hand(source: SourceModel) -> None:
    cost = count_cost(convert_tflite(source, Recipe("float32"), None))
    assert cost.macs == 24 * 24 * 8 * 9 + 12 * 12 * 12 * 72 + 6 * 6 * 12 * 108 + 12 * 7


def test_a_format_that_failed_keeps_its_reason_on_the_page() -> None:
    failed = {"format": "int8", "cpu_ms": None, "reason": "agreement <b>low</b>"}
    html = page(
        {
            "model": "m",
            "task": "softmax",
            "macs": 1,
            "parameters": 1,
            "split": "test",
            "images": 3,
            "formats": [failed],
        }
    )
    assert 'colspan="5">not written: agreement &lt;b&gt;low&lt;/b&gt;' in html
    assert "<svg" not in html

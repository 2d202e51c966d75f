"""The document's tables are those of its records, and the records are of the released model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from convert.__main__ import main
from convert.tables import FORMATS_NAME, TABLES, fill
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import read_tflite

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "conversion.md"
RECORD = DOCUMENT.with_suffix("") / FORMATS_NAME


def test_the_published_tables_match_the_published_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(DOCUMENT), "--check"]) == 0, capsys.readouterr().err
    assert all(f"<!-- generated: {name} -->" in DOCUMENT.read_text() for name in TABLES)


def test_the_record_is_of_the_released_model() -> None:
    report = json.loads(RECORD.read_text())
    released = read_tflite(ROOT / "edge_runtime" / "models" / f"{report['model']}.tflite")
    assert report["source_sha256"] == released.contract.producer["source_sha256"]
    assert all(item["file"] for item in report["formats"])
    runtimes = {p["backend"].split()[0] for item in report["formats"] for p in (item, *item["elsewhere"])}
    assert runtimes == {"ai-edge-litert", "tflite-runtime", "onnxruntime"}


def test_a_figure_changed_by_hand_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.md"
    document.write_text("<!-- generated: formats -->\nold\n<!-- end -->\n")
    (tmp_path / "doc").mkdir()
    shutil.copy(RECORD, tmp_path / "doc")
    assert main(["tables", str(document), "--check"]) == 1
    assert "does not match" in capsys.readouterr().err
    assert main(["tables", str(document)]) == 0
    assert main(["tables", str(document), "--check"]) == 0
    size = json.loads(RECORD.read_text())["formats"][0]["size_bytes"]
    text = document.read_text()
    assert f"{size:,}" in text
    document.write_text(text.replace(f"{size:,}", "1"))
    assert main(["tables", str(document), "--check"]) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"formats": [{}]}'])
def test_a_damaged_record_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / FORMATS_NAME).write_text(content)
    with pytest.raises(ContractError, match="not a record of this program") as caught:
        fill("<!-- generated: formats -->\n<!-- end -->", tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="unknown table 'wishes'"):
        fill("<!-- generated: wishes -->\n<!-- end -->", tmp_path)
    with pytest.raises(ContractError, match="no block"):
        fill("nothing here", tmp_path)

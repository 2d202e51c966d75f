"""The document's tables are those of its records, and the records are of the released models."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from convert.__main__ import main
from convert.tables import TABLES, fill, record_name
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import read_tflite
from tests.convert.test_everything import FORMATS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "conversion.md"
RECORDS = DOCUMENT.with_suffix("")
RELEASED = sorted((ROOT / "edge_runtime" / "models").glob("*.tflite"))


def test_the_published_tables_match_the_published_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(DOCUMENT), "--check"]) == 0, capsys.readouterr().err
    assert all(f"<!-- generated: {name} -->" in DOCUMENT.read_text() for name in TABLES)


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_every_released_model_is_verified_in_all_formats_on_all_runtimes(path: Path) -> None:
    contract = read_tflite(path).contract
    report = json.loads((RECORDS / record_name({"model": path.stem, "task": contract.task})).read_text())
    assert report["source_sha256"] == contract.producer["source_sha256"]
    assert [item["format"] for item in report["formats"] if item["file"]] == FORMATS
    for item in report["formats"]:
        runtimes = {parity["backend"].split()[0] for parity in (item, *item["elsewhere"])}
        onnx = item["format"].startswith("onnx")
        assert runtimes == ({"onnxruntime"} if onnx else {"ai-edge-litert", "tflite-runtime"})
        if item["format"] == "int8":
            # What was calibrated anew since has another contract and the same graph.
            released = hashlib.sha256(path.read_bytes()).hexdigest()
            assert item["sha256"] == contract.producer.get("calibrated_from_sha256", released)


def test_a_figure_changed_by_hand_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "doc.md"
    document.write_text("<!-- generated: formats -->\nold\n<!-- end -->\n")
    (tmp_path / "doc").mkdir()
    record = next(RECORDS.glob("classifier-*.json"))
    shutil.copy(record, tmp_path / "doc")
    assert main(["tables", str(document), "--check"]) == 1
    assert "does not match" in capsys.readouterr().err
    assert main(["tables", str(document)]) == 0
    assert main(["tables", str(document), "--check"]) == 0
    size = json.loads(record.read_text())["formats"][0]["size_bytes"]
    text = document.read_text()
    assert f"{size:,}" in text
    document.write_text(text.replace(f"{size:,}", "1"))
    assert main(["tables", str(document), "--check"]) == 1


def test_a_table_has_the_rows_of_all_records(tmp_path: Path) -> None:
    record = json.loads(next(RECORDS.glob("classifier-*.json")).read_text())
    for name in ("one", "two"):
        (tmp_path / f"classifier-{name}.json").write_text(json.dumps({**record, "model": name}))
    made = fill("<!-- generated: formats -->\n<!-- end -->", tmp_path).splitlines()
    models = [line.split("|")[1].strip() for line in made if line.startswith("| ")]
    assert models == ["model", "---", *["one"] * len(FORMATS), *["two"] * len(FORMATS)]


def test_a_table_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"has no classifier-\*\.json"):
        fill("<!-- generated: formats -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"formats": [{}]}'])
def test_a_damaged_record_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "classifier-m.json").write_text(content)
    with pytest.raises(ContractError, match="not a record of this program") as caught:
        fill("<!-- generated: formats -->\n<!-- end -->", tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="unknown table 'wishes'"):
        fill("<!-- generated: wishes -->\n<!-- end -->", tmp_path)
    with pytest.raises(ContractError, match="no block"):
        fill("nothing here", tmp_path)

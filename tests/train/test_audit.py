"""The audit on data with planted faults, and on FER2013 whose faults are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.datasets import load_dataset
from edge_runtime.errors import DataError
from tests.train.support import faces, write_npz
from train.__main__ import main
from train.audit import audit, clean_entries
from train.cleanlist import read_clean_list, write_clean_list
from train.data import prepare
from train.duplicates import near_pairs
from train.sections import DataSection

SHARED = Path(__file__).parents[3] / "shared" / "data"


def planted():
    """60 pictures: 0 and 1 identical with other labels, 3 and 6 identical, 9 blank, 12 and 55 copies
    across the splits."""
    data = faces()
    images = data.images.copy()
    images[1], images[6], images[55], images[9] = images[0], images[3], images[12], 7
    return replace(data, images=images)


def test_planted_faults_are_found_and_listed(tmp_path: Path) -> None:
    data = planted()
    found = audit(data)
    document = found.to_dict(data)
    assert document["counts"]["Training"] == {"angry": 17, "happy": 17, "sad": 16}
    assert found.blank.tolist() == [9]
    assert found.cross_split.tolist() == [55]
    assert [group.tolist() for group in found.conflicting] == [[0, 1]]
    assert document["duplicates_within"] == {"Training": 2, "PublicTest": 0}
    path = tmp_path / "clean.txt"
    write_clean_list(path, clean_entries(data, found))
    assert np.flatnonzero(~read_clean_list(path, data)).tolist() == [0, 1, 6, 9, 12]
    prepared = prepare(data, DataSection(validation=0), 0, keep=read_clean_list(path, data))
    assert (len(prepared.train), prepared.dropped_listed) == (45, 5)
    with pytest.raises(DataError, match="lists none of these pictures"):
        read_clean_list(path, faces(seed=5))
    path.write_text("abc")
    with pytest.raises(DataError, match="not a clean list"):
        read_clean_list(path, data)


def test_near_pairs_are_near_and_not_identical() -> None:
    rng = np.random.default_rng(0)
    images = np.stack(
        [cv2.resize(rng.integers(0, 256, (12, 12), dtype=np.uint8), (48, 48)) for _ in range(40)]
    )
    images[7] = images[3]
    images[9] = np.clip(images[5].astype(int) + rng.integers(-3, 4, (48, 48)), 0, 255)
    assert near_pairs(images) == [(5, 9)]


def test_page_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_npz(tmp_path / "faces.npz", planted())
    arguments = ["audit", "--data", str(path), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--write-clean", str(tmp_path / "list.txt"), "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == [json.loads((tmp_path / "out" / "audit.json").read_text())]
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("http-equiv", "")
    assert (tmp_path / "list.txt").exists()


def test_unreadable_files_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "happy"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), faces().images[index])
    (folder / "broken.jpg").write_bytes(b"nothing")
    assert main(["audit", "--data", str(tmp_path)]) == 0
    assert "broken.jpg: does not begin like a picture" in capsys.readouterr().out


@pytest.mark.data
@pytest.mark.skipif(not SHARED.exists(), reason="FER2013 is not beside the checkout")
def test_fer2013_has_its_known_faults() -> None:
    data = load_dataset(SHARED)
    document = audit(data).to_dict(data)
    assert document["cross_split_copies_by_split"] == {"PublicTest": 280}
    assert document["blank_by_split"] == {"Training": 11, "PublicTest": 1}
    assert document["conflicting_groups"] == 40

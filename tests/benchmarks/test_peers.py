import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.accuracy_record import PeerRecord
from benchmarks.peers import choose, read_frames
from benchmarks.record import read_records
from edge_runtime.datasets import FER2013_LABELS, load_dataset
from edge_runtime.errors import UsageError

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    path = tmp_path / "crops.npz"
    pixels = np.random.default_rng(1).integers(0, 256, (20, 48, 48), dtype=np.uint8)
    labels = np.arange(20) % 7
    labels[3] = -1
    np.savez(path, pixels=pixels, emotion=labels, class_names=FER2013_LABELS)
    return path


def test_own_model_and_haar_are_peers_among_peers(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    picture = tmp_path / "frame.png"
    cv2.imwrite(str(picture), np.full((120, 160), 127, np.uint8))
    out = tmp_path / "peers.json"
    words = ["peers", "--data", str(crops), "--model", str(TINY), "--peer", "edge", "--peer", "haar"]
    assert main([*words, "--frames", str(picture), "--format", "json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    records = [record for record in read_records(out) if isinstance(record, PeerRecord)]
    assert [record["peer"] for record in printed] == [record.peer for record in records]
    on_crops, on_frame, by_edge, haar = records
    assert [on_frame.peer.rpartition(" ")[2], by_edge.peer.rpartition(" ")[2]] == ["haar", "edge"]
    assert on_crops.n == on_crops.answered == 19
    assert on_crops.top1 is not None
    assert on_crops.top1_interval is not None
    assert on_frame.n == by_edge.n == haar.n == 1
    assert on_frame.answered == haar.answered == 0
    assert on_frame.top1 is haar.top1 is None
    assert haar.peer.startswith("OpenCV 4")
    main(["accuracy", "--model", str(TINY), "--data", str(crops), "--format", "json"])
    assert json.loads(capsys.readouterr().out)[0]["top1"] == on_crops.top1


def test_frames_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((40 + index, 60), np.uint8))
    with pytest.raises(UsageError, match="pictures of different sizes; give --size"):
        read_frames(str(tmp_path), 5, None)
    assert read_frames(str(tmp_path), 5, "60x40").shape == (2, 40, 60, 3)


def test_a_subset_is_the_same_each_time(crops: Path) -> None:
    data = load_dataset(crops)
    first, again = choose(data, None, 5, seed=3), choose(data, None, 5, seed=3)
    assert first.digest() == again.digest()
    assert len(first) == 5
    assert choose(data, None, 5, seed=4).digest() != first.digest()
    assert len(choose(data, None, None, seed=0)) == 19

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.accuracy import prepare_task
from edge_runtime.classifier import Classifier
from edge_runtime.datasets import FER2013_LABELS, UNLABELLED, LabeledImages
from edge_runtime.metrics import wilson

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """60 pictures in three splits, classes in another order than the model's, one leak, two unlabelled."""
    generator = np.random.default_rng(4)
    images = generator.integers(0, 256, (60, 48, 48), dtype=np.uint8)
    labels = np.arange(60) % 7
    labels[[50, 51]] = UNLABELLED
    splits = np.array(["Training"] * 20 + ["PublicTest"] * 40)
    images[25] = images[3]
    path = tmp_path / "faces.npz"
    np.savez(path, pixels=images, emotion=labels, usage=splits, class_names=FER2013_LABELS[::-1])
    return path


def run_json(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict]:
    assert main(["accuracy", *map(str, words), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_are_those_of_the_classifier_itself(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = run_json(capsys, "--model", TINY, "--data", data, "--split", "PublicTest")
    archive = np.load(data)
    classifier = Classifier.load(TINY)
    rows = [row for row in range(20, 60) if row not in (50, 51)]
    hits = 0
    for row in rows:
        predicted = classifier.contract.labels[int(classifier.predict(archive["pixels"][row]).argmax())]
        hits += predicted == FER2013_LABELS[::-1][archive["emotion"][row]]
    assert result["n"] == 38
    assert result["data"] == {
        "digest": result["data"]["digest"],
        "split": "PublicTest",
        "unlabelled": 2,
    }
    assert result["top1"] == hits / 38
    assert result["top1_interval"] == pytest.approx(wilson(hits, 38))
    assert sum(map(sum, result["confusion"])) == 38
    assert sum(result["confusion"][i][i] for i in range(7)) == hits
    assert result["leak_free"]["n"] == 37
    assert result["ferplus"] is None
    assert result["model_sha256"] == classifier.file.sha256
    assert set(result["classes"]) == set(result["labels"]) == set(FER2013_LABELS)
    assert {"balanced_accuracy", "macro_f1", "ece", "host", "backend"} <= result.keys()


def test_several_models_are_paired(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = run_json(capsys, "--model", TINY, "--model", TINY, "--data", data)
    assert first["paired"] == []
    (pair,) = second["paired"]
    assert pair["against_sha256"] == first["model_sha256"]
    assert pair["difference"] == 0.0
    assert pair["mcnemar_p_mid"] == 1.0


def test_all_rows_have_no_leak_free_figure(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = run_json(capsys, "--model", TINY, "--data", data)
    assert result["n"] == 58
    assert result["data"]["split"] == "all"
    assert result["leak_free"] is None


def test_files_are_written(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    printed = run_json(capsys, "--model", TINY, "--data", data, "--split", "publictest", "--out", out)
    assert json.loads((out / "accuracy.json").read_text()) == printed
    assert (out / "confusion-tiny.png").read_bytes()[:4] == b"\x89PNG"


def test_text_names_the_interval_and_every_class(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accuracy", "--model", str(TINY), "--data", str(data)]) == 0
    text = capsys.readouterr().out
    assert "95 % interval" in text
    assert all(label in text for label in FER2013_LABELS)


def test_wrong_split_is_one_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accuracy", "--model", str(TINY), "--data", str(data), "--split", "nope"]) == 1
    message = capsys.readouterr().err.strip()
    assert "PublicTest" in message.splitlines()[-1]
    assert "Traceback" not in message


def test_labels_that_a_model_lacks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.npz"
    np.savez(path, pixels=np.zeros((2, 48, 48), np.uint8), emotion=[0, 1], class_names=["happy", "bored"])
    assert main(["accuracy", "--model", str(TINY), "--data", str(path)]) == 1
    assert "'bored'" in capsys.readouterr().err


def write_votes(path: Path, splits: list[str], votes: list[list[int]], names: list[str]) -> None:
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [
        ",".join([split, name, *map(str, row)])
        for split, name, row in zip(splits, names, votes, strict=True)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")


def test_ferplus_majority_follows_the_paper(tmp_path: Path) -> None:
    splits = ["Training"] * 2 + ["PublicTest"] * 6
    votes = [
        [10, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 10, 0, 0, 0, 0, 0, 0, 0, 0],
        [6, 4, 0, 0, 0, 0, 0, 0, 0, 0],  # clear majority: neutral
        [5, 4, 1, 0, 0, 0, 0, 0, 0, 0],  # the single vote is dropped: 5 of 9 is a majority
        [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],  # half is no majority
        [0, 2, 0, 0, 0, 0, 0, 8, 0, 0],  # contempt is no class of FER2013
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # no face
        [0, 10, 0, 0, 0, 0, 0, 0, 0, 0],  # removed: no name
    ]
    names = [f"fer{row}.png" for row in range(7)] + [""]
    path = tmp_path / "ferplus_votes.csv"
    write_votes(path, splits, votes, names)
    images = np.arange(8 * 4, dtype=np.uint8).reshape(8, 2, 2)
    dataset = LabeledImages(images, np.zeros(8, np.int64), FER2013_LABELS, np.array(splits), "here")
    task = prepare_task(dataset, "PublicTest", path)
    assert task.ferplus is not None
    assert task.ferplus.tolist() == ["neutral", "neutral", "", "", "", ""]


def test_votes_of_other_rows_are_left_out_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ferplus_votes.csv"
    write_votes(path, ["Training"], [[10] + [0] * 9], ["fer0.png"])
    images = np.zeros((3, 2, 2), np.uint8)
    dataset = LabeledImages(images, np.zeros(3, np.int64), FER2013_LABELS, np.array(["test"] * 3), "here")
    assert prepare_task(dataset, None, path).ferplus is None
    assert "FER+ is left out" in capsys.readouterr().err

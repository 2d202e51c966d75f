"""evaluate, predict, report, export and kfold on one tiny trained run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow")

from edge_runtime.errors import ContractError, DataError, UsageError
from tests.train.support import CLASSES, RECIPE, faces, write_npz, write_recipe
from train.__main__ import main
from train.evaluate import evaluate, one_against_rest, ten_crops
from train.export import ExportError, export
from train.inference import load_trained
from train.run import read_history, read_identity

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbs")
    write_npz(folder / "faces.npz", faces(120))
    write_recipe(folder / "tiny.toml", RECIPE.replace("validation", "test = 0.2\nvalidation"))
    arguments = ["--recipe", str(folder / "tiny.toml"), "--data", str(folder / "faces.npz")]
    assert main(["fit", *arguments, "--out", str(folder / "run")]) == 0
    return folder


def test_evaluate_writes_page_json_and_predictions(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "evaluation"
    arguments = ["evaluate", "--model", str(place / "run"), "--data", str(place / "faces.npz")]
    assert main([*arguments, "--out", str(out), "--format", "json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "evaluation.json").read_text())[0]
    assert document["n"] == 20
    assert set(document["per_class"]) == set(CLASSES)
    assert np.sum(document["confusion"]) == 20
    assert document["top1"] == pytest.approx(np.trace(document["confusion"]) / 20)
    assert (out / "predictions.csv").read_text().count("\n") == 21
    page = (out / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") >= 5
    assert main(arguments) == 0
    assert "PublicTest" in capsys.readouterr().out


def test_ten_crops_are_corners_and_centre_and_their_mirror_images() -> None:
    picture = np.arange(30, dtype=np.uint8).reshape(1, 5, 6)
    crops = list(ten_crops(picture, 3))
    assert [int(crop[0, 0, 0]) for crop in crops[::2]] == [0, 3, 12, 15, 7]
    for crop, mirrored in zip(crops[::2], crops[1::2], strict=True):
        np.testing.assert_array_equal(mirrored, crop[:, :, ::-1])
    assert len(list(ten_crops(np.zeros((2, 48, 48, 3), np.uint8), 48))) == 10
    for size in (0, 6):
        with pytest.raises(UsageError, match=r"--ten-crop must be 1\.\.5"):
            next(ten_crops(picture, size))


def test_answers_to_ten_crops_are_averaged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained, data = load_trained(place / "run"), place / "faces.npz"
    evaluation = evaluate(trained, data, "PublicTest", crop_px=12)
    each = [trained.probabilities(crop) for crop in ten_crops(evaluation.data.images, 12)]
    np.testing.assert_allclose(evaluation.probabilities, np.mean(each, axis=0), atol=1e-6)
    assert not np.allclose(each[0], each[-1])
    arguments = ["evaluate", "--model", str(place / "run"), "--data", str(data), "--ten-crop"]
    assert main([*arguments, "12"]) == 0
    assert "PublicTest, ten crops of 12x12:" in capsys.readouterr().out
    assert main([*arguments, "200"]) == 2
    assert "--ten-crop must be 1.." in capsys.readouterr().err


def test_held_out_parts_are_those_of_the_run(place: Path) -> None:
    trained = load_trained(place / "run")
    held_out = evaluate(trained, place / "faces.npz", "held-out")
    test = evaluate(trained, place / "faces.npz", "held-out-test")
    assert held_out.scores.n == trained.contract.validation["n"]
    assert held_out.data.digest() == trained.contract.validation["data_sha256"]
    assert held_out.to_dict()["top1"] == trained.contract.validation["top1"]
    assert not set(held_out.data.hashes().tolist()) & set(test.data.hashes().tolist())
    assert test.scores.n == 21


def test_unknown_split_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "--model", str(place / "run"), "--data", str(place / "faces.npz")]
    assert main([*arguments, "--split", "PrivateTest"]) == 1
    assert "splits there are: PublicTest, Training" in capsys.readouterr().err
    assert main(["evaluate", "--model", str(place / "no"), "--data", str(place / "faces.npz")]) == 1
    assert "no such model file" in capsys.readouterr().err


def test_votes_and_copies_are_reported_apart(place: Path, tmp_path: Path) -> None:
    data = faces(120)
    data.images[110] = data.images[0]
    write_npz(tmp_path / "faces.npz", data)
    votes = tmp_path / "votes.csv"
    rows = ["Usage,Image name,anger,happiness,sadness,contempt"]
    rows += [f"x,y,{6 if i % 2 else 5},0,{5 if i % 4 == 0 else 0},1" for i in range(120)]
    votes.write_text("\n".join(rows) + "\n")
    evaluation = evaluate(load_trained(place / "run"), tmp_path / "faces.npz", "PublicTest", votes)
    assert evaluation.extra["without_training_copies"]["n"] == 19
    # Every fourth picture has as many votes for one class as for another.
    assert evaluation.extra["by_ferplus_majority"]["n"] == 15


def test_area_under_the_curve() -> None:
    truth = np.array([True, False, True, False])
    assert one_against_rest(truth, np.array([0.9, 0.8, 0.7, 0.1]))[2] == pytest.approx(0.75)
    assert one_against_rest(truth, np.full(4, 0.5))[2] == pytest.approx(0.5)


def test_predict(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = place / "face.png"
    cv2.imwrite(str(picture), cv2.resize(faces().images[0], (40, 40)))
    assert main(["predict", str(picture), "--model", str(place / "run"), "--format", "jsonl"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["probabilities"]) == set(CLASSES)
    assert sum(document["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert main(["predict", str(place / "none.png"), "--model", str(place / "run")]) == 1
    assert "none.png: cannot be read" in capsys.readouterr().err


def test_report_of_one_run_and_of_two(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, run = tmp_path / "one.html", str(place / "run")
    assert main(["report", run, "--out", str(one)]) == 0
    assert one.read_text().count("data:image/png;base64,") == 1
    other = str(shutil.copytree(place / "run", tmp_path / "other"))
    both = tmp_path / "both.html"
    assert main(["report", run, other, "--data", str(place / "faces.npz"), "--out", str(both)]) == 0
    page = both.read_text()
    assert page.count("data:image/png;base64,") >= 9
    assert "2 runs compared" in page
    assert main(["report", run, run, "--out", str(one)]) == 2
    assert main(["report", str(tmp_path), "--out", str(one)]) == 1
    assert "give a run folder" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["keras", "h5", "json", "saved-model"])
def test_export_forms_compute_the_same(place: Path, tmp_path: Path, form: str) -> None:
    (path,) = export(load_trained(place / "run"), tmp_path, (form,))
    assert path.exists()
    assert not list(tmp_path.glob(".partial*"))


def test_export_refuses_a_form_that_computes_something_else(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_trained(place / "run")
    monkeypatch.setattr("train.export._compare", lambda *_: (_ for _ in ()).throw(ExportError("x")))
    with pytest.raises(ExportError):
        export(trained, tmp_path, ("h5",))
    assert not list(tmp_path.iterdir())


def test_export_to_a_full_disk_is_one_line(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.export.HDF5_OVERHEAD", 1 << 60)
    trained = load_trained(place / "run")
    for form in ("h5", "json"):
        with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)"):
            export(trained, tmp_path, (form,))
    assert not list(tmp_path.iterdir())


def test_kfold_resumes_and_calibrates_fit(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--recipe", str(place / "tiny.toml"), "--data", str(place / "faces.npz"), "--epochs", "1"]
    out = tmp_path / "folds"
    assert main(["kfold", *arguments, "--out", str(out), "--folds", "2", "--format", "json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "kfold.json").read_text())
    assert result["n"] == 79
    assert result["top1_mean"] == pytest.approx(np.mean(result["top1_per_fold"]), abs=1e-3)
    before = (out / "fold-1" / "model.keras").stat().st_mtime_ns
    (out / "fold-2" / "model.keras").unlink()
    assert main(["kfold", *arguments, "--out", str(out), "--folds", "2"]) == 0
    assert (out / "fold-1" / "model.keras").stat().st_mtime_ns == before
    assert json.loads((out / "kfold.json").read_text()) == result
    calibration = ["--calibration", str(out / "kfold.json")]
    assert main(["fit", *arguments, "--out", str(tmp_path / "run"), *calibration]) == 0
    contract = load_trained(tmp_path / "run").contract
    assert contract.temperature == result["calibration"]["temperature"]
    assert contract.validation["split"].startswith("2 folds")


@pytest.mark.parametrize("verb", ["fit", "distill"])
def test_a_model_that_holds_nothing_out_takes_the_calibration_of_one_that_did(
    verb: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "all.toml", RECIPE.replace("validation = 0.2", "validation = 0"))
    arguments = [verb, "--recipe", str(recipe), "--data", str(place / "faces.npz"), "--epochs", "1"]
    if verb == "distill":
        arguments += ["--teacher", str(place / "run"), "--views", "1"]
    run = tmp_path / "run"
    assert main([*arguments, "--out", str(run), "--calibration", str(place / "run")]) == 0
    held_out, contract = load_trained(place / "run").contract, load_trained(run).contract
    assert (contract.temperature, contract.uncertain_below) == (
        held_out.temperature,
        held_out.uncertain_below,
    )
    assert contract.validation["n"] == held_out.validation["n"]
    assert contract.validation["model"] == "float32 Keras, of another run, which held them out"
    # A finished run takes another calibration without being trained again.
    history = read_history(run)
    assert main([*arguments, "--out", str(run)]) == 0
    assert not load_trained(run).contract.validation
    assert read_history(run) == history
    capsys.readouterr()
    assert main([*arguments, "--out", str(tmp_path / "other"), "--calibration", str(run)]) == 1
    assert "held nothing out; give a run of a recipe with validation above 0" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_kfold_goes_on_with_more_epochs_and_starts_from_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "steady.toml", f'{RECIPE}schedule = "constant"\n')
    arguments = ["kfold", "--recipe", str(recipe), "--data", str(place / "faces.npz"), "--folds", "2"]
    arguments += ["--out", str(tmp_path / "folds")]
    assert main([*arguments, "--start", str(place / "run")]) == 2
    assert "kfold takes no --start" in capsys.readouterr().err
    assert main([*arguments, "--epochs", "1"]) == 0
    assert main([*arguments, "--epochs", "2"]) == 0
    assert [len(read_history(tmp_path / "folds" / f"fold-{number}")) for number in (1, 2)] == [2, 2]


def test_a_split_held_out_is_evaluated_and_the_contract_is_remembered(place: Path, tmp_path: Path) -> None:
    text = RECIPE.replace("validation = 0.2", 'validation_split = "test"')
    recipe = write_recipe(tmp_path / "split.toml", f"{text}\n[contract]\nanswered_accuracy = 0.9\n")
    data = faces(120)
    # A Training picture that occurs in the split held out is no part of it.
    data.images[3] = data.images[110]
    data.splits[100:] = "test"
    file, run = write_npz(tmp_path / "faces.npz", data), tmp_path / "run"
    arguments = ["--recipe", str(recipe), "--data", str(file), "--out", str(run), "--epochs", "1"]
    assert main(["fit", *arguments]) == 0
    evaluation = evaluate(load_trained(run), file, "held-out")
    assert evaluation.scores.n == 20
    assert set(evaluation.data.splits.tolist()) == {"test"}
    assert read_identity(run)[0].contract.answered_accuracy == 0.9


def test_a_detector_is_no_classifier(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.inference.read_keras_contract", lambda _: SimpleNamespace(task="detect"))
    with pytest.raises(ContractError, match="a detector; a classifier is needed here"):
        load_trained(place / "run")

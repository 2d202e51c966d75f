"""The training loop on tiny data: what it writes, and that an interruption changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras

from edge_runtime.modelfile import read_keras_contract
from tests.train.support import (
    CLASSES,
    RECIPE,
    compute_eagerly,
    faces,
    interrupt_at,
    write_npz,
    write_recipe,
)
from train import devices
from train.__main__ import main
from train.inference import load_trained

pytestmark = pytest.mark.host

PHASED = """
description = "every state that must survive"
[model]
architecture = "edge_resnet"
parameters = { stem = 4, widths = [8], blocks = [1], dropout = 0.3, branches = true }
[data]
validation = 0.2
[augment]
flip = true
[train]
epochs = 3
batch_size = 8
optimizer = "adam"
learning_rate = 0.01
schedule = "plateau"
plateau_patience = 1
restore_best = true
class_weights = true
ema = 0.9
[[phases]]
epochs = 2
learning_rate = 0.001
train_layers = ["logits", "stage1_block1*"]
"""

EAGER = (PHASED,)
"""Recipes that compute step by step here; the other one runs the graphs that users run."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_npz(tmp_path_factory.mktemp("data") / "faces.npz", faces())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Path]:
    """Uninterrupted runs by the text of their recipe."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {RECIPE: folder / "plain", PHASED: folder / "phased"}
    for text, out in runs.items():
        with pytest.MonkeyPatch.context() as patch:
            if text in EAGER:
                compute_eagerly(patch)
            assert fit(write_recipe(folder / "tiny.toml", text), data, out, "--tensorboard") == 0
    return runs


def fit(recipe: Path, data: Path, out: Path, *more: str) -> int:
    return main(
        ["fit", "--recipe", str(recipe), "--data", str(data), "--out", str(out), "--deterministic", *more]
    )


def weights(run: Path) -> list[np.ndarray]:
    return load_trained(run).model.get_weights()


def test_fit_writes_model_contract_and_history(whole: dict[str, Path]) -> None:
    out = whole[RECIPE]
    contract = read_keras_contract(out / "model.keras")
    assert contract is not None
    assert contract.labels == CLASSES
    assert contract.input.shape == (1, 16, 16, 1)
    assert contract.validation["n"] == 9
    assert contract.producer["recipe"] == "tiny"
    history = json.loads((out / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(history[0])
    assert (out / "history.csv").read_text().count("\n") == 3
    assert list((out / "tensorboard").iterdir())
    assert len(list(out.glob("checkpoint-*"))) == 1
    assert load_trained(out).logits(faces().images[:3]).shape == (3, 3)
    assert not keras.saving.load_model(out / "model.keras").compiled


def test_branches_are_merged_and_every_layer_is_stock(whole: dict[str, Path]) -> None:
    model = load_trained(whole[PHASED]).model
    assert not any("point" in layer.name or "identity" in layer.name for layer in model.layers)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.parametrize(
    ("text", "interruptions"),
    [
        (RECIPE, [("on_train_batch_end", 7, "before")]),
        # In the third epoch, which ends the first phase; then just after the fourth was saved.
        (PHASED, [("on_train_batch_end", 12, "before"), ("on_epoch_end", 2, "after")]),
    ],
    ids=["cosine", "phases"],
)
def test_interrupted_equals_uninterrupted(
    tmp_path: Path,
    data: Path,
    whole: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    interruptions: list[tuple[str, int, str]],
) -> None:
    recipe, cut = write_recipe(tmp_path / "tiny.toml", text), tmp_path / "cut"
    if text in EAGER:
        compute_eagerly(monkeypatch)
    for method, count, moment in interruptions:
        with monkeypatch.context() as patch:
            interrupt_at(patch, method, count, moment)
            assert fit(recipe, data, cut) == 130
        assert not (cut / "model.keras").exists()
    assert fit(recipe, data, cut) == 0
    for expected, received in zip(weights(whole[text]), weights(cut), strict=True):
        assert np.array_equal(expected, received)
    assert (whole[text] / "history.json").read_text() == (cut / "history.json").read_text()


@pytest.fixture
def copy(tmp_path: Path, whole: dict[str, Path]) -> Path:
    return Path(shutil.copytree(whole[RECIPE], tmp_path / "copy"))


def test_another_recipe_or_seed_is_refused(
    tmp_path: Path, data: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml")
    assert fit(recipe, data, copy, "--seed", "1") == 1
    assert fit(write_recipe(tmp_path / "tiny.toml", RECIPE.replace("0.05", "0.04")), data, copy) == 1
    assert "holds a run of another recipe" in capsys.readouterr().err


PLATEAU = RECIPE.replace("warmup_epochs = 1", 'schedule = "plateau"\nplateau_patience = 1')


def test_more_epochs_equal_as_many_at_once(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compute_eagerly(monkeypatch)
    recipe, grown, whole = (
        write_recipe(tmp_path / "tiny.toml", PLATEAU),
        tmp_path / "grown",
        tmp_path / "whole",
    )
    assert fit(recipe, data, whole, "--epochs", "3") == 0
    assert fit(recipe, data, grown, "--epochs", "1") == 0
    assert fit(recipe, data, grown, "--epochs", "3") == 0
    assert (whole / "history.json").read_text() == (grown / "history.json").read_text()
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(grown), strict=True))
    capsys.readouterr()
    assert fit(recipe, data, grown, "--epochs", "2") == 1
    assert "has 3 epochs already; give --epochs 3 or more" in capsys.readouterr().err


def test_fewer_epochs_finish_an_interrupted_run(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_eagerly(monkeypatch)
    recipe, cut = write_recipe(tmp_path / "tiny.toml", PLATEAU), tmp_path / "cut"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "on_epoch_end", 1, "after")
        assert fit(recipe, data, cut, "--epochs", "9") == 130
    assert fit(recipe, data, cut, "--epochs", "1") == 0
    assert len(json.loads((cut / "history.json").read_text())) == 1
    assert load_trained(cut).logits(faces().images[:3]).shape == (3, 3)


def test_epochs_of_a_planned_rate_stay(
    tmp_path: Path, data: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(write_recipe(tmp_path / "tiny.toml"), data, copy, "--epochs", "5") == 1
    assert "was planned for 2 epochs, it cannot go on with 5" in capsys.readouterr().err


def test_run_of_an_older_edge_fer_is_finished(tmp_path: Path, data: Path, copy: Path) -> None:
    state = json.loads((copy / "state.json").read_text())
    del state["progress"], state["identity"]["recipe"]["phases"]
    del state["identity"]["recipe"]["data"]["classes"], state["identity"]["recipe"]["train"]["ema"]
    (copy / "state.json").write_text(json.dumps(state))
    before = weights(copy)
    (copy / "model.keras").unlink()
    assert fit(write_recipe(tmp_path / "tiny.toml"), data, copy) == 0
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(copy), strict=True))


def test_damaged_checkpoint_is_named(
    tmp_path: Path, data: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml")
    next(copy.glob("checkpoint-*.keras")).write_bytes(b"broken")
    assert fit(recipe, data, copy) == 1
    assert "its checkpoint cannot be read" in capsys.readouterr().err
    (copy / "state.json").write_text("{")
    assert fit(recipe, data, copy) == 1


def test_sigmoid_task(tmp_path: Path, data: Path) -> None:
    text = RECIPE.replace("[data]", 'task = "sigmoid"\n[data]\nclasses = ["happy", "sad"]\ntest = 0.2')
    recipe = write_recipe(tmp_path / "tiny.toml", text)
    assert fit(recipe, data, tmp_path / "run", "--epochs", "1") == 0
    trained = load_trained(tmp_path / "run")
    assert trained.contract.task == "sigmoid"
    assert trained.contract.labels == ("happy", "sad")
    assert trained.model.output_shape == (None, 1)
    assert trained.probabilities(faces().images[:4]).sum(axis=1) == pytest.approx(np.ones(4))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the CPU compute in float16 as if it were a GPU."""
    monkeypatch.setattr("train.devices.has_gpu", lambda: True)
    yield
    keras.mixed_precision.set_global_policy("float32")


def test_mixed_precision_hands_over_float32(tmp_path: Path, data: Path, gpu: None) -> None:
    text = RECIPE.replace("dropout = 0.3", "dropout = 0.3, branches = true").replace(
        "epochs = 2", "epochs = 1"
    )
    recipe, out = write_recipe(tmp_path / "tiny.toml", text), tmp_path / "run"
    assert fit(recipe, data, out, "--mixed-precision") == 0
    trained_in = keras.saving.load_model(next(out.glob("checkpoint-*.keras")))
    computed_in = {layer.name: layer.compute_dtype for layer in trained_in.layers if layer.weights}
    assert computed_in.pop("logits") == "float32"
    assert set(computed_in.values()) == {"float16"}
    handed_over = weights(out)
    # The checkpoint alone says what it was trained in when the run is finished without the option.
    keras.mixed_precision.set_global_policy("float32")
    (out / "model.keras").unlink()
    assert fit(recipe, data, out) == 0
    trained = load_trained(out)
    assert {layer.compute_dtype for layer in trained.model.layers} == {"float32"}
    assert all(np.array_equal(a, b) for a, b in zip(handed_over, weights(out), strict=True))
    assert np.isfinite(trained.probabilities(faces().images[:4])).all()


@pytest.mark.parametrize(
    ("flags", "policy", "told"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n", "mixed_bfloat16", ""),
        ("flags\t\t: fpu avx512f avx512_bf16\n", "mixed_bfloat16", ""),
        ("flags\t\t: fpu avx512f avx512_vnni\n", "float32", "that multiplies bfloat16 (AMX, AVX-512)"),
        (None, "float32", "--mixed-precision is left out"),
    ],
)
def test_mixed_precision_on_a_cpu(
    flags: str | None,
    policy: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}")
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    try:
        devices.use_mixed_precision()
        assert keras.mixed_precision.dtype_policy().name == policy
    finally:
        keras.mixed_precision.set_global_policy("float32")
    error = capsys.readouterr().err
    assert told in error
    assert bool(told) == bool(error)


RESIZED = """
description = "small pictures first"
[model]
architecture = "edge_resnet"
parameters = { stem = 4, widths = [8], blocks = [1], branches = true }
[data]
validation = 0.2
[train]
epochs = 1
batch_size = 8
learning_rate = 0.05
schedule = "constant"
picture_px = 8
[[phases]]
epochs = 1
learning_rate = 0.05
"""


def test_without_epochs_the_run_is_what_it_starts_from(
    tmp_path: Path, data: Path, whole: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = RECIPE.replace("epochs = 2", "epochs = 0\nema = 0.9")
    recipe = write_recipe(tmp_path / "none.toml", text)
    assert fit(recipe, data, tmp_path / "none") == 2
    assert "give --start RUN or --epochs N" in capsys.readouterr().err
    start = load_trained(whole[RECIPE])
    for _ in range(2):
        assert fit(recipe, data, tmp_path / "none", "--start", str(whole[RECIPE])) == 0
        run = load_trained(tmp_path / "none")
        for new, old in zip(run.model.get_weights(), start.model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
        assert run.contract.temperature == pytest.approx(start.contract.temperature, rel=1e-5)
    args = ["--model", str(tmp_path / "none"), "--data", str(data), "--split", "held-out"]
    assert main(["evaluate", *args]) == 0
    assert (
        main(["report", str(tmp_path / "none"), "--data", str(data), "--out", str(tmp_path / "r.html")])
        == 0
    )


def test_small_pictures_first(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from train.batches import EpochBatches

    seen: dict[int, set[tuple[int, int]]] = {}
    original = EpochBatches.__getitem__

    def watched(self: EpochBatches, index: int) -> tuple[np.ndarray, ...]:
        batch = original(self, index)
        seen.setdefault(id(self), set()).add(batch[0].shape[1:3])
        return batch

    monkeypatch.setattr(EpochBatches, "__getitem__", watched)
    assert fit(write_recipe(tmp_path / "resized.toml", RESIZED), data, tmp_path / "run") == 0
    # Keras draws ahead, so that a phase's batches are told apart by their maker, not by their epoch.
    assert list(seen.values()) == [{(8, 8)}, {(16, 16)}]
    model = load_trained(tmp_path / "run").model
    assert model.input_shape == (None, 16, 16, 1)


def test_size_of_pictures_needs_global_pooling(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = RESIZED.replace("edge_resnet", "cnn_4block").replace(
        "{ stem = 4, widths = [8], blocks = [1], branches = true }", "{}"
    )
    assert fit(write_recipe(tmp_path / "flat.toml", text), data, tmp_path / "run") == 2
    assert "cnn_4block" in capsys.readouterr().err


def test_start_takes_the_weights_of_another_run(
    tmp_path: Path, data: Path, whole: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    still = RECIPE.replace("learning_rate = 0.05", "learning_rate = 1e-12").replace(
        "epochs = 2", "epochs = 1"
    )
    recipe = write_recipe(tmp_path / "more.toml", still)
    assert fit(recipe, data, tmp_path / "more", "--start", str(whole[RECIPE])) == 0
    for layer in load_trained(tmp_path / "more").model.layers:
        before = load_trained(whole[RECIPE]).model.get_layer(layer.name)
        for new, old in zip(layer.trainable_weights, before.trainable_weights, strict=True):
            np.testing.assert_allclose(np.asarray(new), np.asarray(old), atol=1e-6)
    # Without the same start it is another run.
    assert fit(recipe, data, tmp_path / "more") == 1
    capsys.readouterr()
    wider = write_recipe(tmp_path / "wider.toml", still.replace("stem = 4", "stem = 8"))
    assert fit(wider, data, tmp_path / "wider", "--start", str(whole[RECIPE])) == 0
    assert "grown to" in capsys.readouterr().err
    assert fit(recipe, data, tmp_path / "narrower", "--start", str(tmp_path / "wider")) == 0
    assert "narrowed to" in capsys.readouterr().err
    shallow = write_recipe(tmp_path / "shallow.toml", still.replace("blocks = [1]", "blocks = [0]"))
    assert fit(shallow, data, tmp_path / "shallow", "--start", str(whole[RECIPE])) == 2
    assert (
        "neither a larger nor a narrower form of that one (it has other layers)" in capsys.readouterr().err
    )

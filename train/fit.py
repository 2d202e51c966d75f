"""`python -m train fit`: train the model of a recipe, resumable at every epoch's end."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets import LabeledImages, Unreadable, fit_pictures, load_dataset
from edge_runtime.errors import UsageError
from edge_runtime.modelfile import embed_keras
from train import dlib_weights
from train.batches import EpochBatches
from train.cleanlist import read_clean_list
from train.data import TrainingData, prepare
from train.devices import (
    full_precision,
    grow_gpu_memory,
    in_full_precision,
    use_all_devices,
    use_deterministic_kernels,
    use_mixed_precision,
)
from train.draft import Calibration, contract_draft
from train.files import write_atomically
from train.inference import load_trained, model_path
from train.loop import Job, Outcome, train
from train.models import build_model, merge_branches
from train.recipe import Recipe
from train.run import Identity, RunFolder
from train.start import NARROWING_PICTURES, copy_weights
from train.training_form import in_stock_layers, in_training_form
from train.unfold import MOMENT_PICTURES
from train.votes import read_votes


@dataclass(frozen=True)
class FitOptions:
    """How to train, apart from what the recipe says."""

    seed: int = 0
    """Seeds the weights, the held-out parts and every batch."""
    deterministic: bool = False
    """Deterministic kernels only (slower)."""
    clean_list: Path | None = None
    """List of pictures to leave out, as `audit` writes it."""
    votes: Path | None = None
    """FER+ votes for the rows of the data, in their order."""
    start: Path | None = None
    """Finished run or `.keras` file of the same architecture, no larger, whose weights to start from."""
    calibration: Calibration | None = None
    """Temperature and threshold to write instead of fitting them on held-out pictures."""
    tensorboard: bool = False
    mixed_precision: bool = False
    data_parallel: bool = False


def fit(recipe: Recipe, data_path: Path, out: Path, options: FitOptions) -> Path:
    """Train, or resume what was interrupted, and write `model.keras` with its contract to `out`.

    Args:
        data_path: any form that `edge_runtime.datasets` reads.
        out: run folder; holds the checkpoint of the last whole epoch.

    Raises:
        DataError: unreadable data, or `out` holds a run with another recipe, seed or data.
    """
    prepare_devices(recipe, options)
    prepared = load_prepared(recipe, data_path, options)
    identity = Identity(recipe, options.seed, prepared.train.digest(), extra_identity(recipe, options))
    run = RunFolder(out, identity)
    outcome = train(recipe_job(recipe, prepared, run, options))
    return finish(recipe, prepared, outcome, run, identity, options.calibration)


def prepare_devices(recipe: Recipe, options: FitOptions) -> None:
    """Set up what must stand before the first variable is made."""
    use_deterministic_kernels(options.deterministic)
    grow_gpu_memory()
    if options.mixed_precision:
        use_mixed_precision()
    if options.data_parallel:
        use_all_devices(recipe.train.batch_size)


def load_data(recipe: Recipe, data_path: Path, unreadable: list[Unreadable] | None = None) -> LabeledImages:
    """Read data as the recipe wants it: class folders at its size and colour."""
    section = recipe.data
    if unreadable is None and section.unreadable == "leave-out":
        unreadable = []
    data = load_dataset(
        data_path,
        size_hw=(section.size, section.size) if section.size else (48, 48),
        color=section.color or "luma",
        class_names=section.classes or None,
        unreadable=unreadable,
    )
    for item in unreadable or ():
        print(f"left out: {item.path}: {item.reason}", file=sys.stderr)
    return data


def load_prepared(
    recipe: Recipe, data_path: Path, options: FitOptions, fold: tuple[int, int] | None = None
) -> TrainingData:
    """Data of a recipe, cleaned and split."""
    data = load_data(recipe, data_path)
    keep, votes = load_sidecars(options, data)
    return prepare(data, recipe.data, options.seed, fold=fold, keep=keep, votes=votes)


def load_sidecars(
    options: FitOptions, data: LabeledImages
) -> tuple[npt.NDArray[np.bool_] | None, npt.NDArray[np.float32] | None]:
    """Clean list as a mask (N,), and votes (N, classes), for the rows of the data."""
    keep = read_clean_list(options.clean_list, data) if options.clean_list else None
    votes = read_votes(options.votes, data) if options.votes else None
    return keep, votes


def extra_identity(recipe: Recipe, options: FitOptions) -> dict[str, Any]:
    """What weights to start from and votes add to a run's identity."""
    files: dict[str, Path] = {}
    if options.start is not None:
        files["start_sha256"] = model_path(options.start)
    if options.votes is not None and recipe.data.votes:
        files["votes_sha256"] = options.votes
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def recipe_job(recipe: Recipe, prepared: TrainingData, run: RunFolder, options: FitOptions) -> Job:
    """The plain training of a recipe."""

    def make_model() -> keras.Model:
        outputs = 1 if recipe.model.task == "sigmoid" else len(prepared.train.class_names)
        shape: tuple[int | None, ...] = prepared.input.shape[1:]
        if recipe.resizes():
            shape = (None, None, shape[2])
        model = build_model(recipe.model.architecture, shape, outputs, **recipe.model.parameters)
        if options.start is not None:
            begin_from(options.start, model, prepared, options.seed)
        report_start(recipe, prepared, model)
        return in_training_form(model)

    return Job(
        recipe,
        prepared,
        run,
        options.seed,
        make_model,
        lambda epoch: EpochBatches(prepared, recipe, options.seed, epoch),
        tensorboard=options.tensorboard,
    )


def finish(
    recipe: Recipe,
    prepared: TrainingData,
    outcome: Outcome,
    run: RunFolder,
    identity: Identity,
    calibration: Calibration | None = None,
) -> Path:
    """Write the trained model in stock layers, with its contract and without its optimizer."""
    model = in_stock_layers(in_full_precision(outcome.model))
    with full_precision():
        if recipe.resizes():
            model = at_input_size(recipe, prepared, model)
        model = merge_branches(recipe.model.architecture, model, recipe.model.parameters)
    contract = contract_draft(recipe, prepared, model, identity.to_dict(), calibration)
    write_model(run.model, model, contract)
    print(f"wrote {run.model}", file=sys.stderr)
    return run.model


def at_input_size(recipe: Recipe, prepared: TrainingData, model: keras.Model) -> keras.Model:
    """The model with its weights for pictures of the contract's size instead of any."""
    fixed = build_model(
        recipe.model.architecture,
        prepared.input.shape[1:],
        model.output_shape[1],
        **recipe.model.parameters,
    )
    fixed.set_weights(model.get_weights())
    return fixed


def begin_from(start: Path, model: keras.Model, prepared: TrainingData, seed: int) -> None:
    """Give a new model the weights that a run starts from.

    Args:
        start: run folder or `.keras` file, or the file of dlib's face recognition for a `face_resnet`.
        seed: as in `grow`, and of the pictures on which a narrower network or moments are measured.

    Raises:
        UsageError: a model of another architecture.
        DataError: damaged weights of dlib, or those of another network.
    """
    if start.suffix != dlib_weights.SUFFIX:
        source = load_trained(start)
        spec = source.contract.input
        some = partial(_some_pictures, prepared, spec, NARROWING_PICTURES, seed)
        copy_weights(source.model, source.path, model, seed, some)
        return
    if model.name != "face_resnet":
        raise UsageError(f"--start {start}: dlib's weights are for recipes of the architecture face_resnet")
    pictures = _some_pictures(prepared, prepared.input, MOMENT_PICTURES, seed)
    dlib_weights.adopt(start, model, pictures.astype(np.float32))


def _some_pictures(prepared: TrainingData, spec: InputSpec, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Pictures (N, H, W, C) to train on, `count` or all, as a model of that input takes them."""
    rows = np.random.default_rng([seed, 11]).permutation(len(prepared.train))[:count]
    return fit_pictures(prepared.train.images[rows], spec)


def write_model(path: Path, model: keras.Model, contract: ModelContract) -> None:
    """Write a `.keras` file with a contract draft, without what only training needs."""
    # Of a compiled model Keras would write an optimizer, and miss its state at every loading.
    bare = keras.Model(model.inputs, model.outputs, name=model.name)

    def write(temporary: Path) -> None:
        bare.save(temporary)
        embed_keras(temporary, contract)

    write_atomically(path, write)


def report_start(recipe: Recipe, prepared: TrainingData, model: keras.Model) -> None:
    held_out = len(prepared.validation) if prepared.validation is not None else 0
    listed = f", {prepared.dropped_listed} by the clean list" if prepared.dropped_listed else ""
    print(
        f"{recipe.name}: {model.count_params():,} parameters; {len(prepared.train):,} images to train on, "
        f"{held_out:,} to validate on; left out: {prepared.dropped_blank} blank, "
        f"{prepared.dropped_conflicting} identical with conflicting labels{listed}",
        file=sys.stderr,
    )

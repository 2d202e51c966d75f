"""`python -m train fit` for recipes of task `detect`: resumable at every epoch's end."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets import canonical_split, yolo
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.detectors.decoding import Decoding
from edge_runtime.errors import DataError, UsageError
from edge_runtime.modelfile import embed_keras
from train.detection import evaluate
from train.detection.batches import epoch_batches
from train.detection.loss import BoxLoss, FocalLoss
from train.detection.recipe import (
    BoxDataSection,
    DetectionRecipe,
    DetectionScheduleSection,
    SceneSection,
    box_map,
    box_maps,
    second_look,
)
from train.detection.scenes import SceneMaker
from train.files import write_atomically, write_json
from train.models import build_model
from train.models.edge_face import OUTPUTS
from train.start import NARROWING_PICTURES, copy_weights
from train.training_form import in_stock_layers, in_training_form

MODEL_NAME, HISTORY_NAME, STATE_NAME = "model.keras", "history.json", "state.json"
THRESHOLD_BOUNDS = (0.1, 0.9)

Model = Any


@dataclass(frozen=True)
class DetectionData:
    train: BoxedImages
    validation: BoxedImages | None
    alarms: BoxedImages | None
    """Training pictures without people, which are not trained on."""


def prepare(data: BoxedImages, recipe: DetectionRecipe) -> DetectionData:
    """Choose what a recipe trains on and bring its boxes to one convention.

    Raises:
        DataError: the split is missing, or no face is left.
    """
    section = recipe.data
    data = data.with_maps(box_maps(section))
    alarms = None
    if section.alarm_prefix:
        rooms = data.named((section.alarm_prefix,))
        if (rooms & _of_split(data, section.split)).any():
            alarms = data.select(rooms).split(section.split)
        data = data.select(~rooms)
    if section.leave_out:
        data = data.select(~data.named(section.leave_out))
    train = data.split(section.split)
    if section.mislabelled:
        train = train.select(~train.named(section.mislabelled))
    if section.held_out_every:
        train = train.select(~held_out(train.names, section.held_out_every))
    if not any(len(boxes) for boxes in train.boxes):
        raise DataError(f"{data.source}: no boxes to train on")
    validation = None
    if section.validation_split and _of_split(data, section.validation_split).any():
        validation = data.split(section.validation_split)
    return DetectionData(train, validation, alarms)


def _of_split(data: BoxedImages, name: str) -> npt.NDArray[np.bool_]:
    """Mask (N,) of a split in any of its spellings."""
    return np.asarray(data.splits == (canonical_split(name) or name))


def held_out(names: Sequence[str], every: int) -> npt.NDArray[np.bool_]:
    """Mask (N,) of one picture in `every`, by CRC-32 of its name."""
    return np.array([zlib.crc32(name.encode()) % every == 0 for name in names], bool)


def fit_detector(
    recipe: DetectionRecipe,
    data_path: Path,
    out: Path,
    *,
    seed: int,
    deterministic: bool = False,
    start: Path | None = None,
) -> Path:
    """Train, or resume what was interrupted, and write `model.keras` with its contract to `out`.

    Args:
        data_path: folder or zip archive in YOLO layout.
        out: run folder; holds the checkpoint of the last whole epoch until training is complete.
        seed: seeds the weights and every scene.
        deterministic: use deterministic kernels only (slower).
        start: run folder or `.keras` file of the same architecture whose weights to start from.

    Raises:
        UsageError: `start` is no model of the recipe's architecture.
        DataError: unreadable data, or `out` holds a run with another recipe, seed or data.
    """
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    prepared = prepare(yolo.read(data_path), recipe)
    identity = {
        "recipe": recipe.identity(),
        "seed": seed,
        "train_sha256": prepared.train.digest(),
        "keras_backend": keras.backend.backend(),
    }
    if start is not None:
        start = start / MODEL_NAME if start.is_dir() else start
        identity["start_sha256"] = weights_digest(start)
    steps = max(1, recipe.scenes.scenes // recipe.train.batch_size)
    pictures = partial(composed_pictures, recipe, prepared.train, NARROWING_PICTURES, seed)
    model, epoch, history = _start_or_resume(recipe, out, identity, start, pictures)
    _report_start(recipe, prepared, model, epoch, out)
    maker = SceneMaker(prepared.train, recipe.data, recipe.scenes, model.input_shape[1:3])
    while epoch < recipe.train.epochs:
        row = _train_epoch(recipe, maker, model, epoch, steps, seed)
        epoch += 1
        due = epoch % recipe.train.validate_every == 0 or epoch == recipe.train.epochs
        if prepared.validation is not None and due:
            row["val_average_precision"] = _average_precision(model, prepared.validation, recipe)
        history.append(row)
        _save(model, out, epoch, recipe.train.epochs, identity, history)
        print("  ".join(f"{key} {value:g}" for key, value in row.items()), file=sys.stderr)
    return _finish(recipe, prepared, model, history, out, identity)


def composed_pictures(
    recipe: DetectionRecipe, train: BoxedImages, count: int, seed: int
) -> npt.NDArray[np.float32]:
    """Pictures (N, height, width, 1), 0..255, as the recipe composes them; whole batches."""
    section, hw = recipe.train, (recipe.data.height, recipe.data.width)
    maker = SceneMaker(train, recipe.data, recipe.scenes, hw)
    steps = max(1, count // section.batch_size)
    batches = epoch_batches(
        maker, hw, section.batch_size, section.box_weight, steps=steps, seed=seed, epoch=0
    )
    return np.concatenate([pixels for pixels, _ in islice(batches, steps)])


def compile_model(model: Model, recipe: DetectionRecipe) -> None:
    """Compile with AdamW and the losses; the loop sets the learning rate."""
    section = recipe.train
    optimizer = keras.optimizers.AdamW(section.learning_rate, weight_decay=section.weight_decay)
    _spare_from_decay(optimizer)
    losses = [FocalLoss() if name.startswith("score") else BoxLoss() for name in OUTPUTS]
    # XLA on a CPU takes twice the time of TensorFlow's own kernels here.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer=optimizer, loss=losses, jit_compile=jit)


def learning_rate(section: DetectionScheduleSection, progress: float) -> float:
    """Rate after `progress` epochs: warm-up, constant, cool-down."""
    if progress < section.warmup_epochs:
        return section.learning_rate * progress / section.warmup_epochs
    left = section.epochs - progress
    if left >= section.cooldown_epochs:
        return section.learning_rate
    return section.learning_rate * (1 - math.sqrt(1 - left / section.cooldown_epochs))


def _spare_from_decay(optimizer: Any) -> None:
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])


def _start_or_resume(
    recipe: DetectionRecipe,
    out: Path,
    identity: dict[str, Any],
    start: Path | None,
    pictures: Callable[[], npt.NDArray[np.float32]],
) -> tuple[Model, int, list[dict[str, float]]]:
    state_path = out / STATE_NAME
    if not state_path.exists():
        keras.utils.set_random_seed(identity["seed"])
        shape = (recipe.data.height, recipe.data.width, 1)
        model = build_model(recipe.model.architecture, shape, 1, **recipe.model.parameters)
        if len(model.outputs) != len(OUTPUTS):
            raise UsageError(f"architecture {recipe.model.architecture!r} is no detector; use 'edge_face'")
        if start is not None:
            copy_weights(_load_start(start), start, model, identity["seed"], pictures)
        model = in_training_form(model)
        compile_model(model, recipe)
        return model, 0, []
    try:
        state = json.loads(state_path.read_text(encoding="utf-8"))
        if _with_defaults(state["identity"]) != identity:
            raise DataError(
                f"{out}: holds a run of another recipe, seed, backend or data; give another --out "
                "or delete the folder"
            )
        epochs = min(recipe.train.epochs, int(state["epochs"]))
        other = recipe.train.epochs != state["epochs"]
        if other and state["epoch"] > epochs - recipe.train.cooldown_epochs:
            raise DataError(
                f"{out}: the run of {state['epochs']} epochs has begun to cool down, it cannot be resumed "
                f"with {recipe.train.epochs}; give another --out or delete the folder"
            )
        model = keras.saving.load_model(out / state["checkpoint"])
        # Which variables are spared is not part of a saved optimizer.
        _spare_from_decay(model.optimizer)
        return model, int(state["epoch"]), list(state["history"])
    except (KeyError, ValueError, OSError) as error:
        raise DataError(
            f"{out}: its checkpoint cannot be read ({error}); delete the folder to start again"
        ) from None


def _with_defaults(identity: dict[str, Any]) -> dict[str, Any]:
    """Fill in settings of data and scenes that did not exist when the run was started."""
    recipe = dict(identity["recipe"])
    for name, section in (("data", BoxDataSection()), ("scenes", SceneSection())):
        recipe[name] = {**json.loads(json.dumps(asdict(section))), **recipe[name]}
    return {**identity, "recipe": recipe}


def weights_digest(path: Path) -> str:
    """SHA-256 of a model's weights: its file also holds a contract, which may be written anew.

    Raises:
        UsageError: no Keras model.
    """
    digest = hashlib.sha256()
    for value in _load_start(path).get_weights():
        digest.update(np.ascontiguousarray(value, np.float32).tobytes())
    return digest.hexdigest()


def _load_start(path: Path) -> Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, KeyError) as error:
        raise UsageError(f"--start {path}: no Keras model ({error})") from None


def _train_epoch(
    recipe: DetectionRecipe, maker: SceneMaker, model: Model, epoch: int, steps: int, seed: int
) -> dict[str, float]:
    section = recipe.train
    batches = epoch_batches(
        maker,
        model.input_shape[1:3],
        section.batch_size,
        section.box_weight,
        steps=steps,
        seed=seed,
        epoch=epoch,
    )
    total = rate = 0.0
    with tqdm(
        total=steps,
        desc=f"epoch {epoch + 1}/{section.epochs}",
        unit="batch",
        file=sys.stderr,
        leave=False,
        mininterval=1.0,
    ) as bar:
        for step, (pixels, targets) in enumerate(batches, start=1):
            rate = learning_rate(section, epoch + (step - 0.5) / steps)
            model.optimizer.learning_rate = rate
            logs = model.train_on_batch(pixels, targets, return_dict=True)
            total += float(logs["loss"])
            if not np.isfinite(total):
                raise DataError(f"the loss is not finite in epoch {epoch + 1}; lower learning_rate")
            model.reset_metrics()
            bar.update()
            bar.set_postfix(loss=f"{total / step:.3f}", refresh=False)
    return {
        "epoch": epoch + 1,
        "learning_rate": round(rate, 8),
        "loss": round(total / steps, 5),
    }


def _save(
    model: Model,
    out: Path,
    epoch: int,
    epochs: int,
    identity: dict[str, Any],
    history: list[dict[str, float]],
) -> None:
    checkpoint = out / f"checkpoint-{epoch:04d}.keras"
    write_atomically(checkpoint, model.save)
    state = {
        "epoch": epoch,
        "epochs": epochs,
        "checkpoint": checkpoint.name,
        "identity": identity,
        "history": history,
    }
    write_json(out / STATE_NAME, state)
    write_json(out / HISTORY_NAME, history)
    for old in out.glob("checkpoint-*.keras"):
        if old != checkpoint:
            old.unlink()


def _decoding(recipe: DetectionRecipe, threshold: float) -> Decoding:
    section = recipe.contract
    return Decoding(
        outputs=OUTPUTS,
        score_threshold=threshold,
        nms_iou=section.nms_iou,
        fill=section.fill,
        box_map=box_map(section.box_map),
        second_look=second_look(section.second_look),
    )


def _average_precision(model: Model, data: BoxedImages, recipe: DetectionRecipe) -> float:
    decoding = _decoding(recipe, recipe.contract.score_threshold)
    found = evaluate.detect_all(model, data, decoding, evaluate.LEAST_SCORE)
    return evaluate.quality(found, data, [], recipe.contract.score_threshold).average_precision


def _finish(
    recipe: DetectionRecipe,
    prepared: DetectionData,
    model: Model,
    history: list[dict[str, float]],
    out: Path,
    identity: dict[str, Any],
) -> Path:
    """Write the trained model with its contract and without its optimizer."""
    contract = _contract(recipe, prepared, model, identity)
    bare = keras.models.clone_model(in_stock_layers(model))
    bare.set_weights(model.get_weights())
    path = out / MODEL_NAME

    def write(temporary: Path) -> None:
        bare.save(temporary)
        embed_keras(temporary, contract)

    write_atomically(path, write)
    write_json(out / HISTORY_NAME, history)
    print(f"wrote {path}", file=sys.stderr)
    return path


def _contract(
    recipe: DetectionRecipe, prepared: DetectionData, model: Model, identity: dict[str, Any]
) -> ModelContract:
    threshold = recipe.contract.score_threshold
    alarms: evaluate.Detections = []
    decoding = _decoding(recipe, threshold)
    if prepared.alarms is not None:
        alarms = evaluate.detect_all(model, prepared.alarms, decoding, evaluate.LEAST_SCORE)
        threshold = round(
            evaluate.threshold_for_alarms(alarms, recipe.contract.alarms_per_picture, *THRESHOLD_BOUNDS), 4
        )
        decoding = _decoding(recipe, threshold)
    validation: dict[str, Any] = {}
    if prepared.validation is not None:
        found = evaluate.detect_all(model, prepared.validation, decoding, evaluate.LEAST_SCORE)
        validation = {
            "split": recipe.data.validation_split,
            "data_sha256": prepared.validation.digest(),
            "model": "float32 Keras",
            **asdict(evaluate.quality(found, prepared.validation, alarms, threshold)),
        }
        print("  ".join(f"{key} {value}" for key, value in validation.items()), file=sys.stderr)
    recipe_json = json.dumps(identity["recipe"], sort_keys=True).encode()
    return ModelContract(
        name=recipe.name,
        task="detect",
        labels=("face",),
        input=InputSpec(recipe.data.height, recipe.data.width),
        decoding=decoding.to_json(),
        producer={
            "edge-fer": metadata.version("edge-fer"),
            "keras": keras.__version__,
            "keras_backend": keras.backend.backend(),
            "recipe": recipe.name,
            "recipe_sha256": hashlib.sha256(recipe_json).hexdigest(),
            "seed": identity["seed"],
            "train_sha256": identity["train_sha256"],
            "train_images": len(prepared.train),
        },
        validation=validation,
    )


def _report_start(
    recipe: DetectionRecipe, prepared: DetectionData, model: Model, epoch: int, out: Path
) -> None:
    faces = sum(len(boxes) for boxes in prepared.train.boxes)
    held_out = len(prepared.validation) if prepared.validation is not None else 0
    rooms = len(prepared.alarms) if prepared.alarms is not None else 0
    print(
        f"{recipe.name}: {model.count_params():,} parameters; {len(prepared.train):,} pictures with "
        f"{faces:,} faces to train on, {held_out:,} to validate on, {rooms:,} to count false alarms",
        file=sys.stderr,
    )
    if epoch:
        print(f"resuming {out} after epoch {epoch}", file=sys.stderr)

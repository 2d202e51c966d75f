"""`python -m train fit`: train the model of a recipe, resumable at every epoch's end."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.contract import CropSpec, InputSpec, ModelContract
from edge_runtime.datasets import LabeledImages, load_dataset
from edge_runtime.errors import DataError
from edge_runtime.modelfile import embed_keras
from train.data import EpochBatches, TrainingData, prepare, with_channels
from train.files import write_atomically, write_json
from train.models import build_model
from train.recipe import Recipe
from train.temperature import fit_temperature, fit_threshold, log_softmax

MODEL_NAME, HISTORY_NAME, STATE_NAME = "model.keras", "history.json", "state.json"

WEIGHT_SECTIONS = ("model", "data", "augment", "train")
"""Sections of a recipe that the weights depend on; a run is resumed only with the same ones."""


def fit(recipe: Recipe, data_path: Path, out: Path, *, seed: int, deterministic: bool) -> Path:
    """Train, or resume what was interrupted, and write `model.keras` with its contract to `out`.

    Args:
        data_path: any form that `edge_runtime.datasets` reads.
        out: run folder; holds the checkpoint of the last whole epoch until training is complete.
        seed: seeds the weights, the validation split and every batch.
        deterministic: use deterministic kernels only (slower).

    Raises:
        DataError: unreadable data, or `out` holds a run with another recipe, seed or data.
    """
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    data = load_dataset(data_path)
    prepared = prepare(data, recipe.data, seed)
    identity = {
        "recipe": {key: value for key, value in recipe.to_dict().items() if key in WEIGHT_SECTIONS},
        "seed": seed,
        "train_sha256": prepared.train.digest(),
        "keras_backend": keras.backend.backend(),
    }
    model, epoch, history = _start_or_resume(recipe, prepared, out, identity)
    _report_start(recipe, prepared, model, epoch, out)
    if epoch < recipe.train.epochs:
        batches = EpochBatches(prepared.train, recipe.augment, recipe.train.batch_size, seed, epoch=epoch)
        model.fit(
            batches,
            epochs=recipe.train.epochs,
            initial_epoch=epoch,
            shuffle=False,
            verbose=0,
            callbacks=[_EpochEnd(recipe, prepared, out, identity, history, len(batches))],
        )
    return _finish(recipe, prepared, model, history, out, identity)


def steps_per_epoch(recipe: Recipe, count: int) -> int:
    return count // min(recipe.train.batch_size, count)


def compile_model(model: keras.Model, recipe: Recipe, steps: int) -> None:
    """Compile with the recipe's optimizer, schedule and loss.

    Args:
        steps: batches per epoch, which the learning-rate schedule counts in.
    """
    model.compile(
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.train.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        # XLA on a CPU takes twice the time of TensorFlow's own kernels here.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    section = recipe.train
    rate: Any = section.learning_rate
    if section.schedule == "cosine":
        warmup = round(section.warmup_epochs * steps)
        total = max(section.epochs * steps - warmup, 1)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else section.learning_rate,
            decay_steps=total,
            warmup_target=section.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    elif section.schedule != "constant":
        raise DataError(f"schedule must be 'cosine' or 'constant'. Received: {section.schedule!r}")
    decay = section.weight_decay or None
    if section.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=section.momentum, nesterov=True, weight_decay=decay)
    elif section.optimizer in ("adam", "adamw"):
        kind = keras.optimizers.Adam if section.optimizer == "adam" else keras.optimizers.AdamW
        optimizer = kind(rate, weight_decay=decay)
    else:
        raise DataError(f"optimizer must be sgd, adam or adamw. Received: {section.optimizer!r}")
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def predict_logits(
    model: keras.Model, images: npt.NDArray[np.uint8], batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Logits (N, outputs) of uint8 pictures (N, H, W[, C])."""
    pixels = with_channels(images)
    parts = [
        np.asarray(model.predict_on_batch(pixels[start : start + batch_size].astype(np.float32)))
        for start in range(0, len(pixels), batch_size)
    ]
    return np.concatenate(parts)


def _start_or_resume(
    recipe: Recipe, prepared: TrainingData, out: Path, identity: dict[str, Any]
) -> tuple[keras.Model, int, list[dict[str, float]]]:
    state_path = out / STATE_NAME
    if not state_path.exists():
        keras.utils.set_random_seed(identity["seed"])
        images = with_channels(prepared.train.images)
        outputs = len(prepared.train.class_names)
        parameters = recipe.model.parameters
        model = build_model(recipe.model.architecture, images.shape[1:], outputs, **parameters)
        compile_model(model, recipe, steps_per_epoch(recipe, len(images)))
        return model, 0, []
    try:
        state = json.loads(state_path.read_text(encoding="utf-8"))
        if state["identity"] != json.loads(json.dumps(identity)):
            raise DataError(
                f"{out}: holds a run of another recipe, seed, backend or data; give another --out "
                "or delete the folder"
            )
        model = keras.saving.load_model(out / state["checkpoint"])
        decay = model.optimizer.weight_decay
        if decay:
            # Which variables are spared is not part of a saved optimizer.
            model.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return model, int(state["epoch"]), list(state["history"])
    except (KeyError, ValueError, OSError) as error:
        raise DataError(
            f"{out}: its checkpoint cannot be read ({error}); delete the folder to start again"
        ) from None


class _EpochEnd(keras.callbacks.Callback):
    """Progress bar, validation, history and checkpoint."""

    def __init__(
        self,
        recipe: Recipe,
        prepared: TrainingData,
        out: Path,
        identity: dict[str, Any],
        history: list[dict[str, float]],
        steps: int,
    ) -> None:
        super().__init__()
        self._recipe, self._prepared, self._out = recipe, prepared, out
        self._identity, self._history, self._steps = identity, history, steps
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._bar = tqdm(
            total=self._steps,
            desc=f"epoch {epoch + 1}/{self._recipe.train.epochs}",
            unit="batch",
            file=sys.stderr,
            leave=False,
            mininterval=1.0,
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._bar.update()
        if logs:
            self._bar.set_postfix(
                loss=f"{logs['loss']:.3f}", accuracy=f"{logs['accuracy']:.3f}", refresh=False
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._bar.close()
        row = {
            "epoch": epoch + 1,
            "learning_rate": float(self.model.optimizer.learning_rate),
            **{key: round(float(value), 5) for key, value in (logs or {}).items()},
        }
        if self._prepared.validation is not None:
            row |= _validate(self.model, self._prepared.validation)
        self._history.append(row)
        self._save(epoch + 1)
        print("  ".join(f"{key} {value:g}" for key, value in row.items()), file=sys.stderr)

    def _save(self, epoch: int) -> None:
        checkpoint = self._out / f"checkpoint-{epoch:04d}.keras"
        write_atomically(checkpoint, self.model.save)
        state = {
            "epoch": epoch,
            "checkpoint": checkpoint.name,
            "identity": self._identity,
            "history": self._history,
        }
        write_json(self._out / STATE_NAME, state)
        write_json(self._out / HISTORY_NAME, self._history)
        for old in self._out.glob("checkpoint-*.keras"):
            if old != checkpoint:
                old.unlink()


def _validate(model: keras.Model, data: LabeledImages) -> dict[str, float]:
    logits = predict_logits(model, data.images)
    rows = np.arange(len(data))
    return {
        "val_loss": round(float(-log_softmax(logits)[rows, data.labels].mean()), 5),
        "val_accuracy": round(float((logits.argmax(axis=1) == data.labels).mean()), 5),
    }


def _finish(
    recipe: Recipe,
    prepared: TrainingData,
    model: keras.Model,
    history: list[dict[str, float]],
    out: Path,
    identity: dict[str, Any],
) -> Path:
    """Write the trained model with its contract and without its optimizer."""
    contract = _contract(recipe, prepared, model, identity)
    path = out / MODEL_NAME
    model.compile()

    def write(temporary: Path) -> None:
        model.save(temporary)
        embed_keras(temporary, contract)

    write_atomically(path, write)
    write_json(out / HISTORY_NAME, history)
    print(f"wrote {path}", file=sys.stderr)
    return path


def _contract(
    recipe: Recipe, prepared: TrainingData, model: keras.Model, identity: dict[str, Any]
) -> ModelContract:
    data = prepared.train
    height, width = data.images.shape[1:3]
    recipe_json = json.dumps(identity["recipe"], sort_keys=True).encode()
    contract = ModelContract(
        name=recipe.name,
        task="softmax",
        labels=data.class_names,
        input=InputSpec(height, width, "luma" if data.images.ndim == 3 else "rgb"),
        crop=CropSpec(recipe.contract.crop_margin, recipe.contract.crop_offset_y),
        producer={
            "edge-fer": metadata.version("edge-fer"),
            "keras": keras.__version__,
            "keras_backend": keras.backend.backend(),
            "recipe": recipe.name,
            "recipe_sha256": hashlib.sha256(recipe_json).hexdigest(),
            "seed": identity["seed"],
            "train_sha256": identity["train_sha256"],
            "train_images": len(data),
        },
    )
    if prepared.validation is None:
        return contract
    from edge_runtime.metrics.intervals import wilson_interval

    validation = prepared.validation
    logits = predict_logits(model, validation.images)
    temperature = round(fit_temperature(logits, validation.labels), 4)
    probabilities = np.exp(log_softmax(logits / temperature))
    correct = probabilities.argmax(axis=1) == validation.labels
    confidence = probabilities.max(axis=1)
    threshold = fit_threshold(confidence, correct, recipe.contract.answered_accuracy)
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return replace(
        contract,
        temperature=temperature,
        uncertain_below=round(threshold, 4),
        validation={
            "split": "held out of the training split, identical pictures kept together",
            "data_sha256": validation.digest(),
            "n": len(validation),
            "top1": round(float(correct.mean()), 4),
            "top1_interval": [round(low, 4), round(high, 4)],
            "model": "float32 Keras",
            "answered_above_threshold": round(float((confidence >= threshold).mean()), 4),
            "accuracy_above_threshold": round(float(correct[confidence >= threshold].mean()), 4),
        },
    )


def _report_start(
    recipe: Recipe, prepared: TrainingData, model: keras.Model, epoch: int, out: Path
) -> None:
    held_out = len(prepared.validation) if prepared.validation is not None else 0
    print(
        f"{recipe.name}: {model.count_params():,} parameters; {len(prepared.train):,} images to train on, "
        f"{held_out:,} to validate on; left out: {prepared.dropped_blank} blank, "
        f"{prepared.dropped_conflicting} identical with conflicting labels",
        file=sys.stderr,
    )
    if epoch:
        print(f"resuming {out} after epoch {epoch}", file=sys.stderr)

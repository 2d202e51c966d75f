"""The one training loop: phases, validation, checkpoints; resumable at every epoch's end."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from train.averaging import WeightAverage
from train.batches import EpochBatches, untuned
from train.data import TrainingData
from train.history import TensorBoardLog
from train.inference import predict_logits
from train.optimize import after_loading, choose_layers, compile_model
from train.progress import Progress
from train.recipe import Recipe
from train.run import RunFolder
from train.sections import ScheduleSection
from train.temperature import log_softmax


@dataclass(frozen=True)
class Job:
    """One training: what is trained on what, and the three seams that the verbs fill differently."""

    recipe: Recipe
    data: TrainingData
    run: RunFolder
    seed: int
    make_model: Callable[[], keras.Model]
    """The model to start from; called once, after seeding."""
    make_batches: Callable[[int], EpochBatches]
    """Batches from an epoch on."""
    compile: Callable[[keras.Model, Recipe, ScheduleSection, int], None] = compile_model
    tensorboard: bool = False


@dataclass(frozen=True)
class Outcome:
    model: keras.Model
    """Holds the weights to hand over: of the best epoch, averaged, or the last."""
    history: list[dict[str, float]]


def train(job: Job) -> Outcome:
    """Train to the end, or go on from the run's checkpoint.

    Raises:
        DataError: the run folder holds another run, or its checkpoint is damaged.
    """
    schedules = job.recipe.schedules()
    section = job.recipe.train
    average = WeightAverage(section.ema) if section.ema and section.epochs else None
    checkpoint = job.run.checkpoint()
    if checkpoint is None:
        keras.utils.set_random_seed(job.seed)
        model, progress, history = job.make_model(), Progress(), list[dict[str, float]]()
        if not section.epochs:
            job.run.save(model, progress, history, average)
    else:
        progress, history = checkpoint.progress, list(checkpoint.history)
        try:
            model = keras.saving.load_model(checkpoint.model)
            if average is not None and checkpoint.average is not None:
                average.load(checkpoint.average)
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise job.run.damaged(error) from None
        print(f"resuming {job.run.path} after epoch {progress.epoch}", file=sys.stderr)
    while progress.phase < len(schedules):
        schedule = schedules[progress.phase]
        batches = job.make_batches(progress.epoch)
        batches.picture_px = schedule.picture_px
        if progress.phase_epoch == 0:
            if progress.phase > 0 and job.recipe.train.restore_best:
                job.run.load_best(model)
            choose_layers(model, schedule.train_layers)
            job.compile(model, job.recipe, schedule, len(batches))
        else:
            after_loading(model)
        epoch_end = _EpochEnd(job, schedule, progress, history, average, batches)
        if progress.phase_epoch < schedule.epochs:
            model.fit(
                untuned(batches),
                epochs=schedule.epochs,
                initial_epoch=progress.phase_epoch,
                shuffle=False,
                verbose=0,
                callbacks=[epoch_end],
            )
            progress = epoch_end.progress
        else:
            break
    if job.recipe.train.restore_best and job.run.best_weights.exists():
        job.run.load_best(model)
    elif average is not None:
        average.swap_into(model)
    choose_layers(model, ())
    return Outcome(model, history)


class _EpochEnd(keras.callbacks.Callback):
    """Progress bar, validation, history, checkpoint, and the decisions between epochs."""

    def __init__(
        self,
        job: Job,
        schedule: ScheduleSection,
        progress: Progress,
        history: list[dict[str, float]],
        average: WeightAverage | None,
        batches: EpochBatches,
    ) -> None:
        super().__init__()
        self.progress = progress
        self._job, self._schedule, self._history = job, schedule, history
        self._average, self._batches = average, batches
        self._total = sum(phase.epochs for phase in job.recipe.schedules())
        self._board = TensorBoardLog(job.run.path / "tensorboard") if job.tensorboard else None
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.start(self.progress.epoch)
        _seed_dropout(self.model, [self._job.seed, 11, self.progress.epoch])
        self._bar = tqdm(
            total=len(self._batches),
            desc=f"epoch {self.progress.epoch + 1}/{self._total}",
            unit="batch",
            file=sys.stderr,
            leave=False,
            mininterval=1.0,
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._average is not None:
            self._average.update(self.model)
        self._bar.update()
        if logs:
            self._bar.set_postfix(
                loss=f"{logs['loss']:.3f}", accuracy=f"{logs['accuracy']:.3f}", refresh=False
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._bar.close()
        model = self.model
        row: dict[str, float] = {
            "epoch": self.progress.epoch + 1,
            "learning_rate": float(model.optimizer.learning_rate),
            **{key: round(float(value), 5) for key, value in (logs or {}).items()},
        }
        if self._job.recipe.phases:
            row["phase"] = self.progress.phase + 1
        before = self._average.swap_into(model) if self._average is not None else None
        row |= _validate(model, self._job.data)
        self.progress, improved, reduce = self.progress.after_epoch(row, self._schedule)
        if improved and self._job.recipe.train.restore_best:
            self._job.run.save_best(model)
        if before is not None:
            model.set_weights(before)
        if reduce:
            lowest = self._schedule.minimum_learning_rate
            rate = max(float(model.optimizer.learning_rate) * self._schedule.plateau_factor, lowest)
            model.optimizer.learning_rate = rate
        model.stop_training = self.progress.phase_epoch == 0
        self._history.append(row)
        self._job.run.save(model, self.progress, self._history, self._average)
        if self._board is not None:
            self._board.write(row)
        print("  ".join(f"{key} {value:g}" for key, value in row.items()), file=sys.stderr)


def _seed_dropout(model: keras.Model, seeds: list[int]) -> None:
    """Make what dropout drops a function of seed and epoch; a `.keras` file does not keep its state."""
    rng = np.random.default_rng(seeds)
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign(rng.integers(0, 2**31, variable.shape))


def _validate(model: keras.Model, data: TrainingData) -> dict[str, float]:
    if data.validation is None:
        return {}
    logits = predict_logits(model, data.validation.images, data.input)
    labels = data.validation.labels
    rows = np.arange(len(labels))
    return {
        "val_loss": round(float(-log_softmax(logits)[rows, labels].mean()), 5),
        "val_accuracy": round(float((logits.argmax(axis=1) == labels).mean()), 5),
    }

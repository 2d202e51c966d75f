"""`python -m train distill`: train a small model on the answers of larger ones.

Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531). The teachers answer once per picture and
view, a view being one fixed augmentation, instead of in every step; the answers are kept in the run
folder. The student sees the views in turn, mirrored at random where the recipe mirrors; there the teachers'
answer is the mean of those to the view and to its mirror image. Faces without labels may stand beside the
data: of them the teachers' answers are all that is learned.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from tqdm import tqdm

from edge_runtime.classifier import Classifier, resolve_model
from edge_runtime.contract import CropSpec, ModelContract
from edge_runtime.datasets import fit_pictures
from edge_runtime.datasets.base import UNLABELLED
from edge_runtime.detectors import load_detector
from edge_runtime.errors import DataError, UsageError
from train.augment import augment_batch
from train.batches import EpochBatches, FloatArray
from train.data import TrainingData
from train.files import write_atomically
from train.fit import (
    FitOptions,
    extra_identity,
    finish,
    load_prepared,
    prepare_devices,
    recipe_job,
)
from train.inference import TrainedModel, load_trained, model_path, predict_logits
from train.loop import train
from train.optimize import compile_model
from train.quiet import without_greetings
from train.recipe import Recipe
from train.run import Identity, RunFolder
from train.sections import ScheduleSection
from train.temperature import log_softmax
from train.unlabelled import find_faces, with_unlabelled

BATCH = 256
SMALLEST = 1e-30
"""Probability below which a teacher's answer counts as this."""


@dataclass(frozen=True)
class Distillation:
    """How the student learns from its teachers."""

    temperature: float = 3.0
    """Softens the answers of teachers and student alike."""
    share: float = 0.7
    """Weight of the teachers' answers in the loss; the rest is the data's labels."""
    views: int = 8
    """Fixed augmentations per picture."""
    first_view: int = 0
    """Number of the first; those of other numbers are other augmentations."""

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and 0 < self.share <= 1 and self.views >= 1 and self.first_view >= 0):
            raise UsageError(
                "distill needs --temperature > 0, --share in 0..1, --views >= 1 and --first-view >= 0"
            )

    def numbers(self) -> range:
        """Of the views."""
        return range(self.first_view, self.first_view + self.views)

    def to_json(self) -> list[float]:
        """What identifies it in a run."""
        told = [self.temperature, self.share, self.views]
        return [*told, self.first_view] if self.first_view else told


@dataclass(frozen=True)
class Teacher:
    """A trained or a converted model that answers."""

    path: Path
    contract: ModelContract
    sha256: str
    """Of its file."""
    logits: Callable[[FloatArray], npt.NDArray]
    """Logits (N, classes), up to a constant per picture, of pictures (N, H, W, C), 0..255."""


def distill(
    recipe: Recipe,
    teachers: Sequence[Path],
    data_path: Path,
    out: Path,
    settings: Distillation,
    options: FitOptions,
    unlabelled: Sequence[str] = (),
    detector: str = "edge",
) -> Path:
    """Train the student of a recipe, or resume, and write its `model.keras` to `out`.

    Args:
        teachers: run folders, `.keras` files, converted models or names of released ones; their
            probabilities are averaged.
        unlabelled: recordings and folders of pictures whose faces are learned from as well, see
            `train.unlabelled.find_faces`.
        detector: what finds them, as `edge_runtime.detectors.load_detector` takes it.

    Raises:
        UsageError: a teacher with other labels, or a student with one sigmoid.
        DataError: as `fit`, or no face in `unlabelled`.
        SourceError: one of `unlabelled` cannot be read.
    """
    prepare_devices(recipe, options)
    prepared = load_prepared(recipe, data_path, options)
    loaded = [load_teacher(path) for path in teachers]
    for teacher in loaded:
        tasks = {teacher.contract.task, recipe.model.task}
        if teacher.contract.labels != prepared.train.class_names or tasks != {"softmax"}:
            raise UsageError(f"{teacher.path}: a teacher and its student need the same softmax labels")
    extra: dict[str, Any] = {
        "teachers_sha256": [teacher.sha256 for teacher in loaded],
        "distillation": settings.to_json(),
        **extra_identity(recipe, options),
    }
    pictures = prepared
    if unlabelled:
        crop = CropSpec(recipe.contract.crop_margin, recipe.contract.crop_offset_y)
        faces = find_faces(unlabelled, load_detector(detector), crop, prepared.input)
        pictures = with_unlabelled(prepared, faces)
        extra["unlabelled_sha256"] = hashlib.sha256(faces.tobytes()).hexdigest()
    identity = Identity(recipe, options.seed, prepared.train.digest(), extra)
    run = RunFolder(out, identity)
    # A folder that holds another run is refused before the teachers work for it.
    run.checkpoint()
    folders = [out] if options.start is None else [out, model_path(options.start).parent]
    answers = [
        _answers(view, loaded, pictures, recipe, settings, options.seed, folders)
        for view in settings.numbers()
    ]
    pictures = _answered(pictures, answers, settings.temperature)
    # Clearing forgets what is computed in, too.
    policy = keras.mixed_precision.dtype_policy()
    keras.backend.clear_session()
    keras.mixed_precision.set_global_policy(policy)
    job = replace(
        recipe_job(recipe, pictures, run, options),
        make_batches=lambda epoch: _DistillBatches(
            pictures, recipe, options.seed, answers, epoch, settings.first_view
        ),
        compile=partial(_compile, settings),
    )
    return finish(recipe, prepared, train(job), run, identity, options.calibration)


def load_teacher(path: Path) -> Teacher:
    """Load a teacher by its run folder, file or released name.

    Raises:
        ContractError: missing, damaged, without a contract, or a detector.
        UsageError: neither a file nor a released model.
    """
    if path.is_dir() or path.suffix == ".keras":
        trained = load_trained(path)
        digest = hashlib.sha256(trained.path.read_bytes()).hexdigest()
        return Teacher(trained.path, trained.contract, digest, partial(_keras_logits, trained))
    with without_greetings():
        converted = Classifier.load(resolve_model(path), threads=os.cpu_count() or 1)
    return Teacher(
        converted.file.path,
        converted.contract,
        converted.file.sha256,
        partial(converted_logits, converted),
    )


def view_pictures(
    prepared: TrainingData, recipe: Recipe, rows: npt.NDArray[np.int64], view: int, seed: int
) -> FloatArray:
    """Pictures (N, H, W, C) of one view, the same in every epoch and for every teacher."""
    pictures = fit_pictures(prepared.train.images[rows], prepared.input)
    return np.concatenate(
        [
            augment_batch(picture[None], recipe.augment, np.random.default_rng([seed, 9, view, int(row)]))
            for row, picture in zip(rows, pictures, strict=True)
        ]
    )


def _answers(
    view: int,
    teachers: Sequence[Teacher],
    prepared: TrainingData,
    recipe: Recipe,
    settings: Distillation,
    seed: int,
    folders: Sequence[Path],
) -> FloatArray:
    """Softened probabilities (N, classes) of one view.

    Args:
        folders: where they may be already: the run's own, which takes them, and that of the start.
    """
    digest = answers_digest(teachers, prepared, recipe, settings, seed)
    name = f"teachers-{view:02d}.npz"
    for path in (folder / name for folder in folders):
        kept = _kept_answers(path, digest)
        if kept is not None:
            return kept
    count = len(prepared.train)
    parts = []
    progress = tqdm(
        range(0, count, BATCH),
        desc=f"teachers, view {view - settings.first_view + 1}/{settings.views}",
        file=sys.stderr,
        leave=False,
    )
    for start in progress:
        rows = np.arange(start, min(start + BATCH, count))
        pictures = view_pictures(prepared, recipe, rows, view, seed)
        sides = [pictures, pictures[:, :, ::-1]] if recipe.augment.flip else [pictures]
        answers = [_soft(t, side, settings.temperature) for t in teachers for side in sides]
        parts.append(np.mean(answers, axis=0))
    probabilities = np.concatenate(parts).astype(np.float32)
    write_atomically(
        folders[0] / name,
        lambda temporary: np.savez(temporary, probabilities=probabilities, identity=digest),
    )
    return probabilities


def answers_digest(
    teachers: Sequence[Teacher],
    prepared: TrainingData,
    recipe: Recipe,
    settings: Distillation,
    seed: int,
) -> str:
    """SHA-256 of all that the teachers' answers depend on: a longer schedule asks nobody again."""
    # Mixing comes after the answers.
    changes = {name: value for name, value in asdict(recipe.augment).items() if name != "mixup"}
    parts = {
        "teachers": [teacher.sha256 for teacher in teachers],
        "mirrored": recipe.augment.flip,
        "temperature": settings.temperature,
        "augment": changes,
        "input": asdict(prepared.input),
        "data": prepared.train.digest(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _kept_answers(path: Path, digest: str) -> FloatArray | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["identity"]) != digest:
                return None
            return np.asarray(archive["probabilities"], np.float32)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it to ask the teachers again") from None


def _answered(data: TrainingData, answers: Sequence[FloatArray], temperature: float) -> TrainingData:
    """The data with the teachers' mean answer, softened no more, where a picture has no label."""
    none = data.train.labels == UNLABELLED
    if not none.any():
        return data
    # Undoes the softening of one teacher's answers, and nearly that of a mean.
    plain = np.mean([answer[none] ** temperature for answer in answers], axis=0)
    targets = data.targets.copy()
    targets[none] = plain / plain.sum(axis=1, keepdims=True)
    return replace(data, targets=targets)


def _soft(teacher: Teacher, pictures: FloatArray, temperature: float) -> npt.NDArray[np.float64]:
    return np.exp(log_softmax(teacher.logits(pictures) / temperature))


def _keras_logits(teacher: TrainedModel, pictures: FloatArray) -> npt.NDArray:
    spec = teacher.contract.input
    if pictures.shape[1:] == spec.shape[1:]:
        return np.asarray(teacher.model.predict_on_batch(pictures))
    return predict_logits(teacher.model, _whole(pictures), spec)


def converted_logits(model: Classifier, pictures: npt.NDArray) -> npt.NDArray[np.float64]:
    """Logits (N, classes), up to a constant per picture, of pictures (N, H, W, C), 0..255."""
    probabilities = model.predict(list(_whole(pictures))).astype(np.float64)
    return model.contract.temperature * np.log(np.maximum(probabilities, SMALLEST))


def _whole(pictures: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Pictures (N, H, W, C) as a camera gives them, (N, H, W[, 3])."""
    whole = np.clip(np.round(pictures), 0, 255).astype(np.uint8)
    return whole[..., 0] if whole.shape[3] == 1 else whole


class _DistillBatches(EpochBatches):
    """Batches of the views; targets are (labels, teachers' answers), (N, 2 * classes)."""

    def __init__(
        self,
        data: TrainingData,
        recipe: Recipe,
        seed: int,
        answers: Sequence[FloatArray],
        epoch: int,
        first_view: int = 0,
    ) -> None:
        super().__init__(data, recipe, seed, epoch)
        self._data, self._recipe, self._answers, self._first = data, recipe, answers, first_view

    def _pictures(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
        view = self._first + self._epoch % len(self._answers)
        pictures = view_pictures(self._data, self._recipe, rows, view, self._seed)
        if self._recipe.augment.flip:
            mirrored = rng.random(len(pictures)) < 0.5
            pictures[mirrored] = pictures[mirrored, :, ::-1]
        return pictures

    def _row_targets(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        answers = self._answers[self._epoch % len(self._answers)]
        return np.concatenate([self._targets[rows], answers[rows]], axis=1)


@keras.saving.register_keras_serializable("edge_fer")
class DistillationLoss(keras.losses.Loss):
    """Cross-entropy with the labels and, softened, with the teachers' answers.

    The second is multiplied by the temperature's square, so that both keep their weight whatever the
    temperature (Hinton et al. 2015, section 2).
    """

    def __init__(
        self,
        temperature: float,
        share: float,
        label_smoothing: float = 0.0,
        name: str = "distillation",
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        self.temperature, self.share, self.label_smoothing = temperature, share, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = y_pred.shape[-1]
        labels, answers = y_true[:, :classes], y_true[:, classes:]
        labels = labels * (1 - self.label_smoothing) + self.label_smoothing / classes
        hard = -ops.sum(labels * ops.log_softmax(y_pred), axis=-1)
        soft = -ops.sum(answers * ops.log_softmax(y_pred / self.temperature), axis=-1)
        return (1 - self.share) * hard + self.share * self.temperature**2 * soft

    def get_config(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "share": self.share,
            "label_smoothing": self.label_smoothing,
            "name": self.name,
            "reduction": self.reduction,
        }


@keras.saving.register_keras_serializable("edge_fer")
def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Share of right labels; the teachers' answers are passed over."""
    classes = y_pred.shape[-1]
    right = ops.equal(ops.argmax(y_true[:, :classes], axis=-1), ops.argmax(y_pred, axis=-1))
    return ops.cast(right, "float32")


def _compile(
    settings: Distillation, model: keras.Model, recipe: Recipe, schedule: ScheduleSection, steps: int
) -> None:
    compile_model(model, recipe, schedule, steps)
    model.compile(
        optimizer=model.optimizer,
        loss=DistillationLoss(settings.temperature, settings.share, recipe.train.label_smoothing),
        metrics=[keras.metrics.MeanMetricWrapper(accuracy, name="accuracy")],
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )

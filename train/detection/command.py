"""`python -m train fit`, `restore` and `calibrate` for recipes of task `detect`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from edge_runtime.errors import DataError, UsageError
from train.detection.recipe import TASK, detection_recipe
from train.recipe import read_recipe

CLASSIFIERS_ONLY = (
    "weights",
    "clean",
    "votes",
    "calibration",
    "tensorboard",
    "qat",
    "learning_rate",
    "mixed_precision",
    "data_parallel",
)


def fit_if_detector(options: argparse.Namespace) -> bool:
    """Train a detector if the recipe asks for one; returns whether it did.

    Raises:
        UsageError: a bad recipe, or an option that means nothing to detectors.
        DataError: unreadable data, or the run folder holds another run.
    """
    path, document = read_recipe(options.recipe)
    if document.get("task") != TASK:
        return False
    recipe = detection_recipe(document, str(path))
    for name in CLASSIFIERS_ONLY:
        if getattr(options, name, None):
            raise UsageError(
                f"recipe {recipe.name!r} trains a detector; leave --{name.replace('_', '-')} out"
            )
    epochs = getattr(options, "epochs", None)
    if epochs is not None:
        if epochs < 1:
            raise UsageError(f"--epochs must be at least 1. Received: {epochs}")
        recipe = replace(recipe, train=replace(recipe.train, epochs=epochs))
    from train.quiet import start_keras

    start_keras()
    from train.detection.loop import fit_detector

    fit_detector(
        recipe,
        options.data,
        options.out,
        seed=options.seed,
        deterministic=options.deterministic,
        start=getattr(options, "start", None),
    )
    return True


def restore_if_detector(options: argparse.Namespace) -> bool:
    """Restore a detector if the recipe is that of one; returns whether it did.

    Raises:
        as `train.detection.restore.restore_detector`.
    """
    path, document = read_recipe(options.recipe)
    if document.get("task") != TASK:
        return False
    recipe = detection_recipe(document, str(path))
    if not options.data.exists():
        raise DataError(f"{options.data}: no such file or folder")
    from train.quiet import start_keras

    start_keras()
    from edge_runtime.classifier import resolve_model
    from train.detection.restore import MODEL_NAME, restore_detector

    model_file = resolve_model(options.model)
    likeness = restore_detector(model_file, recipe, options.data, options.out, options.seed)
    print(f"answers like {options.model}: correlation {likeness:.4f}")
    print(f"wrote {options.out / MODEL_NAME}", file=sys.stderr)
    return True


def calibrate_if_detector(options: argparse.Namespace) -> bool:
    """Choose a detector's threshold anew if a recipe of one was given; returns whether it was.

    Raises:
        UsageError: a recipe of no detector, or an option that means nothing to detectors; otherwise as
            `train.detection.recalibrate.recalibrate_detector`.
    """
    if options.recipe is None:
        return False
    path, document = read_recipe(options.recipe)
    if document.get("task") != TASK:
        raise UsageError(f"{path}: is no detector's; a classifier is calibrated without --recipe")
    recipe = detection_recipe(document, str(path))
    for name, value in (("split", options.split), ("run", options.origin)):
        if value:
            raise UsageError(
                f"recipe {recipe.name!r} says what a detector is calibrated on; leave --{name} out"
            )
    if not options.data.exists():
        raise DataError(f"{options.data}: no such file or folder")
    from train.quiet import start_keras

    start_keras()
    from edge_runtime.classifier import resolve_model
    from train.detection.recalibrate import recalibrate_detector

    model_file = resolve_model(options.model)
    threshold, figures = recalibrate_detector(model_file, recipe, options.data, options.out)
    print(f"score threshold {threshold}")
    if figures is not None:
        low, high = figures.recall_tall_interval
        print(
            f"{recipe.data.validation_split}: average precision {figures.average_precision:.1%}, "
            f"recall {figures.recall_tall:.1%} [{low:.1%}, {high:.1%}] of {figures.tall_faces} tall faces; "
            f"{figures.false_alarms} alarms in {figures.empty_pictures} pictures without people"
        )
    print(f"wrote {options.out}", file=sys.stderr)
    return True

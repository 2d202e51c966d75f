"""`python -m train fit` for recipes of task `detect`."""

from __future__ import annotations

import argparse
from dataclasses import replace

from edge_runtime.errors import UsageError
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

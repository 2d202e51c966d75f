"""`python -m train kfold`: stratified cross-validation of a recipe, resumable per fold and epoch."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge_runtime.errors import UsageError
from edge_runtime.metrics import wilson
from train.data import prepare
from train.draft import OUT_OF_FOLD, calibrate
from train.files import write_atomically, write_json
from train.fit import (
    FitOptions,
    extra_identity,
    finish,
    load_data,
    load_sidecars,
    prepare_devices,
    recipe_job,
)
from train.inference import load_trained
from train.loop import train
from train.recipe import Recipe
from train.run import Identity, RunFolder

RESULT_NAME, LOGITS_NAME = "kfold.json", "out-of-fold.npz"


def kfold(recipe: Recipe, data_path: Path, out: Path, folds: int, options: FitOptions) -> dict[str, Any]:
    """Train `folds` times, each time holding another part out, and write `kfold.json`.

    Every picture of the training split is predicted once, by the model that has not seen it or a copy;
    on these predictions temperature and threshold are fitted, for `fit --calibration`. A fold whose
    model is there is not trained again.

    Raises:
        UsageError: fewer than two folds, or weights to start from.
        DataError: as `fit`.
    """
    if folds < 2:
        raise UsageError(f"--folds must be at least 2. Received: {folds}")
    if options.start is not None:
        raise UsageError("kfold takes no --start: those weights may have seen the pictures of every fold")
    prepare_devices(recipe, options)
    data = load_data(recipe, data_path)
    keep, votes = load_sidecars(options, data)
    scores, logits, labels, digests = [], [], [], []
    for index in range(folds):
        # Keras would keep the graphs of all folds.
        keras.backend.clear_session()
        prepared = prepare(data, recipe.data, options.seed, fold=(index, folds), keep=keep, votes=votes)
        validation = prepared.validation
        assert validation is not None
        extra = {"fold": [index, folds], **extra_identity(recipe, options)}
        identity = Identity(recipe, options.seed, prepared.train.digest(), extra)
        run = RunFolder(out / f"fold-{index + 1}", identity)
        # The checkpoint is read first: it refuses the fold of another recipe or data, and knows whether
        # another number of epochs leaves something to do.
        checkpoint = run.checkpoint()
        ended = checkpoint is not None and checkpoint.progress.phase >= len(recipe.schedules())
        if not ended or not run.model.exists():
            print(f"fold {index + 1} of {folds}", file=sys.stderr)
            outcome = train(recipe_job(recipe, prepared, run, options))
            finish(recipe, prepared, outcome, run, identity)
        predicted = load_trained(run.model).logits(validation.images)
        scores.append(float((predicted.argmax(axis=1) == validation.labels).mean()))
        logits.append(predicted)
        labels.append(validation.labels)
        digests.append(validation.digest())
    all_logits, all_labels = np.concatenate(logits), np.concatenate(labels)
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    calibration = calibrate(
        all_logits, all_labels, recipe.contract.answered_accuracy, f"{folds} folds: {OUT_OF_FOLD}", digest
    )
    correct = int((all_logits.argmax(axis=1) == all_labels).sum())
    result = {
        "recipe": recipe.name,
        "folds": folds,
        "seed": options.seed,
        "n": len(all_labels),
        "top1_per_fold": [round(score, 4) for score in scores],
        "top1_mean": round(float(np.mean(scores)), 4),
        "top1_deviation": round(float(np.std(scores, ddof=1)), 4),
        "top1_interval": [round(value, 4) for value in wilson(correct, len(all_labels))],
        "calibration": {
            "temperature": calibration.temperature,
            "uncertain_below": calibration.uncertain_below,
            "validation": dict(calibration.validation),
        },
    }
    write_atomically(out / LOGITS_NAME, lambda path: np.savez(path, logits=all_logits, labels=all_labels))
    write_json(out / RESULT_NAME, result)
    return result

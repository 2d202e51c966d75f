"""The contract draft that a trained model carries to conversion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.contract import CropSpec, ModelContract
from edge_runtime.errors import DataError
from edge_runtime.metrics import expected_calibration_error, wilson
from train.data import TrainingData
from train.inference import load_trained, predict_logits
from train.recipe import Recipe
from train.temperature import fit_threshold, log_softmax, match_confidence

HELD_OUT = "held out of the training split, identical pictures kept together"
OUT_OF_FOLD = "out-of-fold predictions of the training split, identical pictures kept together"
TWIN = "of another run, which held them out"


@dataclass(frozen=True)
class Calibration:
    """Temperature and threshold with the figures of the pictures that they were fitted on."""

    temperature: float
    uncertain_below: float
    validation: Mapping[str, Any]


def calibrate(
    logits: npt.NDArray,
    labels: npt.NDArray[np.int64],
    answered_accuracy: float,
    split: str,
    data_sha256: str,
    model: str = "float32 Keras",
) -> Calibration:
    """Choose temperature and threshold.

    Args:
        logits: (N, classes) of pictures that the model was not trained on.
        labels: (N,) true classes.
        split: says which pictures, for the contract.
        model: says what gave the logits, likewise.
    """
    temperature = round(match_confidence(logits, labels), 4)
    probabilities = np.exp(log_softmax(logits / temperature))
    correct = probabilities.argmax(axis=1) == labels
    confidence = probabilities.max(axis=1)
    threshold = round(fit_threshold(confidence, correct, answered_accuracy), 4)
    answered = confidence >= threshold
    interval = wilson(int(correct.sum()), len(correct))
    return Calibration(
        temperature,
        threshold,
        {
            "split": split,
            "data_sha256": data_sha256,
            "n": len(labels),
            "top1": round(float(correct.mean()), 4),
            "top1_interval": [round(interval.low, 4), round(interval.high, 4)],
            "ece": round(expected_calibration_error(confidence, correct), 4),
            "model": model,
            "answered_above_threshold": round(float(answered.mean()), 4),
            "accuracy_above_threshold": round(float(correct[answered].mean()), 4)
            if answered.any()
            else None,
        },
    )


def read_calibration(path: Path) -> Calibration:
    """Calibration as `kfold` wrote it, or that of a run which held pictures out.

    Args:
        path: `kfold.json`, run folder or `.keras` file.

    Raises:
        DataError: missing, or not such a file.
        ContractError: a run without a model, or with a damaged one.
    """
    if path.is_dir() or path.suffix == ".keras":
        return _calibration_of_run(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))["calibration"]
        return Calibration(
            float(document["temperature"]), float(document["uncertain_below"]), document["validation"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: no calibration in it ({error}); give the kfold.json of a kfold, or a run that held "
            "pictures out"
        ) from None


def _calibration_of_run(path: Path) -> Calibration:
    trained = load_trained(path)
    contract = trained.contract
    if not contract.validation:
        raise DataError(f"{trained.path}: held nothing out; give a run of a recipe with validation above 0")
    told = {**contract.validation, "model": f"{contract.validation.get('model')}, {TWIN}"}
    return Calibration(contract.temperature, contract.uncertain_below, told)


def contract_draft(
    recipe: Recipe,
    data: TrainingData,
    model: keras.Model,
    identity: Mapping[str, Any],
    calibration: Calibration | None,
) -> ModelContract:
    """Contract of a trained model; without a calibration it is fitted on the held-out pictures."""
    recipe_json = json.dumps(identity["recipe"], sort_keys=True).encode()
    contract = ModelContract(
        name=recipe.name,
        task=recipe.model.task,
        labels=data.train.class_names,
        input=data.input,
        crop=CropSpec(recipe.contract.crop_margin, recipe.contract.crop_offset_y),
        producer={
            "edge-fer": metadata.version("edge-fer"),
            "keras": keras.__version__,
            "keras_backend": keras.backend.backend(),
            "recipe": recipe.name,
            "recipe_sha256": hashlib.sha256(recipe_json).hexdigest(),
            "seed": identity["seed"],
            "train_sha256": identity["train_sha256"],
            "train_images": len(data.train),
        },
    )
    if calibration is None and data.validation is not None:
        logits = predict_logits(model, data.validation.images, data.input)
        calibration = calibrate(
            logits,
            data.validation.labels,
            recipe.contract.answered_accuracy,
            HELD_OUT,
            data.validation.digest(),
        )
    if calibration is None:
        return contract
    return replace(
        contract,
        temperature=calibration.temperature,
        uncertain_below=calibration.uncertain_below,
        validation=calibration.validation,
    )

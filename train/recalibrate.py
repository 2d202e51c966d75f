"""`python -m train calibrate`: temperature and threshold of a converted classifier, chosen anew.

The graph stays as it is; only its contract is written again. For pictures of one's own camera, whose
expressions are easier or harder than those that the model was calibrated on, and for the int8 graph itself
instead of the float32 model that it was converted from.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_runtime.classifier import Classifier
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import UsageError
from edge_runtime.modelfile import embed_onnx, embed_tflite, split_onnx, split_tflite
from train.distill import converted_logits
from train.draft import HELD_OUT, Calibration, calibrate
from train.evaluate import HELD_OUT_PARTS, read_split
from train.files import write_atomically
from train.inference import MODEL_NAME, TrainedModel
from train.quiet import without_greetings
from train.run import read_identity


def recalibrate(
    model_file: Path,
    data_path: Path,
    split: str,
    out: Path,
    *,
    run: Path | None = None,
    answered_accuracy: float = 0.75,
) -> Calibration:
    """Write a classifier with a temperature and threshold chosen on a split of some data.

    Args:
        model_file: `.tflite` or `.onnx` file with a contract, or of a released model.
        split: name of a split of the data, '' for all of it, or `held-out` for what `run` held out.
        out: file to write, of the same form.
        run: folder of the run that the model came from, for `held-out`.
        answered_accuracy: the threshold is the lowest at which the answered pictures reach it, 0..1.

    Raises:
        ContractError: no such file, damaged, or without a contract.
        UsageError: no softmax over logits, another form, or `held-out` without its run.
        DataError: unreadable data, no pictures of the split, or `out` cannot be written.
    """
    if not 0 < answered_accuracy <= 1:
        raise UsageError(f"--answered-accuracy must be above 0, at most 1. Received: {answered_accuracy}")
    if out.suffix != model_file.suffix:
        raise UsageError(f"--out must end in {model_file.suffix}, as the model does. Received: {out}")
    with without_greetings():
        classifier = Classifier.load(model_file)
    contract = classifier.contract
    if contract.task != "softmax" or contract.activation != "logits":
        raise UsageError(f"{model_file}: only models with a softmax over logits can be calibrated")
    if split in HELD_OUT_PARTS:
        _check_run(run, contract.producer.get("train_sha256"), model_file)
    where = TrainedModel((run or out.parent) / MODEL_NAME, None, contract)
    data, rows, labels = read_split(where, data_path, split)
    pictures = data.select(rows)
    logits = converted_logits(classifier, fit_pictures(pictures.images, contract.input))
    chosen = calibrate(
        logits,
        labels,
        answered_accuracy,
        HELD_OUT if split in HELD_OUT_PARTS else split or "all",
        pictures.digest(),
        f"this file, {classifier.backend.description}",
    )
    kept = {key: value for key, value in contract.validation.items() if key == "conversion"}
    # However often it was calibrated since.
    converted = contract.producer.get("calibrated_from_sha256", classifier.file.sha256)
    calibrated = replace(
        contract,
        temperature=chosen.temperature,
        uncertain_below=chosen.uncertain_below,
        validation={**chosen.validation, **kept},
        producer={**contract.producer, "calibrated_from_sha256": converted},
    )
    content = classifier.file.data
    if model_file.suffix == ".onnx":
        content = embed_onnx(split_onnx(content, model_file)[0], calibrated)
    else:
        content = embed_tflite(split_tflite(content, model_file)[0], calibrated)
    classifier.close()
    write_atomically(out, lambda temporary: temporary.write_bytes(content))
    return chosen


def _check_run(run: Path | None, trained_on: object, model_file: Path) -> None:
    if run is None:
        raise UsageError(
            "--split held-out needs --run: that which the model came from, or one restored from it"
        )
    if read_identity(run)[2]["train_sha256"] != trained_on:
        raise UsageError(f"{run}: held out other pictures than {model_file} was trained without")

"""Accuracy of model files on labelled pictures.

Every model runs on the device runtime's own classes, so that the figure is the device's. Results are a
JSON list, one object per model; docs/benchmarks.md explains every key.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import ferplus
from benchmarks.accuracy_text import as_text
from benchmarks.files import to_json, write_bytes, write_text
from benchmarks.host import describe_host
from benchmarks.progress import track
from edge_runtime.backends import NAMES
from edge_runtime.classifier import Classifier
from edge_runtime.contract import InputSpec
from edge_runtime.datasets import UNLABELLED, LabeledImages, canonical_split, fit_pictures, load_for_model
from edge_runtime.errors import DataError
from edge_runtime.metrics import (
    ClassificationScores,
    compare_paired,
    confusion_matrix,
    reliability_curve,
    risk_coverage_curve,
    scores_from_confusion,
    wilson,
)
from edge_runtime.metrics.calibration import DEFAULT_BINS, expected_calibration_error
from edge_runtime.preprocess import UInt8Array

SCHEMA = 1
RISK_COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="FILE|NAME",
        help="a model file or the name of a released model; repeat to compare several",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="PATH", help="labelled data: file or folder"
    )
    parser.add_argument("--split", metavar="NAME", help="rows to use, e.g. PublicTest; default: all rows")
    parser.add_argument("--backend", default="auto", choices=NAMES)
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument(
        "--flip-average", action="store_true", help="average each picture with its mirror image"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write accuracy.json and confusion-NAME.png here"
    )


def run(arguments: argparse.Namespace) -> int:
    votes = ferplus.find_votes(arguments.data)
    tasks: dict[tuple[InputSpec, tuple[str, ...]], Task] = {}
    host = describe_host().to_dict()
    results: list[dict[str, Any]] = []
    all_correct: list[npt.NDArray[np.bool_]] = []
    for model in arguments.model:
        classifier = Classifier.load(model, arguments.backend, arguments.threads, arguments.flip_average)
        try:
            contract = classifier.contract
            wanted = (contract.input, contract.labels)
            if wanted not in tasks:
                tasks[wanted] = prepare_task(
                    load_for_model(arguments.data, *wanted), arguments.split, votes
                )
            task = tasks[wanted]
            probabilities = predict_all(classifier, task.data.images)
            result = evaluate(task, classifier, probabilities)
        finally:
            classifier.close()
        if arguments.flip_average:
            result["model"] += " flip-average"
        correct = _correct(task, classifier, probabilities)
        result["paired"] = [
            _paired(correct, other, previous)
            for other, previous in zip(all_correct, results, strict=True)
            # Models of other classes may have seen other pictures.
            if set(previous["labels"]) == set(contract.labels)
        ]
        result["host"] = host
        results.append(result)
        all_correct.append(correct)
    if arguments.out:
        _write(arguments.out, results)
    print(to_json(results) if arguments.format == "json" else as_text(results), end="")
    return 0


@dataclass(frozen=True)
class Task:
    """The labelled rows to evaluate on, and what is known about each."""

    data: LabeledImages
    """Labelled rows of the split."""
    split: str
    """Name of the split, or `all`."""
    unlabelled: int
    """Rows of the split that were left out for want of a label."""
    leak_free: npt.NDArray[np.bool_] | None
    """(N,) rows whose pixels occur in no Training row; None where there are no Training rows."""
    ferplus: npt.NDArray[np.str_] | None
    """(N,) FER+ majority labels, '' where there is none; None where there are no votes."""


def prepare_task(dataset: LabeledImages, split: str | None, votes: Path | None) -> Task:
    """Choose the rows and look for what leaks from Training into them.

    Raises:
        DataError: no such split, or no labelled row in it.
    """
    majority = None
    if votes is not None:
        try:
            majority = ferplus.majority_labels(votes, dataset)
        except DataError as error:
            print(f"benchmarks accuracy: FER+ is left out: {error}", file=sys.stderr)
    in_split = np.ones(len(dataset), bool)
    if split is not None:
        dataset.split(split)  # raises the error that lists the splits
        in_split = dataset.splits == (canonical_split(split) or split)
    chosen = in_split & (dataset.labels != UNLABELLED)
    if not chosen.any():
        raise DataError(f"{dataset.source}: no labelled images; accuracy needs labels")
    data = dataset.select(chosen)
    training = dataset.splits == "Training"
    leak_free = None
    if training.any() and not (chosen & training).any():
        leak_free = ~np.isin(data.hashes(), dataset.select(training).hashes())
    return Task(
        data=data,
        split=str(data.splits[0]) if split is not None else "all",
        unlabelled=int(in_split.sum() - chosen.sum()),
        leak_free=leak_free,
        ferplus=None if majority is None else majority[chosen],
    )


def predict_all(classifier: Classifier, images: UInt8Array) -> npt.NDArray[np.float32]:
    """Probabilities (N, labels) of pictures (N, H, W) luma or (N, H, W, 3) RGB, each taken as a face."""
    pictures = fit_pictures(images, classifier.contract.input)
    progress = track(pictures, classifier.contract.name, len(pictures))
    return np.stack([classifier.predict(picture) for picture in progress])


def evaluate(task: Task, classifier: Classifier, probabilities: npt.NDArray[np.float32]) -> dict[str, Any]:
    """All figures of one model, ready for JSON; fractions 0..1.

    Raises:
        DataError: a class of the data is not among the model's labels.
    """
    contract, file = classifier.contract, classifier.file
    truth = task.data.labels_for(contract.labels)
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    correct = predicted == truth
    confusion = confusion_matrix(truth, predicted, len(contract.labels))
    scores = scores_from_confusion(confusion)
    return {
        "schema": SCHEMA,
        "kind": "accuracy",
        "model": contract.name,
        "model_file": file.path.name,
        "model_sha256": file.sha256,
        "model_bytes": len(file.data),
        "backend": classifier.backend.description,
        "data": {"digest": task.data.digest(), "split": task.split, "unlabelled": task.unlabelled},
        "n": scores.n,
        "top1": scores.top1,
        "top1_interval": list(wilson(scores.correct, scores.n)),
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "ece": expected_calibration_error(confidence, correct),
        "ece_bins": DEFAULT_BINS,
        "reliability": _reliability(confidence, correct),
        "risk_coverage": _risk_coverage(confidence, correct),
        "classes": _per_class(contract.labels, scores),
        "labels": list(contract.labels),
        "confusion": confusion.tolist(),
        "leak_free": None if task.leak_free is None else _subset(correct[task.leak_free]),
        "ferplus": _ferplus(task, contract.labels, predicted),
    }


def _correct(
    task: Task, classifier: Classifier, probabilities: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    return probabilities.argmax(axis=1) == task.data.labels_for(classifier.contract.labels)


def _subset(correct: npt.NDArray[np.bool_]) -> dict[str, Any] | None:
    if not len(correct):
        return None
    hits = int(correct.sum())
    return {
        "n": len(correct),
        "top1": hits / len(correct),
        "top1_interval": list(wilson(hits, len(correct))),
    }


def _ferplus(task: Task, labels: Sequence[str], predicted: npt.NDArray[np.int64]) -> dict[str, Any] | None:
    """Accuracy against the FER+ majority, on the rows that have one among the model's labels."""
    if task.ferplus is None:
        return None
    has_majority = np.isin(task.ferplus, labels)
    return _subset((np.array(labels)[predicted] == task.ferplus)[has_majority])


def _per_class(labels: Sequence[str], scores: ClassificationScores) -> dict[str, Any]:
    return {
        label: {
            "precision": _number(scores.precision[index]),
            "recall": _number(scores.recall[index]),
            "f1": _number(scores.f1[index]),
            "support": int(scores.support[index]),
        }
        for index, label in enumerate(labels)
    }


def _reliability(confidence: npt.NDArray, correct: npt.NDArray) -> dict[str, Any]:
    curve = reliability_curve(confidence, correct)
    return {
        "count": curve.count.tolist(),
        "confidence": [_number(value) for value in curve.confidence],
        "accuracy": [_number(value) for value in curve.accuracy],
    }


def _risk_coverage(confidence: npt.NDArray, correct: npt.NDArray) -> dict[str, Any]:
    curve = risk_coverage_curve(confidence, correct)
    points = np.minimum(np.searchsorted(curve.coverage, RISK_COVERAGES), len(curve.coverage) - 1)
    return {
        "area": curve.area,
        "coverage": [float(value) for value in curve.coverage[points]],
        "risk": [float(value) for value in curve.risk[points]],
        "threshold": [float(value) for value in curve.threshold[points]],
    }


def _paired(
    correct: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], previous: dict[str, Any]
) -> dict[str, Any]:
    comparison = compare_paired(correct, other)
    return {
        "against": previous["model"],
        "against_sha256": previous["model_sha256"],
        "difference": comparison.difference,
        "difference_interval": list(comparison.interval),
        "only_this_correct": comparison.only_a,
        "only_other_correct": comparison.only_b,
        "mcnemar_p_exact": comparison.p_exact,
        "mcnemar_p_mid": comparison.p_mid,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _write(folder: Path, results: Sequence[dict[str, Any]]) -> None:
    write_text(folder / "accuracy.json", to_json(list(results)))
    try:
        from benchmarks.pictures import confusion_png
    except ImportError:
        print(
            "benchmarks accuracy: no confusion-matrix picture; install: pip install matplotlib",
            file=sys.stderr,
        )
        return
    for result in results:
        write_bytes(folder / f"confusion-{_file_stem(result, results)}.png", confusion_png(result))


def _file_stem(result: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """The model's name as part of a file name, with its digest where several models share it."""
    name = re.sub(r"[^\w.-]", "_", result["model"])
    shared = len({other["model_sha256"] for other in results if other["model"] == result["model"]}) > 1
    return f"{name}-{result['model_sha256'][:8]}" if shared else name

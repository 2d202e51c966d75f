"""`python -m train evaluate`: how good a trained Keras model is on one split."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import UNLABELLED, LabeledImages, load_for_model
from edge_runtime.errors import DataError, UsageError
from edge_runtime.metrics import (
    ClassificationScores,
    confusion_matrix,
    expected_calibration_error,
    scores_from_confusion,
    wilson,
)
from train.data import prepare
from train.inference import TrainedModel
from train.run import read_identity
from train.votes import read_votes

HELD_OUT_PARTS = ("held-out", "held-out-test")


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one model on one split, and what follows from them."""

    trained: TrainedModel
    split: str
    data: LabeledImages
    labels: npt.NDArray[np.int64]
    """(N,) in the model's order."""
    probabilities: npt.NDArray[np.float32]
    """(N, labels)."""
    confusion: npt.NDArray[np.int64]
    """(labels, labels), rows = truth."""
    scores: ClassificationScores
    extra: dict[str, Any]
    """Accuracy on parts of the split or by other labels."""
    crop_px: int | None = None
    """Side of the ten crops whose answers were averaged; None is one pass of the whole picture."""

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def ece(self) -> float:
        return expected_calibration_error(self.confidence, self.predicted == self.labels)

    def to_dict(self) -> dict[str, Any]:
        scores, names = self.scores, self.trained.contract.labels
        chosen = self.probabilities[np.arange(len(self.labels)), self.labels]
        document: dict[str, Any] = {
            "model": str(self.trained.path),
            "name": self.trained.contract.name,
            "split": self.split,
            "data_sha256": self.data.digest(),
            "n": scores.n,
            "ten_crop_px": self.crop_px,
            "loss": round(float(-np.log(np.maximum(chosen, 1e-12)).mean()), 4),
            "top1": round(scores.top1, 4),
            "top1_interval": _interval(scores.correct, scores.n),
            "balanced_accuracy": round(scores.balanced_accuracy, 4),
            "macro_f1": round(scores.macro_f1, 4),
            "ece": round(self.ece, 4),
            "per_class": {
                name: {
                    "precision": _rounded(scores.precision[i]),
                    "recall": _rounded(scores.recall[i]),
                    "f1": _rounded(scores.f1[i]),
                    "support": int(scores.support[i]),
                }
                for i, name in enumerate(names)
            },
            "confusion": self.confusion.tolist(),
            **self.extra,
        }
        if len(names) == 2:
            # The second label is the positive one; its complement's recall is the specificity.
            document["specificity"] = _rounded(scores.recall[0])
        return document


def evaluate(
    trained: TrainedModel,
    data_path: Path,
    split: str,
    votes_path: Path | None = None,
    crop_px: int | None = None,
) -> Evaluation:
    """Predict a split and score it.

    Args:
        split: name of a split of the data; `held-out` or `held-out-test` for what the run of this
            model held out itself.
        votes_path: FER+ votes for the rows of the data; adds the accuracy by their majority.
        crop_px: average the answers to ten crops of this side, as `ten_crops` makes them.

    Raises:
        DataError: the split is missing or empty, or has a class that the model does not know.
        UsageError: `crop_px` is larger than the pictures.
    """
    names = trained.contract.labels
    data, rows, labels = read_split(trained, data_path, split)
    chosen = data.select(rows)
    views = [chosen.images] if crop_px is None else ten_crops(chosen.images, crop_px)
    probabilities = np.mean([trained.probabilities(view) for view in views], axis=0)
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, len(names))
    extra = _without_copies(data, rows, predicted == labels)
    if votes_path is not None:
        extra |= by_votes(read_votes(votes_path, data)[rows], data.class_names, names, predicted)
    return Evaluation(
        trained,
        split,
        chosen,
        labels,
        probabilities,
        confusion,
        scores_from_confusion(confusion),
        extra,
        crop_px,
    )


def ten_crops(images: npt.NDArray[np.uint8], size_px: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Corners and centre of pictures (N, H, W[, 3]) as (N, size_px, size_px[, 3]), and their mirror images.

    Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.

    Raises:
        UsageError: the pictures are smaller.
    """
    height, width = images.shape[1:3]
    if not 1 <= size_px <= min(height, width):
        raise UsageError(
            f"--ten-crop must be 1..{min(height, width)}, the pictures' side. Received: {size_px}"
        )
    bottom, right = height - size_px, width - size_px
    for top, left in ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)):
        crop = images[:, top : top + size_px, left : left + size_px]
        yield crop
        yield crop[:, :, ::-1]


def read_split(
    trained: TrainedModel, data_path: Path, split: str
) -> tuple[LabeledImages, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The data as the model takes it, the rows (N,) of a split, and their labels (N,) in the model's order.

    Args and raises as `evaluate`.
    """
    names = trained.contract.labels
    data = load_for_model(data_path, trained.contract.input, names, unreadable=[])
    rows = _rows(trained, data, split)
    table = np.array([names.index(n) if n in names else -1 for n in data.class_names] + [-1])
    labels = table[data.labels[rows]]
    known = labels >= 0
    if not known.any():
        raise DataError(f"{data_path}: split {split!r} has no images of the classes {', '.join(names)}")
    return data, rows[known], labels[known]


def one_against_rest(
    truth: npt.NDArray[np.bool_], score: npt.NDArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """ROC of one class: (false positive rates, true positive rates, area under the curve).

    Pictures of equal score count together, so that the area is that of Mann and Whitney's U.

    Args:
        truth: (N,) whether a picture is of the class; both kinds must occur.
        score: (N,) probability of the class.
    """
    order = np.argsort(-score, kind="stable")
    hits, ranked = truth[order], score[order]
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    true_rate = np.concatenate([[0.0], np.cumsum(hits)[last_of_tie] / hits.sum()])
    false_rate = np.concatenate([[0.0], np.cumsum(~hits)[last_of_tie] / (~hits).sum()])
    area = float(np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2))
    return false_rate, true_rate, area


def classification_report(evaluation: Evaluation) -> str:
    """Precision, recall, F1 and support per class, as a table of text."""
    document = evaluation.to_dict()
    low, high = document["top1_interval"]
    crops = f", ten crops of {evaluation.crop_px}x{evaluation.crop_px}" if evaluation.crop_px else ""
    loss, ece = document["loss"], 100 * document["ece"]
    lines = [
        f"{document['name']} on {document['split']}{crops}: {100 * document['top1']:.2f} % of "
        f"{document['n']} (95 % interval {100 * low:.2f} to {100 * high:.2f}), "
        f"loss {loss:.4f}, ECE {ece:.2f} %",
        f"{'class':<12}{'precision':>10}{'recall':>8}{'f1':>8}{'images':>8}",
    ]
    for name, row in document["per_class"].items():
        figures = (
            f"{row[key]:.3f}" if row[key] is not None else "-" for key in ("precision", "recall", "f1")
        )
        lines.append("{:<12}{:>10}{:>8}{:>8}{:>8}".format(name, *figures, row["support"]))
    lines.append(
        f"balanced accuracy {100 * document['balanced_accuracy']:.2f} %, "
        f"macro F1 {document['macro_f1']:.3f}"
    )
    if "specificity" in document:
        lines.append(f"specificity {document['specificity']}")
    for key, part in evaluation.extra.items():
        lines.append(f"{key}: {100 * part['top1']:.2f} % of {part['n']}")
    return "\n".join(lines)


def write_predictions(path: Path, evaluation: Evaluation) -> None:
    """Write one row per picture: true and predicted label, confidence and all probabilities."""
    names = evaluation.trained.contract.labels
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true", "predicted", "confidence", *names])
        for label, guess, row in zip(
            evaluation.labels, evaluation.predicted, evaluation.probabilities, strict=True
        ):
            writer.writerow([names[label], names[guess], f"{row.max():.4f}", *(f"{p:.4f}" for p in row)])


def _rows(trained: TrainedModel, data: LabeledImages, split: str) -> npt.NDArray[np.int64]:
    if split not in HELD_OUT_PARTS:
        if not split:
            return np.arange(len(data))
        wanted = data.split(split).splits[0]
        return np.flatnonzero(data.splits == wanted)
    recipe, seed, identity = read_identity(trained.path.parent)
    prepared = prepare(data, recipe.data, seed, votes=_no_votes(data))
    if prepared.train.digest() != identity["train_sha256"]:
        raise DataError(
            f"{data.source}: not the data that {trained.path.parent} was trained on, or cleaned by a list, "
            "so that what was held out is not known; give a --split of the data"
        )
    part = prepared.validation if split == "held-out" else prepared.test
    if part is None:
        raise UsageError(f"recipe {recipe.name!r} holds no such part out: {split}")
    if split == "held-out" and recipe.data.validation_split:
        of_split = data.splits == part.splits[0]
        return np.flatnonzero(of_split & (data.labels != UNLABELLED))
    wanted = set(part.hashes().tolist())
    held_out = np.array([value in wanted for value in data.hashes().tolist()])
    if recipe.data.split and set(data.splits.tolist()) != {""}:
        held_out &= data.splits == data.split(recipe.data.split).splits[0]
    return np.flatnonzero(held_out)


def _no_votes(data: LabeledImages) -> npt.NDArray[np.float32]:
    return np.full((len(data), len(data.class_names)), np.nan, np.float32)


def _without_copies(
    data: LabeledImages, rows: npt.NDArray[np.int64], correct: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Accuracy without the pictures that are copies of Training pictures."""
    training = data.splits == "Training"
    if not training.any() or training[rows].any():
        return {}
    hashes = data.hashes()
    kept = ~np.isin(hashes[rows], hashes[training])
    if kept.all() or not kept.any():
        return {}
    return {"without_training_copies": _part(correct[kept])}


def by_votes(
    shares: npt.NDArray[np.float32],
    data_names: tuple[str, ...],
    names: tuple[str, ...],
    predicted: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """Accuracy by the majority of the FER+ votes, where one class has more than any other."""
    ordered = shares[:, [data_names.index(name) for name in names]]
    ranked = np.sort(np.nan_to_num(ordered, nan=0.0), axis=1)
    clear = ranked[:, -1] > ranked[:, -2]
    majority = np.nan_to_num(ordered, nan=-1.0).argmax(axis=1)
    return {"by_ferplus_majority": _part((predicted == majority)[clear])}


def _part(correct: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "n": len(correct),
        "top1": round(float(correct.mean()), 4),
        "top1_interval": _interval(int(correct.sum()), len(correct)),
    }


def _interval(correct: int, n: int) -> list[float]:
    interval = wilson(correct, n)
    return [round(interval.low, 4), round(interval.high, 4)]


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)

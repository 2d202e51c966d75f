"""Pictures and tables of an evaluation, for pages of one run or several."""

from __future__ import annotations

import numpy as np

from edge_runtime.metrics import reliability_curve
from train import figures
from train.evaluate import Evaluation, one_against_rest
from train.page import Page

CONFUSED_PAIRS = 4
SHOWN_PER_PAIR = 8


def evaluation_page(evaluation: Evaluation, seed: int = 0) -> Page:
    """A page of its own for one evaluation."""
    contract = evaluation.trained.contract
    page = Page(f"{contract.name} on {evaluation.split}")
    add_evaluation(page, evaluation, seed)
    return page


def add_evaluation(page: Page, evaluation: Evaluation, seed: int = 0) -> None:
    """Add table, confusion matrix, ROC, reliability, confused pairs and random predictions."""
    document, names = evaluation.to_dict(), evaluation.trained.contract.labels
    low, high = document["top1_interval"]
    page.text(
        f"Accuracy {100 * document['top1']:.2f} % of {document['n']:,} images (95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f}); float32 Keras model, one pass."
    )
    page.table(
        ["class", "precision", "recall", "F1", "images"],
        [
            [name, *(_text(row[key]) for key in ("precision", "recall", "f1")), row["support"]]
            for name, row in document["per_class"].items()
        ],
    )
    page.table(
        ["figure", "value"],
        [
            ["loss", f"{document['loss']:.4f}"],
            ["balanced accuracy", f"{100 * document['balanced_accuracy']:.2f} %"],
            ["macro F1", f"{document['macro_f1']:.3f}"],
            ["expected calibration error", f"{100 * document['ece']:.2f} %"],
            *([["specificity", _text(document["specificity"])]] if "specificity" in document else []),
            *(
                [f"accuracy {key.replace('_', ' ')} ({part['n']:,} images)", f"{100 * part['top1']:.2f} %"]
                for key, part in evaluation.extra.items()
            ),
        ],
    )
    page.heading("Confusion matrix")
    page.picture(
        figures.confusion_heatmap(evaluation.confusion, names),
        "Rows: true class; columns: predicted class; colour and percent: share of the true class",
    )
    page.heading("ROC and reliability")
    page.picture(figures.roc_curves(_curves(evaluation)), "Each class against the rest")
    curve = reliability_curve(evaluation.confidence, evaluation.predicted == evaluation.labels)
    page.picture(
        figures.reliability_diagram(curve, evaluation.ece),
        "How often a prediction of a given confidence is right",
    )
    _add_confused(page, evaluation)
    _add_sample(page, evaluation, np.random.default_rng([seed, 8]))


def _curves(evaluation: Evaluation) -> dict:
    curves = {}
    for index, name in enumerate(evaluation.trained.contract.labels):
        truth = evaluation.labels == index
        if truth.any() and not truth.all():
            curves[name] = one_against_rest(truth, evaluation.probabilities[:, index])
    return curves


def _add_confused(page: Page, evaluation: Evaluation) -> None:
    names = evaluation.trained.contract.labels
    wrong = evaluation.confusion - np.diag(np.diag(evaluation.confusion))
    if not wrong.any():
        return
    page.heading("Most confused pairs")
    for place in np.argsort(-wrong.ravel(), kind="stable")[:CONFUSED_PAIRS]:
        true, guess = (int(value) for value in np.unravel_index(place, wrong.shape))
        if not wrong[true, guess]:
            break
        rows = np.flatnonzero((evaluation.labels == true) & (evaluation.predicted == guess))
        surest = rows[np.argsort(-evaluation.confidence[rows], kind="stable")][:SHOWN_PER_PAIR]
        titles = [f"{100 * evaluation.confidence[row]:.0f} %" for row in surest]
        page.picture(
            figures.picture_grid(evaluation.data.images[surest], titles, columns=8, cell_in=1.1),
            f"{names[true]} taken for {names[guess]}, {wrong[true, guess]} times; the surest first",
        )


def _add_sample(page: Page, evaluation: Evaluation, rng: np.random.Generator) -> None:
    names = evaluation.trained.contract.labels
    rows = rng.choice(len(evaluation.labels), min(16, len(evaluation.labels)), replace=False)
    right = evaluation.predicted[rows] == evaluation.labels[rows]
    titles = [
        f"true {names[evaluation.labels[row]]}\n"
        f"{names[evaluation.predicted[row]]} {100 * evaluation.confidence[row]:.0f} %"
        for row in rows
    ]
    page.heading("Random predictions")
    page.picture(
        figures.picture_grid(
            evaluation.data.images[rows],
            titles,
            colors=[figures.RIGHT if ok else figures.WRONG for ok in right],
        ),
        "Above each image its true class, then the predicted one with its probability; red is wrong",
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

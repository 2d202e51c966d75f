"""`python -m train report`: one self-contained page for a run, or comparing several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import UsageError
from train import figures
from train.evaluate import Evaluation, evaluate
from train.evaluation_page import add_evaluation
from train.inference import load_trained
from train.page import Page
from train.run import read_history, read_identity


def report_page(
    runs: Sequence[Path], data_path: Path | None, split: str, votes: Path | None = None
) -> Page:
    """Curves and table of all runs; with data, their figures and matrices on a split.

    Args:
        runs: run folders as `fit` writes them.
        split: as `train.evaluate.evaluate` takes it.

    Raises:
        DataError: a folder that holds no run.
        UsageError: the same run twice.
    """
    if len({run.resolve() for run in runs}) != len(runs):
        raise UsageError("the same run is named twice")
    names = _names(runs)
    histories = {name: read_history(run) for name, run in zip(names, runs, strict=True)}
    evaluations = _evaluations(names, runs, data_path, split, votes)
    page = Page(names[0] if len(runs) == 1 else f"{len(runs)} runs compared")
    page.heading("Training")
    page.table(
        ["run", "architecture", "epochs", "best held-out accuracy", "at epoch", "seed", "data"],
        [_row(name, run, histories[name]) for name, run in zip(names, runs, strict=True)],
    )
    page.picture(figures.training_curves(histories), "Loss, accuracy and learning rate per epoch")
    if len(evaluations) > 1:
        page.heading(f"Results on {split}")
        page.table(
            ["run", "accuracy", "95 % interval", "balanced accuracy", "macro F1", "ECE"],
            [_result(name, evaluation) for name, evaluation in evaluations.items()],
        )
    for name, evaluation in evaluations.items():
        page.heading(f"{name} on {split}")
        add_evaluation(page, evaluation)
    return page


def _evaluations(
    names: list[str], runs: Sequence[Path], data_path: Path | None, split: str, votes: Path | None
) -> dict[str, Evaluation]:
    if data_path is None:
        return {}
    return {
        name: evaluate(load_trained(run), data_path, split, votes)
        for name, run in zip(names, runs, strict=True)
    }


def _names(runs: Sequence[Path]) -> list[str]:
    short = [run.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]


def _row(name: str, run: Path, history: list[dict[str, float]]) -> list[object]:
    recipe, seed, identity = read_identity(run)
    held_out = [(row["val_accuracy"], int(row["epoch"])) for row in history if "val_accuracy" in row]
    best, epoch = max(held_out, key=lambda item: item[0], default=(None, "-"))
    text = "-" if best is None else f"{100 * best:.2f} %"
    return [name, recipe.model.architecture, len(history), text, epoch, seed, identity["train_sha256"][:8]]


def _result(name: str, evaluation: Evaluation) -> list[object]:
    document = evaluation.to_dict()
    low, high = document["top1_interval"]
    return [
        name,
        f"{100 * document['top1']:.2f} %",
        f"{100 * low:.2f} to {100 * high:.2f}",
        f"{100 * document['balanced_accuracy']:.2f} %",
        f"{document['macro_f1']:.3f}",
        f"{100 * document['ece']:.2f} %",
    ]

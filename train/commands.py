"""The verbs that need Keras, apart from `fit`."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from edge_runtime.classifier import resolve_model
from train.evaluate import classification_report, evaluate, write_predictions
from train.evaluation_page import evaluation_page
from train.export import FORMS, export
from train.files import write_atomically, write_json, write_text
from train.fit import FitOptions
from train.inference import MODEL_NAME, load_trained
from train.kfold import kfold
from train.predict import predictions
from train.recalibrate import recalibrate
from train.recipe import Recipe
from train.report import report_page
from train.restore import restore
from train.soup import soup, table


def run_evaluate(options: argparse.Namespace) -> None:
    model = load_trained(options.model)
    evaluation = evaluate(model, options.data, options.split, options.votes, options.ten_crop)
    if options.out is not None:
        write_json(options.out / "evaluation.json", [evaluation.to_dict()])
        write_atomically(options.out / "predictions.csv", partial(write_predictions, evaluation=evaluation))
        write_text(options.out / "evaluation.html", evaluation_page(evaluation).html())
    if options.format == "json":
        print(json.dumps([evaluation.to_dict()], indent=1))
    else:
        print(classification_report(evaluation))


def run_soup(options: argparse.Namespace) -> None:
    first, second = map(load_trained, options.runs)
    print(table(*soup(first, second, options.data, options.out, options.votes)))
    print(f"wrote {options.out / MODEL_NAME}", file=sys.stderr)


def run_restore(options: argparse.Namespace, recipe: Recipe) -> None:
    fit_options = FitOptions(seed=options.seed)
    likeness = restore(resolve_model(options.model), recipe, options.data, options.out, fit_options)
    print(f"answers like {options.model}: correlation {likeness:.4f}")
    print(f"wrote {options.out / MODEL_NAME}", file=sys.stderr)


def run_calibrate(options: argparse.Namespace) -> None:
    chosen = recalibrate(
        resolve_model(options.model),
        options.data,
        options.split,
        options.out,
        run=options.origin,
        answered_accuracy=options.answered_accuracy,
    )
    figures = chosen.validation
    print(
        f"temperature {chosen.temperature}, uncertain below {chosen.uncertain_below}; "
        f"{figures['n']} pictures, {100 * figures['top1']:.2f} % right, calibration error "
        f"{100 * figures['ece']:.2f} %, {100 * figures['answered_above_threshold']:.1f} % answered"
    )
    print(f"wrote {options.out}", file=sys.stderr)


def run_predict(options: argparse.Namespace) -> None:
    for document in predictions(load_trained(options.model), options.images):
        if options.format == "jsonl":
            print(json.dumps(document))
        else:
            shares = "  ".join(f"{name} {value:.3f}" for name, value in document["probabilities"].items())
            print(f"{document['source']}: {document['label']} {document['confidence']:.3f}  ({shares})")


def run_kfold(options: argparse.Namespace, recipe: Recipe, fit_options: FitOptions) -> None:
    result = kfold(recipe, options.data, options.out, options.folds, fit_options)
    if options.format == "json":
        print(json.dumps([result], indent=1))
        return
    for number, score in enumerate(result["top1_per_fold"], start=1):
        print(f"fold {number}: {100 * score:.2f} %")
    print(
        f"mean {100 * result['top1_mean']:.2f} %, deviation {100 * result['top1_deviation']:.2f} points, "
        f"n {result['n']}, temperature {result['calibration']['temperature']}"
    )


def run_report(options: argparse.Namespace) -> None:
    page = report_page(options.runs, options.data, options.split, options.votes)
    write_text(options.out, page.html())
    print(f"wrote {options.out}", file=sys.stderr)


def run_export(options: argparse.Namespace) -> None:
    forms = tuple(options.form or FORMS)
    for path in export(load_trained(options.model), Path(options.out), forms):
        print(path)

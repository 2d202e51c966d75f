"""What every verb does with its arguments; what it needs is imported only then."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.draft import Calibration
    from train.fit import FitOptions
    from train.recipe import Recipe


def audit(options: argparse.Namespace) -> None:
    from train.audit_command import run_audit

    run_audit(options)


def soup(options: argparse.Namespace) -> None:
    _start_keras(options.data, options.runs[0])
    from train.commands import run_soup

    run_soup(options)


def restore(options: argparse.Namespace) -> None:
    from train.detection.command import restore_if_detector

    if restore_if_detector(options):
        return
    recipe = _named_recipe(options)
    _start_keras(options.data)
    from train.commands import run_restore

    run_restore(options, recipe)


def calibrate(options: argparse.Namespace) -> None:
    from train.detection.command import calibrate_if_detector

    if calibrate_if_detector(options):
        return
    _start_keras(options.data)
    from train.commands import run_calibrate

    run_calibrate(options)


def evaluate(options: argparse.Namespace) -> None:
    _start_keras(options.data, options.model)
    from train.commands import run_evaluate

    run_evaluate(options)


def predict(options: argparse.Namespace) -> None:
    _start_keras(model=options.model)
    from train.commands import run_predict

    run_predict(options)


def kfold(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    _start_keras(options.data)
    from train.commands import run_kfold

    run_kfold(options, recipe, _fit_options(options))


def report(options: argparse.Namespace) -> None:
    _start_keras(options.data)
    from train.commands import run_report

    run_report(options)


def export(options: argparse.Namespace) -> None:
    _start_keras(model=options.model)
    from train.commands import run_export

    run_export(options)


def fit(options: argparse.Namespace) -> None:
    from train.detection.command import fit_if_detector

    if fit_if_detector(options):
        return
    recipe = _recipe(options)
    _start_keras(options.data, options.start)
    from train.fit import fit

    fit_options = _fit_options(options, _calibration(options))
    if options.qat is None:
        fit(recipe, options.data, options.out, fit_options)
        return
    from edge_runtime.errors import UsageError
    from train.qat import fit_qat, qat_recipe

    if options.start is not None:
        raise UsageError("--qat RUN already names the weights to start from; leave --start out")
    if options.mixed_precision:
        raise UsageError("--qat rounds in float32; leave --mixed-precision out")

    recipe = qat_recipe(recipe, options.epochs, options.learning_rate)
    fit_qat(recipe, options.qat, options.data, options.out, fit_options)


def distill(options: argparse.Namespace) -> None:
    recipe = _recipe(options)
    _start_keras(options.data, options.start)
    from train.distill import Distillation, distill

    settings = Distillation(options.temperature, options.share, options.views, options.first_view)
    distill(
        recipe,
        options.teacher,
        options.data,
        options.out,
        settings,
        _fit_options(options, _calibration(options)),
        options.unlabelled,
        options.detector,
    )


def _start_keras(data: Path | None = None, model: Path | None = None) -> None:
    """Import Keras, which takes seconds, after a look whether what a verb needs is there at all."""
    from edge_runtime.errors import DataError
    from train.quiet import start_keras

    if data is not None and not data.exists():
        raise DataError(f"{data}: no such file or folder")
    if model is not None:
        from train.inference import model_path

        model_path(model)
    start_keras()


def _named_recipe(options: argparse.Namespace) -> Recipe:
    from train.recipe import load_recipe

    return load_recipe(options.recipe)


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe with what the command line changes in it."""
    from dataclasses import replace

    from edge_runtime.errors import UsageError

    recipe = _named_recipe(options)
    if options.weights:
        if "weights" not in recipe.model.parameters:
            raise UsageError(
                f"recipe {recipe.name!r} does not start from other weights; leave --weights out"
            )
        recipe = recipe.with_parameters(weights=options.weights)
    if options.epochs is not None:
        if options.epochs < 1:
            raise UsageError(f"--epochs must be at least 1. Received: {options.epochs}")
        recipe = replace(
            recipe,
            train=replace(recipe.train, epochs=options.epochs),
            phases=tuple(replace(phase, epochs=options.epochs) for phase in recipe.phases),
        )
    if options.learning_rate is not None:
        if not options.learning_rate > 0:
            raise UsageError(f"--learning-rate must be above 0. Received: {options.learning_rate}")
        recipe = replace(recipe, train=replace(recipe.train, learning_rate=options.learning_rate))
    begun = any(getattr(options, name, None) for name in ("start", "qat"))
    if not (recipe.train.epochs or begun):
        raise UsageError(f"recipe {recipe.name!r} has no epochs to train; give --start RUN or --epochs N")
    return recipe


def _calibration(options: argparse.Namespace) -> Calibration | None:
    from train.draft import read_calibration

    return read_calibration(options.calibration) if options.calibration else None


def _fit_options(options: argparse.Namespace, calibration: Calibration | None = None) -> FitOptions:
    from train.fit import FitOptions

    return FitOptions(
        seed=options.seed,
        deterministic=options.deterministic,
        clean_list=options.clean,
        votes=options.votes,
        start=options.start,
        calibration=calibration,
        tensorboard=options.tensorboard,
        mixed_precision=options.mixed_precision,
        data_parallel=options.data_parallel,
    )

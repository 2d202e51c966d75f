"""Arguments of every verb."""

from __future__ import annotations

import argparse
from pathlib import Path

from train import running

DATA_HELP = "Kaggle CSV, .npz or folder of class folders"


def parser() -> argparse.ArgumentParser:
    """The command line; every verb sets `run`."""
    top = argparse.ArgumentParser(
        prog="python -m train", description="Train Keras models on labelled faces."
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (
        _add_audit,
        _add_fit,
        _add_distill,
        _add_soup,
        _add_restore,
        _add_calibrate,
        _add_evaluate,
        _add_predict,
        _add_kfold,
        _add_report,
        _add_export,
    ):
        add(verbs)
    return top


def _add_audit(verbs: argparse._SubParsersAction) -> None:
    audit = verbs.add_parser("audit", help="counts, pictures, duplicates, conflicts and files left out")
    audit.add_argument("--data", required=True, type=Path, help=DATA_HELP)
    audit.add_argument("--out", type=Path, help="folder for audit.html and audit.json")
    audit.add_argument("--recipe", help="read class folders as this recipe does (size, colour, classes)")
    audit.add_argument(
        "--write-clean", type=Path, metavar="LIST", help="list of what to leave out, for fit --clean"
    )
    _add_format(audit)
    audit.set_defaults(run=running.audit)


def _add_fit(verbs: argparse._SubParsersAction) -> None:
    fit = verbs.add_parser("fit", help="train the model of a recipe; resumes after an interruption")
    _add_training(fit)
    _add_calibration(fit)
    fit.add_argument(
        "--qat",
        type=Path,
        metavar="RUN",
        help="fine-tune this trained model for int8 instead (quantization-aware; 3 epochs by default)",
    )
    fit.set_defaults(run=running.fit)


def _add_distill(verbs: argparse._SubParsersAction) -> None:
    distill = verbs.add_parser(
        "distill", help="train a recipe on the answers of larger models; resumes after an interruption"
    )
    _add_training(distill)
    _add_calibration(distill)
    distill.add_argument(
        "--teacher",
        type=Path,
        action="append",
        required=True,
        metavar="RUN|MODEL",
        help="run folder, model file or released model; may be repeated, answers are averaged",
    )
    distill.add_argument("--temperature", type=float, default=3.0, help="softens the answers (default 3)")
    distill.add_argument("--share", type=float, default=0.7, help="weight of the answers (default 0.7)")
    distill.add_argument("--views", type=int, default=8, help="fixed augmentations per picture (default 8)")
    distill.add_argument(
        "--first-view",
        type=int,
        default=0,
        metavar="N",
        help="number of the first augmentation: another round sees others (default 0)",
    )
    distill.add_argument(
        "--unlabelled",
        action="append",
        default=[],
        metavar="FOLDER|VIDEO",
        help="pictures without labels: learn the answers to the faces found in them, too; may be repeated",
    )
    distill.add_argument(
        "--detector", default="edge", help="finds these faces (default edge); none: the pictures are faces"
    )
    distill.set_defaults(run=running.distill)


def _add_training(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--recipe", required=True, help="name of a file in train/recipes, or a .toml file")
    verb.add_argument("--data", required=True, type=Path, help=DATA_HELP)
    verb.add_argument("--out", required=True, type=Path, help="run folder, made if it is not there")
    verb.add_argument("--seed", type=_seed, default=0, help="default 0")
    verb.add_argument(
        "--deterministic",
        action="store_true",
        help="deterministic kernels: the same seed gives the same weights (slower)",
    )
    verb.add_argument(
        "--weights",
        metavar="imagenet|none|FILE",
        help="weights to start a transfer recipe from: Keras' download, none, or a local .h5",
    )
    verb.add_argument(
        "--start",
        type=Path,
        metavar="RUN",
        help="run folder or .keras file of the same architecture, no larger, whose weights to start from; "
        "for face_resnet also dlib's .dat",
    )
    verb.add_argument("--epochs", type=int, metavar="N", help="epochs of every phase, for a short try")
    verb.add_argument("--learning-rate", type=float, metavar="RATE", help="of the first phase")
    verb.add_argument(
        "--mixed-precision",
        action="store_true",
        help="compute in 16 bits where the device is fast at it; the model stays float32",
    )
    verb.add_argument(
        "--data-parallel",
        action="store_true",
        help="divide every batch among all devices (KERAS_BACKEND=jax)",
    )
    verb.add_argument(
        "--clean", type=Path, metavar="LIST", help="leave out what audit --write-clean listed"
    )
    verb.add_argument("--votes", type=Path, metavar="FILE", help="FER+ votes for recipes that take them")
    verb.add_argument("--tensorboard", action="store_true", help="write events to OUT/tensorboard")


def _add_calibration(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE|RUN",
        help="kfold.json of a kfold, or a run that held pictures out: temperature and threshold of a model "
        "that holds nothing out",
    )


def _add_soup(verbs: argparse._SubParsersAction) -> None:
    soup = verbs.add_parser(
        "soup", help="mix the weights of two runs that went on from one another, as well as can be"
    )
    soup.add_argument(
        "runs", nargs=2, type=Path, metavar="RUN", help="run folders; the first may be of a soup itself"
    )
    soup.add_argument("--data", required=True, type=Path, help=DATA_HELP)
    soup.add_argument("--votes", type=Path, metavar="FILE", help="FER+ votes: lists accuracy by majority")
    soup.add_argument("--out", required=True, type=Path, help="folder for model.keras and soup.json")
    soup.set_defaults(run=running.soup)


def _add_restore(verbs: argparse._SubParsersAction) -> None:
    restore = verbs.add_parser(
        "restore", help="a converted model as a Keras model again, to go on from with --start"
    )
    restore.add_argument(
        "--model", required=True, metavar="NAME|FILE", help="released model or .tflite file"
    )
    restore.add_argument("--recipe", required=True, help="that it was trained with: a name or a .toml file")
    restore.add_argument(
        "--data", required=True, type=Path, help=f"{DATA_HELP}; YOLO layout for a detector"
    )
    restore.add_argument("--seed", type=_seed, default=0, help="that it was trained with; default 0")
    restore.add_argument("--out", required=True, type=Path, help="run folder for model.keras")
    restore.set_defaults(run=running.restore)


def _add_calibrate(verbs: argparse._SubParsersAction) -> None:
    calibrate = verbs.add_parser(
        "calibrate", help="choose temperature and threshold of a converted model anew"
    )
    calibrate.add_argument("--model", required=True, metavar="NAME|FILE", help="released or converted file")
    calibrate.add_argument(
        "--recipe", help="of a detector, whose threshold and second look it chooses; a name or a .toml file"
    )
    calibrate.add_argument("--data", required=True, type=Path, help=DATA_HELP)
    calibrate.add_argument(
        "--split", default="", help="split of the data, or held-out: what --run held out (default: all)"
    )
    calibrate.add_argument(
        "--run", type=Path, dest="origin", help="run folder that the model came from, for held-out"
    )
    calibrate.add_argument(
        "--answered-accuracy",
        type=float,
        default=0.75,
        metavar="SHARE",
        help="below the threshold a label is uncertain; the others are right as often (default 0.75)",
    )
    calibrate.add_argument("--out", required=True, type=Path, metavar="FILE", help="file to write")
    calibrate.set_defaults(run=running.calibrate)


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    evaluate = verbs.add_parser("evaluate", help="figures and pictures of a trained model on one split")
    evaluate.add_argument("--model", required=True, type=Path, help="run folder or .keras file")
    _add_split(evaluate, required=True)
    evaluate.add_argument("--out", type=Path, help="folder for evaluation.html, .json and predictions.csv")
    evaluate.add_argument(
        "--ten-crop",
        type=int,
        metavar="PX",
        help="average the answers to ten crops of this side, scaled up again: corners, centre, mirrored",
    )
    _add_format(evaluate)
    evaluate.set_defaults(run=running.evaluate)


def _add_split(verb: argparse.ArgumentParser, required: bool) -> None:
    verb.add_argument("--data", required=required, type=Path, help=DATA_HELP)
    verb.add_argument(
        "--split",
        default="PublicTest",
        help="split of the data, or held-out / held-out-test: what the run held out (default PublicTest)",
    )
    verb.add_argument("--votes", type=Path, metavar="FILE", help="FER+ votes: adds accuracy by majority")


def _add_predict(verbs: argparse._SubParsersAction) -> None:
    predict = verbs.add_parser("predict", help="label and probabilities of pictures of faces")
    predict.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    predict.add_argument("--model", required=True, type=Path, help="run folder or .keras file")
    predict.add_argument("--format", choices=("text", "jsonl"), default="text")
    predict.set_defaults(run=running.predict)


def _add_kfold(verbs: argparse._SubParsersAction) -> None:
    kfold = verbs.add_parser(
        "kfold", help="stratified cross-validation of a recipe; resumes after an interruption"
    )
    _add_training(kfold)
    kfold.add_argument("--folds", type=int, default=5, help="default 5")
    _add_format(kfold)
    kfold.set_defaults(run=running.kfold)


def _add_report(verbs: argparse._SubParsersAction) -> None:
    report = verbs.add_parser("report", help="one self-contained HTML page of one run or several")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    _add_split(report, required=False)
    report.add_argument("--out", required=True, type=Path, metavar="FILE.html")
    report.set_defaults(run=running.report)


def _add_export(verbs: argparse._SubParsersAction) -> None:
    export = verbs.add_parser("export", help="write a model as .keras, .h5, JSON with weights, SavedModel")
    export.add_argument("--model", required=True, type=Path, help="run folder or .keras file")
    export.add_argument("--out", required=True, type=Path, help="folder")
    export.add_argument(
        "--form",
        action="append",
        metavar="keras|h5|json|saved-model",
        help="may be repeated; default: all",
    )
    export.set_defaults(run=running.export)


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be below 0. Received: {value}")
    return value


def _add_format(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", choices=("text", "json"), default="text", help="of the result on stdout")

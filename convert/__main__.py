"""`python -m convert VERB`: make and verify model files."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from edge_runtime.errors import EdgeFerError
from edge_runtime.interrupts import INTERRUPTED, leaving_at_once

EXIT_TERMINATED = 143
SCHEMES = ("float32", "float16", "dynamic", "int8", "int16x8")
IO_TYPES = ("int8", "uint8", "float32")


class Parser(argparse.ArgumentParser):
    """Says in one line what was wrong with a command, without the long usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; `{self.prog} --help` lists the options\n")


def build_parser() -> argparse.ArgumentParser:
    """The command line; imports nothing heavy."""
    parser = Parser(
        prog="python -m convert",
        description="Make model files for the device and verify them against their reference.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_tflite(verbs)
    _add_onnx(verbs)
    _add_all(verbs)
    _add_verify(verbs)
    _add_attach(verbs)
    _add_sheet(verbs)
    _add_tables(verbs)
    return parser


def _add_tflite(verbs: Any) -> None:
    verb = verbs.add_parser("tflite", help="Keras to TensorFlow Lite, with contract and parity gate")
    verb.add_argument("model", type=Path, metavar="MODEL", help=".keras, .h5, .json or SavedModel folder")
    verb.add_argument("--quantize", choices=SCHEMES, default="int8", help="default: int8")
    verb.add_argument("--io", choices=IO_TYPES, help="input and output of int8; default: int8")
    verb.add_argument(
        "--ranges",
        metavar="FILE",
        help="ranges of `fit --qat`; default: MODEL.ranges.json, `none` for none",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="FILE.tflite")
    _add_source_options(verb)
    _add_calibration_options(verb)
    _add_exam_options(verb)
    _add_runtime_option(verb)
    verb.set_defaults(run=_verb("convert.verbs", "run_tflite"))


def _add_onnx(verbs: Any) -> None:
    verb = verbs.add_parser("onnx", help="Keras to ONNX, with contract and parity gate")
    verb.add_argument("model", type=Path, metavar="MODEL", help=".keras, .h5, .json or SavedModel folder")
    verb.add_argument("--quantize", choices=("float32", "int8"), default="float32", help="default: float32")
    verb.add_argument("--nchw", action="store_true", help="channels first, as OpenCV's dnn wants them")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE.onnx")
    _add_source_options(verb)
    _add_calibration_options(verb)
    _add_exam_options(verb)
    verb.set_defaults(run=_verb("convert.verbs", "run_onnx"))


def _add_all(verbs: Any) -> None:
    verb = verbs.add_parser("all", help="every format, one table, one report page")
    verb.add_argument("model", type=Path, metavar="MODEL", help=".keras, .h5, .json or SavedModel folder")
    verb.add_argument("--nchw", action="store_true", help="channels first in the ONNX files")
    verb.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    _add_source_options(verb)
    _add_calibration_options(verb)
    verb.add_argument(
        "--document",
        type=Path,
        metavar="FILE.md",
        help="make its generated tables anew; the record goes into the folder FILE/",
    )
    _add_exam_options(verb)
    _add_runtime_option(verb)
    verb.set_defaults(run=_verb("convert.verbs", "run_all"))


def _add_verify(verbs: Any) -> None:
    verb = verbs.add_parser("verify", help="compare model files with their reference, on every runtime")
    verb.add_argument("model", type=Path, metavar="REFERENCE", help="a Keras model, or a .tflite or .onnx")
    verb.add_argument("candidates", type=Path, nargs="+", metavar="CANDIDATE", help=".tflite or .onnx")
    verb.add_argument("--layers", type=int, default=3, metavar="N", help="worst layers to name; default 3")
    _add_source_options(verb)
    _add_exam_options(verb)
    _add_runtime_option(verb)
    verb.set_defaults(run=_verb("convert.verbs", "run_verify"))


def _add_attach(verbs: Any) -> None:
    verb = verbs.add_parser("attach-contract", help="let edge-fer run a .tflite or .onnx made elsewhere")
    verb.add_argument("model", type=Path, metavar="MODEL", help=".tflite or .onnx")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE")
    _add_source_options(verb)
    verb.add_argument("--format", choices=("text", "json"), default="text")
    verb.set_defaults(run=_verb("convert.verbs", "run_attach"))


def _add_sheet(verbs: Any) -> None:
    verb = verbs.add_parser("sheet", help="pictures with a model's answers, to see whether it is fed right")
    verb.add_argument("model", type=Path, metavar="MODEL", help="any model that convert reads or writes")
    verb.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="face pictures or folders")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    _add_source_options(verb)
    verb.set_defaults(run=_verb("convert.verbs", "run_sheet"))


def _add_tables(verbs: Any) -> None:
    verb = verbs.add_parser("tables", help="tables of a document from the records of conversions")
    verb.add_argument("document", type=Path, metavar="FILE.md")
    verb.add_argument("--records", type=Path, metavar="FOLDER", help="default: the folder FILE/ beside it")
    verb.add_argument("--check", action="store_true", help="only say whether the document matches")
    verb.set_defaults(run=_verb("convert.tables", "run_tables"))


def _add_source_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--name", help="name of the model in its contract; default: as trained")
    group = verb.add_argument_group("models without a contract")
    group.add_argument("--labels", type=_parsed("parse_labels"), metavar="A,B,…", help="in output order")
    group.add_argument(
        "--input-range",
        type=_parsed("parse_range"),
        metavar="LOW..HIGH",
        help="what black and white were in training: 0..1, -1..1 or 0..255",
    )
    group.add_argument("--weights", type=Path, metavar="FILE.h5", help="weights of a MODEL.json")
    group.add_argument("--input-size", type=_parsed("parse_size"), metavar="HxW", help="where it is open")
    group.add_argument(
        "--activation", choices=("logits", "probabilities"), help="where the graph does not show it"
    )
    group.add_argument("--crop-margin", type=float, default=0.0, help="growth of a face box per side")
    group.add_argument("--crop-offset-y", type=float, default=0.0, help="downward move of a face box")


def _add_calibration_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("calibration")
    group.add_argument(
        "--calibration-images", type=int, default=200, metavar="N", help="drawn from Training; default 200"
    )
    group.add_argument(
        "--calibration-data", type=Path, metavar="PATH", help="pictures chosen by hand, instead of drawing"
    )
    group.add_argument("--seed", type=int, default=1, help="seed of the drawing; default 1")


def _add_exam_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("verification")
    group.add_argument("--data", type=Path, required=True, metavar="PATH", help="labelled pictures")
    group.add_argument("--split", help="split to compare on; default: the first test split there is")
    group.add_argument(
        "--min-agreement",
        type=_fraction,
        metavar="FRACTION",
        help="demanded argmax agreement; default 0.98, with trained ranges 0.995",
    )
    group.add_argument(
        "--max-loss",
        type=_fraction,
        metavar="FRACTION",
        help="detectors: average precision that the conversion may cost; default 0.01",
    )
    verb.add_argument("--format", choices=("text", "json"), default="text")


def _add_runtime_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--tflite-runtime-python",
        type=Path,
        metavar="PYTHON",
        help="Python of an environment that has tflite-runtime",
    )


def _parsed(name: str) -> Callable[[str], Any]:
    """A parser of `convert.statement` as argparse wants it."""

    def parse(text: str) -> Any:
        return getattr(import_module("convert.statement"), name)(text)

    parse.__name__ = name.removeprefix("parse_")
    return parse


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be 0..1. Received: {text}")
    return value


def _verb(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """Import a verb when it is run: help and usage errors answer at once."""

    def run(arguments: argparse.Namespace) -> int:
        with leaving_at_once("convert"):
            work = getattr(import_module(module), function)
        code: int = work(arguments)
        return code

    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    with leaving_at_once("convert"):
        arguments = build_parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except EdgeFerError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("convert: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _end(*_: Any) -> NoReturn:
    raise SystemExit(EXIT_TERMINATED)


if __name__ == "__main__":
    # So that what was begun beside the output is removed.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())

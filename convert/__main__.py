"""`python -m convert VERB`: make and verify model files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.output import check_out
from edge_runtime.errors import EdgeFerError

EXIT_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """The command line; imports nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m convert",
        description="Make model files for the device and verify them against their reference.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_tflite(verbs)
    return parser


def _add_tflite(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verb = verbs.add_parser("tflite", help="Keras to TensorFlow Lite, with contract and parity gate")
    verb.add_argument("model", type=Path, metavar="MODEL.keras")
    verb.add_argument("--quantize", choices=("int8",), default="int8", help="default: int8")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE.tflite")
    verb.add_argument("--name", help="name of the model in its contract; default: as trained")
    _add_data_options(verb)
    verb.set_defaults(run=_run_tflite)


def _add_data_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--data", type=Path, required=True, metavar="PATH", help="labelled data: file or folder"
    )
    verb.add_argument(
        "--calibration-images", type=int, default=200, metavar="N", help="drawn from Training; default 200"
    )
    verb.add_argument("--seed", type=int, default=1, help="seed of the drawing; default 1")
    verb.add_argument("--split", help="split to compare on; default: the first test split there is")
    verb.add_argument(
        "--min-agreement",
        type=_fraction,
        metavar="FRACTION",
        help="demanded argmax agreement; default 0.98",
    )
    verb.add_argument("--format", choices=("text", "json"), default="text")


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be 0..1. Received: {text}")
    return value


def _run_tflite(arguments: argparse.Namespace) -> None:
    check_out(arguments.out, ".tflite")
    from convert.calibration import draw
    from convert.source import load_source
    from convert.tflite import convert_int8, write_verified
    from convert.verify import DEFAULT_MIN_AGREEMENT, report_split
    from edge_runtime.datasets import load_dataset

    threshold = DEFAULT_MIN_AGREEMENT if arguments.min_agreement is None else arguments.min_agreement
    data = load_dataset(arguments.data)
    report = report_split(data, arguments.split)
    source = load_source(arguments.model, arguments.name)
    calibration = draw(data, source.contract.input, arguments.calibration_images, arguments.seed)
    _progress("converting …")
    graph = convert_int8(source, calibration)
    recipe = {"scheme": "int8", "input": "int8", "output": "int8", "calibration": calibration.record}
    contract = replace(source.contract, quantization=recipe)
    _progress(f"verifying on {len(report[1])} images …")
    done = write_verified(source, graph, contract, report, arguments.out, threshold)
    print(json.dumps([done.to_json()], indent=1) if arguments.format == "json" else done.to_text())


def _progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except EdgeFerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Command line of the device: `edge-fer VERB`. Heavy imports happen inside the verb."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from edge_runtime.errors import EdgeFerError
from edge_runtime.interrupts import INTERRUPTED, leaving_at_once
from edge_runtime.numbers import MAX_THREADS, MOST, whole_number

TRACEBACK_VARIABLE = "EDGE_FER_TRACEBACK"

BACKENDS_HELP = "auto, litert, tflite-runtime or onnx (default: %(default)s, the first that is installed)"
DETECTORS_HELP = "edge, haar, none (the frame is the face) or yunet:FILE"
FLIP_HELP = "average the answers to each face and its mirror image; twice the time, see the model cards"
MODEL_HELP = "a model file, or the name of a released model (default: %(default)s)"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs; each stores the name of its module as `verb`."""
    parser = argparse.ArgumentParser(
        prog="edge-fer", description="Facial-expression recognition on a small computer, offline."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    _add_run(verbs.add_parser("run", help="watch a source and report the faces in it"))
    _add_predict(verbs.add_parser("predict", help="report the faces of pictures"))
    info = verbs.add_parser("info", help="show what a model file says of itself")
    info.add_argument("model", nargs="?", default="edge-fer-small", help=MODEL_HELP)
    _add_format(info)
    doctor = verbs.add_parser("doctor", help="check that edge-fer can work here")
    _add_format(doctor)
    sources = verbs.add_parser("sources", help="list the cameras that are here")
    _add_format(sources)
    _add_tune(verbs.add_parser("tune", help="find good settings for this board by measuring"))
    config = verbs.add_parser("config", help="check the settings of a run and print them as a file")
    config.add_argument("--print", action="store_true", help="print the result, every key documented")
    _add_settings(config)
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    _add_settings(run)
    run.add_argument("--max-frames", type=_positive, metavar="N", help="end after N processed frames")
    run.add_argument("--annotate", metavar="OUT.png", help="write the last frame with a face, annotated")


def _add_tune(tune: argparse.ArgumentParser) -> None:
    from pathlib import Path

    tune.description = (
        "Records five seconds of the source, measures detectors, detection intervals, picture sizes and "
        "threads on them, checks the best in real time, and writes a file for edge-fer run --config. "
        "Options that are given are kept as they are."
    )
    _add_settings(tune)
    add = tune.add_argument
    add("--out", type=Path, default=Path("edge-fer.toml"), metavar="FILE.toml", help="default: %(default)s")
    add("--force", action="store_true", help="replace FILE.toml if it is there")
    add(
        "--seconds",
        type=_positive,
        default=90,
        metavar="S",
        help="time to measure for, about (default: %(default)s)",
    )
    _add_format(tune)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Options that override a configuration file; None where they are not given."""
    add = parser.add_argument
    add("--config", metavar="FILE.toml", help="settings; options of the command line go before them")
    add(
        "--source",
        metavar="SOURCE",
        help="picamera2, v4l2:N, a video, a picture, a folder, folder:DIR,watch (new pictures), rtsp://…, "
        "http://… or demo (demo:N for N frames, demo:0 without end; default: demo)",
    )
    add("--model", metavar="NAME|FILE", help="a released model's name or a file (default: edge-fer-small)")
    add("--backend", metavar="NAME", help="auto, litert, tflite-runtime or onnx (default: auto)")
    add("--detector", metavar="NAME", help=f"{DETECTORS_HELP} (default: edge)")
    add("--threads", type=_threads, metavar="N", help="of the work (default: 1)")
    add("--flip-average", action="store_true", default=None, help=FLIP_HELP)
    add(
        "--sink",
        action="append",
        metavar="SINK",
        help="text, jsonl (stdout), jsonl:FILE (a new file), jsonl+:FILE (appends), events, events:FILE, "
        "hook:COMMAND (runs it on each event), sqlite:FILE (counts), gpio:LINE, mqtt:HOST or "
        "web:HOST:PORT (a page, e.g. web:127.0.0.1:8080); may be repeated (default: text)",
    )
    add("--realtime", action="store_true", default=None, help="play a video at its rate, drop late frames")
    add("--size", metavar="WxH", help="picture that a camera is asked for (default: 640x480)")
    add(
        "--rate",
        type=float,
        metavar="HZ",
        help="frames per second that a camera is asked for (default: 25)",
    )
    add("--rotate", type=int, metavar="DEGREES", help="turn frames clockwise: 0, 90, 180 or 270")
    add("--mirror", action="store_true", default=None, help="exchange left and right")
    add("--region", metavar="X,Y,W,H", help="part of the frame that is used")
    add(
        "--detect-interval",
        type=float,
        metavar="S",
        help="between searches of the whole frame (default: 0.2)",
    )
    add("--seed", type=int, metavar="N", help="of the demo's motion (default: 0)")


def _add_predict(predict: argparse.ArgumentParser) -> None:
    predict.add_argument("images", nargs="+", metavar="IMAGE")
    _add_model(predict)
    _add_format(predict)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="edge-fer-small", metavar="NAME|FILE", help=MODEL_HELP)
    parser.add_argument("--backend", default="auto", metavar="NAME", help=BACKENDS_HELP)
    parser.add_argument(
        "--detector",
        default="edge",
        metavar="NAME",
        help=f"{DETECTORS_HELP} (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=_threads, default=1, metavar="N", help="of the work (default: %(default)s)"
    )
    parser.add_argument("--flip-average", action="store_true", help=FLIP_HELP)


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of the output")


def _positive(text: str, most: float = MOST) -> int:
    value = whole_number(text)
    if value is None or not 1 <= value <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1..{most:g}. Received: {text}")
    return value


def _threads(text: str) -> int:
    return _positive(text, MAX_THREADS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; the exit status: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted."""
    with leaving_at_once("edge-fer"):
        parser = build_parser()
        args = parser.parse_args(argv)
    try:
        if args.version:
            from importlib.metadata import version

            print(f"edge-fer {version('edge-fer')}")
            return 0
        if args.verb is None:
            parser.print_usage(sys.stderr)
            print("edge-fer: error: give a verb", file=sys.stderr)
            return 2
        _quiet_opencv()
        with leaving_at_once("edge-fer"):
            module = import_module(f"edge_runtime.commands.{args.verb}")
        return _run_verb(module, args)
    except EdgeFerError as error:
        print(f"edge-fer: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edge-fer: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; what is still buffered must not fail a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run_verb(module: ModuleType, args: argparse.Namespace) -> int:
    try:
        status: int = module.run(args)
        sys.stdout.flush()
        return status
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"edge-fer: error: {error.strerror}: {error.filename or 'stdout'}", file=sys.stderr)
        return 1
    except EdgeFerError:
        raise
    except Exception as error:
        # A mistake of ours: the user gets one line as well, and we get the place.
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        print(f"edge-fer: error: {_internal(error)}", file=sys.stderr)
        return 1


def _internal(error: Exception) -> str:
    """What to say of an exception that nobody has foreseen."""
    from pathlib import Path
    from traceback import extract_tb

    last = extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split())[:200]
    place = f"{Path(last.filename).name}, line {last.lineno}"
    return (
        f"internal error: {type(error).__name__}: {reason} ({place}); "
        f"please report this with what {TRACEBACK_VARIABLE}=1 shows"
    )


def _quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg from printing beside our one line; read when they are loaded."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks VERB`: one module per verb, imported when it is asked for.

A verb's module has `add_arguments(parser)` and `run(arguments) -> exit code`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from edge_runtime.errors import EdgeFerError
from edge_runtime.interrupts import INTERRUPTED, leaving_at_once

VERBS = {
    "accuracy": ("benchmarks.accuracy", "accuracy of model files on labelled pictures"),
    "detection": ("benchmarks.detection", "faces found, false alarms and CPU time of face detectors"),
    "framing": ("benchmarks.framing", "how a detector frames faces, against pictures that are crops"),
    "turning": ("benchmarks.turning", "what crops turned upright could bring"),
    "latency": ("benchmarks.latency", "time, memory and power of one inference"),
    "pipeline": ("benchmarks.pipeline", "time, age and memory of whole frames"),
    "matrix": ("benchmarks.matrix", "models x backends x threads in one resumable run"),
    "count": ("benchmarks.count", "instructions per call of what was timed, on a busy machine too"),
    "peers": ("benchmarks.peers", "other programs on the same pictures"),
    "overhead": ("benchmarks.overhead", "what the path adds to the bare calls of its models"),
    "compare": ("benchmarks.compare", "say which differences between two record files are real"),
    "merge": ("benchmarks.merge", "join record files, export CSV"),
    "report": ("benchmarks.report", "one HTML page with pictures from record files"),
    "tables": ("benchmarks.tables", "write or check the generated tables of a document"),
    "bundle": ("benchmarks.bundle", "pack these benchmarks into one bench.pyz"),
}


class Parser(argparse.ArgumentParser):
    """Says in one line what was wrong with a command, without the long usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; `{self.prog} --help` lists the options\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code; an expected error becomes one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in VERBS:
        _overview().parse_args(words)
    verb, rest = words[0], words[1:]
    with leaving_at_once(f"benchmarks {verb}"):
        module = import_module(VERBS[verb][0])
        parser = Parser(
            prog=f"python -m benchmarks {verb}",
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(parser)
        arguments = parser.parse_args(rest)
    try:
        code: int = module.run(arguments)
    except EdgeFerError as error:
        print(f"benchmarks {verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"benchmarks {verb}: {place}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"benchmarks {verb}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:{width}}  {about}" for name, (_, about) in VERBS.items())
    parser = Parser(
        prog="python -m benchmarks",
        usage="%(prog)s VERB [options]",
        description=f"Compare accuracy and latency of model files.\n\nverbs:\n{verbs}",
        epilog="`python -m benchmarks VERB --help` lists a verb's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS, help=argparse.SUPPRESS)
    return parser


def exit_with_main() -> None:
    """Entry point of a bundle, which ignores return values."""
    raise SystemExit(main())


if __name__ == "__main__":
    exit_with_main()

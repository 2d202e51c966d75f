"""Command line of the training side: `python -m train VERB`."""

from __future__ import annotations

import sys

from edge_runtime.errors import EdgeFerError
from edge_runtime.interrupts import INTERRUPTED, leaving_at_once
from train.arguments import parser


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return the exit code: 0 ok, 1 the work failed, 2 usage, 130 interrupted."""
    with leaving_at_once("train"):
        options = parser().parse_args(arguments)
    try:
        options.run(options)
    except EdgeFerError as error:
        print(f"train: error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"train: error: {error.name} is not installed. Install: pip install 'edge-fer[host]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\ntrain: interrupted; give the same command again", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())

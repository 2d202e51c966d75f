"""`edge-fer config`: check the settings of a run and print them as a file."""

from __future__ import annotations

import argparse
import sys

from edge_runtime.commands.settings import check, configuration
from edge_runtime.config import to_toml


def run(args: argparse.Namespace) -> int:
    """Print the result of file and options with `--print`, else say that a run would take it.

    Raises:
        UsageError: an unknown key or a wrong value.
        EdgeFerError: without `--print`, as `check`.
    """
    config = configuration(args)
    if args.print:
        # A file may be written on another machine than the one that is to work with it.
        print(to_toml(config), end="")
    else:
        check(config)
        print("edge-fer: the configuration is sound; --print shows it", file=sys.stderr)
    return 0

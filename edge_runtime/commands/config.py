"""`edge-fer config`: check the settings of a run and print them as a file."""

from __future__ import annotations

import argparse
import sys

from edge_runtime.commands.settings import configuration
from edge_runtime.config import to_toml


def run(args: argparse.Namespace) -> int:
    """Print the result of file and options with `--print`, else say that it is sound.

    Raises:
        UsageError: an unknown key or a wrong value.
    """
    text = to_toml(configuration(args))
    if args.print:
        print(text, end="")
    else:
        print("edge-fer: the configuration is sound; --print shows it", file=sys.stderr)
    return 0

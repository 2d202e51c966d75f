"""`edge-fer sources`: list the cameras that are here."""

from __future__ import annotations

import argparse
import json

from edge_runtime.sources.listing import list_sources


def run(args: argparse.Namespace) -> int:
    """Print what can be given to `--source`, and what hinders the rest."""
    found = list_sources()
    if args.format == "json":
        print(json.dumps([item.to_dict() for item in found], indent=1))
        return 0
    for item in found:
        print(f"{item.source:<14}{item.description}{'' if item.usable else '  (not usable)'}")
    return 0

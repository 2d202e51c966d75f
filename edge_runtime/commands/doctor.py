"""`edge-fer doctor`: print the checks of `edge_runtime.doctor`."""

from __future__ import annotations

import argparse
import json

from edge_runtime.doctor import FAIL, examine


def run(args: argparse.Namespace) -> int:
    """Print every check; 1 where one failed."""
    checks = examine()
    if args.format == "json":
        print(json.dumps([check.to_dict() for check in checks], indent=1))
    else:
        for check in checks:
            print(f"{check.status:<5} {check.name}: {check.found}")
            if check.fix:
                print(f"      fix: {check.fix}")
    return 1 if any(check.status == FAIL for check in checks) else 0

"""Pack these benchmarks into one file that needs the installed edge-fer wheel alone.

python -m benchmarks bundle --out bench.pyz
python bench.pyz latency --out board.json      (on the board)
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import zipapp
from pathlib import Path

import benchmarks
from benchmarks.files import write_bytes
from edge_runtime.errors import UsageError

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("bench.pyz"), metavar="FILE.pyz")


def run(arguments: argparse.Namespace) -> int:
    package = Path(benchmarks.__file__).parent
    if not package.is_dir():
        raise UsageError("this is a bundle already; copy it, or run this verb in a checkout")
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        stage, packed = Path(folder) / "stage", Path(folder) / "bench.pyz"
        shutil.copytree(package, stage / package.name, ignore=_IGNORED)
        zipapp.create_archive(
            stage,
            packed,
            interpreter="/usr/bin/env python3",
            main=f"{package.name}.__main__:exit_with_main",
            compressed=True,
        )
        write_bytes(arguments.out, packed.read_bytes())
    print(arguments.out)
    return 0

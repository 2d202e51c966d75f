"""Command line of the training side: `python -m train VERB`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from edge_runtime.errors import EdgeFerError


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return the exit code: 0 ok, 1 the work failed, 2 usage, 130 interrupted."""
    options = _parser().parse_args(arguments)
    # TensorFlow greets on stderr with lines that a user can do nothing about.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
        print("\ntrain: interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train", description="Train Keras models on labelled faces."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    fit = verbs.add_parser("fit", help="train the model of a recipe; resumes after an interruption")
    fit.add_argument("--recipe", required=True, help="name of a file in train/recipes, or a .toml file")
    fit.add_argument("--data", required=True, type=Path, help="Kaggle CSV, .npz or folder of class folders")
    fit.add_argument("--out", required=True, type=Path, help="run folder, made if it is not there")
    fit.add_argument("--seed", type=int, default=0, help="default 0")
    fit.add_argument(
        "--deterministic",
        action="store_true",
        help="deterministic kernels: the same seed gives the same weights (slower)",
    )
    fit.set_defaults(run=_fit)
    return parser


def _fit(options: argparse.Namespace) -> None:
    from train.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    from train.fit import fit

    fit(recipe, options.data, options.out, seed=options.seed, deterministic=options.deterministic)


if __name__ == "__main__":
    sys.exit(main())

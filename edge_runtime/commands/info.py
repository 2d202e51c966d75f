"""`edge-fer info`: show what a model file says of itself."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from edge_runtime.classifier import resolve_model
from edge_runtime.modelfile import ModelFile, read_tflite


def run(args: argparse.Namespace) -> int:
    """Print the contract.

    Raises:
        ContractError: no such file, damaged, or without a contract.
    """
    file = read_tflite(resolve_model(args.model))
    described = describe(file)
    if args.format == "json":
        print(json.dumps(described, indent=1))
    else:
        for key, value in described.items():
            print(f"{key + ':':<18}{_in_words(value)}")
    return 0


def describe(file: ModelFile) -> dict[str, Any]:
    """The contract's content, without the vectors of the self-test, and the file's identity."""
    contract = file.contract
    document = json.loads(contract.to_json())
    test = document.pop("self_test")
    return {
        "file": str(file.path),
        "bytes": len(file.data),
        "sha256": file.sha256,
        **document,
        "self_test": None
        if test is None
        else {
            "vectors": len(test["inputs"]),
            "reference": test["reference"],
            "tolerance": test["tolerance"],
        },
    }


def _in_words(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_in_words, value))
    return str(value)

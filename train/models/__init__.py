"""Architectures, one per file; each module has `build(input_shape, outputs, **parameters)`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from edge_runtime.errors import UsageError


def architecture_names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def build_model(
    architecture: str, input_shape: tuple[int, int, int], outputs: int, **parameters: Any
) -> Any:
    """Build an uncompiled Keras model that takes raw 0..255 pixels and ends in logits.

    Args:
        architecture: name of a module of this package.
        input_shape: (height, width, channels).
        outputs: units of the last layer.

    Raises:
        UsageError: unknown architecture or parameter.
    """
    if architecture not in architecture_names():
        raise UsageError(
            f"unknown architecture {architecture!r}; choose one of {', '.join(architecture_names())}"
        )
    build = import_module(f"train.models.{architecture}").build
    try:
        return build(input_shape, outputs, **parameters)
    except TypeError as error:
        raise UsageError(f"architecture {architecture!r}: {error}") from None

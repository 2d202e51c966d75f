"""Architectures, one per file; each module has `build(input_shape, outputs, **parameters)`.

A module whose `build` takes `branches=True` may train several branches where one convolution will be;
`merge_branches` turns them into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from edge_runtime.errors import UsageError


def architecture_names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def build_model(
    architecture: str, input_shape: tuple[int | None, ...], outputs: int, **parameters: Any
) -> Any:
    """Build an uncompiled Keras model that takes raw 0..255 pixels and ends in logits.

    Args:
        architecture: name of a module of this package.
        input_shape: (height, width, channels); height and width None for any, which only
            architectures that end in global pooling can take.
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
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"architecture {architecture!r} for input {input_shape}: {reason}") from None


def merge_branches(architecture: str, model: Any, parameters: Mapping[str, Any]) -> Any:
    """The model to hand over: every group of branches merged into one convolution, else itself."""
    if not parameters.get("branches"):
        return model
    from train.models._branches import merge

    plain = build_model(
        architecture, model.input_shape[1:], model.output_shape[1], **{**parameters, "branches": False}
    )
    return merge(model, plain)

"""What the owner of a model without a contract has to say of it; nothing of this is guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime.contract import CropSpec, InputSpec, ModelContract
from edge_runtime.errors import ContractError, UsageError

_PROBABILITIES = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Statement:
    """Labels, input range and the rest, as given on the command line."""

    labels: tuple[str, ...] = ()
    """Class names in the order of the outputs."""
    input_range: tuple[float, float] | None = None
    """What a black and a white pixel were when the model was trained, e.g. (0, 1)."""
    weights: Path | None = None
    """Weights of an architecture given as JSON."""
    input_hw: tuple[int, int] | None = None
    """Height and width, where the graph leaves them open; pixels."""
    activation: str | None = None
    """`logits` or `probabilities`, where the graph does not show it."""
    crop: CropSpec = field(default_factory=CropSpec)

    def check_complete(self, path: Path) -> None:
        """
        Raises:
            UsageError: labels or input range are missing.
        """
        missing = [
            flag
            for flag, there in (("--labels", self.labels), ("--input-range", self.input_range))
            if not there
        ]
        if missing:
            raise UsageError(
                f"{path}: the model has no contract; say with {' and '.join(missing)} how it was trained, "
                "e.g. --labels angry,disgust,fear,happy,neutral,sad,surprise --input-range 0..1"
            )

    def check_absent(self, path: Path) -> None:
        """
        Raises:
            UsageError: the model has a contract, which nothing may override.
        """
        if self != Statement():
            raise UsageError(
                f"{path}: the model has a contract, which says all that; leave out --labels, "
                "--input-range, --weights, --input-size, --activation, --crop-margin and --crop-offset-y"
            )

    def contract(
        self,
        path: Path,
        *,
        input_shape: tuple[Any, ...],
        outputs: int,
        last_activation: str | None,
        producer: dict[str, Any] | None = None,
    ) -> ModelContract:
        """Contract of a graph by this statement.

        Args:
            input_shape: (batch, height, width, channels); None or -1 where open.
            last_activation: name of the activation that the graph ends in, None where unknown.

        Raises:
            ContractError: graph and statement do not fit.
            UsageError: something that the graph does not show was not said.
        """
        if len(input_shape) != 4 or input_shape[3] not in (1, 3):
            raise ContractError(
                f"{path}: the model takes {input_shape}; expected (batch, height, width, 1 or 3)"
            )
        height, width = (int(size or 0) for size in input_shape[1:3])
        if min(height, width) < 1:
            if self.input_hw is None:
                raise UsageError(f"{path}: the input size is open; give it with --input-size HEIGHTxWIDTH")
            height, width = self.input_hw
        elif self.input_hw not in (None, (height, width)):
            raise UsageError(f"{path}: the model takes {height}x{width} pixels; leave out --input-size")
        needed = 2 if outputs == 1 else outputs
        if len(self.labels) != needed:
            raise ContractError(
                f"{path}: the model has {outputs} output{'s' if outputs > 1 else ''}, which needs {needed} "
                f"labels. Received: {', '.join(self.labels)}"
            )
        return ModelContract(
            name=path.stem,
            task="sigmoid" if outputs == 1 else "softmax",
            labels=self.labels,
            input=InputSpec(height, width, "luma" if input_shape[3] == 1 else "rgb"),
            activation=self._activation(path, last_activation),
            crop=self.crop,
            producer=producer or {},
            validation={"stated": {"input_range": list(self.input_range or ())}},
        )

    def _activation(self, path: Path, last: str | None) -> str:
        if self.activation is not None:
            return self.activation
        if last in _PROBABILITIES:
            return "probabilities"
        if last == "linear":
            return "logits"
        raise UsageError(
            f"{path}: the graph does not show whether it ends in softmax; say --activation logits or "
            "--activation probabilities"
        )


def parse_labels(text: str) -> tuple[str, ...]:
    """Comma-separated class names."""
    return tuple(label.strip() for label in text.split(","))


def parse_range(text: str) -> tuple[float, float]:
    """`LOW..HIGH`, e.g. `0..1` or `-1..1`.

    Raises:
        ValueError: not two finite numbers, or low is not below high.
    """
    first, separator, last = text.partition("..")
    low, high = float(first), float(last)
    if not separator or not low < high or math.isinf(high - low):
        raise ValueError(text)
    return low, high


def parse_size(text: str) -> tuple[int, int]:
    """`HEIGHTxWIDTH`, pixels.

    Raises:
        ValueError: not two positive integers.
    """
    height, _, width = text.lower().partition("x")
    if int(height) < 1 or int(width) < 1:
        raise ValueError(text)
    return int(height), int(width)

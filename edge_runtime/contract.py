"""The contract that a model file carries: what goes in, what comes out, and how to prove it.

Three public projects lose 11 to 35 points of accuracy because the deployed script feeds the model
another pixel range, or reads its outputs in another order, than training did. A contract travels
inside the model file, so that the device has nothing to guess. This module needs the standard library
alone; `edge_runtime.modelfile` finds the contract in a file.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edge_runtime.errors import ContractError

SCHEMA = 1
TASKS = ("softmax", "sigmoid", "detect")
COLORS = ("luma", "rgb")
ACTIVATIONS = ("logits", "probabilities")
UNCERTAIN = "uncertain"

MAX_VECTOR_BYTES = 16 << 20
"""Upper bound of all decoded self-test inputs; more is a damaged or hostile file."""

JsonObject = Mapping[str, Any]


@dataclass(frozen=True)
class InputSpec:
    """The picture that the graph takes: raw 0..255 pixels, rescaling lives in the graph."""

    height: int
    """Rows of the face crop, pixels."""
    width: int
    """Columns of the face crop, pixels."""
    color: str = "luma"
    """`luma` (BT.601, full range, one channel) or `rgb` (three channels, in that order)."""

    @property
    def channels(self) -> int:
        return 1 if self.color == "luma" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Static shape of the input tensor: (1, height, width, channels)."""
        return (1, self.height, self.width, self.channels)


@dataclass(frozen=True)
class CropSpec:
    """How a detector's box becomes the crop that the classifier sees.

    The box is grown, moved, then squared about its centre; what lies outside of the frame repeats the
    frame's border.
    """

    margin: float = 0.0
    """Growth of the detector's box per side, fraction of its size, before squaring."""
    offset_y: float = 0.0
    """Downward move of the box's centre, fraction of the box's height."""
    square: bool = True
    """Whether the grown box is extended to a square of its longer side."""


@dataclass(frozen=True)
class SelfTest:
    """Synthetic inputs with the raw outputs that the reference runtime computed on the host."""

    inputs: tuple[bytes, ...]
    """uint8 pixels, row-major (height, width, channels), one item per vector."""
    outputs: tuple[tuple[float, ...], ...]
    """Raw values of the flattened output tensor: integers for an integer output, else floats."""
    reference: str
    """Runtime and version that computed `outputs`."""
    tolerance: Mapping[str, float]
    """Largest accepted absolute difference by `Backend.tolerance_key`; `default` serves the others.

    In units in the last place for integer outputs, in output units for float ones."""

    def tolerance_for(self, key: str) -> float:
        return self.tolerance.get(key, self.tolerance["default"])


@dataclass(frozen=True)
class ModelContract:
    """Everything that a program needs to run a model as it was trained."""

    name: str
    """Short name of the model, e.g. `edge-fer-small`."""
    task: str
    """`softmax` (one of n classes), `sigmoid` (one unit, `labels[1]` is positive) or `detect`."""
    labels: tuple[str, ...]
    """Class names; index == output unit."""
    input: InputSpec
    activation: str = "logits"
    """`logits`, or `probabilities` where the graph ends in softmax or sigmoid."""
    crop: CropSpec = field(default_factory=CropSpec)
    temperature: float = 1.0
    """Divides the logits before softmax or sigmoid (Guo et al. 2017, arXiv 1706.04599)."""
    uncertain_below: float = 0.0
    """Confidence under which the label reported is `uncertain`."""
    decoding: JsonObject | None = None
    """For `detect`: strides, box parameters and score threshold; else None."""
    quantization: JsonObject = field(default_factory=dict)
    """Recipe, and digests of the representative dataset."""
    producer: JsonObject = field(default_factory=dict)
    """Versions of the programs that made the file."""
    validation: JsonObject = field(default_factory=dict)
    """Measured figures, with the digest of the data that gave them."""
    graph_sha256: str = ""
    """SHA-256 of the graph's own bytes; empty until the contract is embedded."""
    self_test: SelfTest | None = None

    def __post_init__(self) -> None:
        problem = _first_problem(self)
        if problem:
            raise ContractError(f"contract of model {self.name!r}: {problem}")

    @property
    def outputs(self) -> int:
        """Units of the output tensor of a classifier."""
        return 1 if self.task == "sigmoid" else len(self.labels)

    def with_graph(self, graph_sha256: str, self_test: SelfTest | None) -> ModelContract:
        return replace(self, graph_sha256=graph_sha256, self_test=self_test)

    def to_json(self) -> str:
        """Serialize; the inverse of `from_json`."""
        document = {"schema": SCHEMA, **asdict(replace(self, self_test=None))}
        document["self_test"] = _encode_self_test(self.self_test)
        return json.dumps(document, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelContract:
        """Parse and validate.

        Raises:
            ContractError: not JSON, another schema, an unknown or missing key, or a value out of range.
        """
        try:
            document = json.loads(text, parse_float=_finite, parse_constant=_finite)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"the contract is not valid JSON ({error})") from None
        if not isinstance(document, dict):
            raise ContractError(f"the contract is not a JSON object but {type(document).__name__}")
        schema = document.pop("schema", None)
        if schema != SCHEMA:
            raise ContractError(
                f"contract schema {schema!r} is not supported; this edge-fer reads schema {SCHEMA}. "
                "Install the edge-fer release that made the model, or convert the model again"
            )
        fields: dict[str, Any] = dict(document)
        try:
            if not isinstance(fields["labels"], list):
                raise ContractError(f"labels must be a list. Received: {fields['labels']!r}")
            fields["labels"] = tuple(fields["labels"])
            fields["input"] = InputSpec(**fields["input"])
            if "crop" in fields:
                fields["crop"] = CropSpec(**fields["crop"])
            fields["self_test"] = _decode_self_test(fields.get("self_test"))
            return cls(**fields)
        except KeyError as error:
            raise ContractError(f"the contract lacks the key {error}") from None
        except (TypeError, ValueError, binascii.Error, zlib.error) as error:
            raise ContractError(f"the contract is malformed ({error})") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number of JSON")
    return value


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        # An integer beyond a float's range would raise in arithmetic.
        return not isinstance(value, bool) and abs(value) < 1 << 63
    return isinstance(value, float) and math.isfinite(value)


def _first_problem(contract: ModelContract) -> str | None:
    """Say the first thing that is wrong with a contract, or None."""
    spec, crop = contract.input, contract.crop
    labels = contract.labels
    if not isinstance(contract.name, str) or not contract.name:
        return f"name must be a non-empty string. Received: {contract.name!r}"
    if contract.task not in TASKS:
        return f"task must be one of {TASKS}. Received: {contract.task!r}"
    if not labels or not all(isinstance(label, str) and label.strip() for label in labels):
        return f"labels must be non-empty strings. Received: {labels!r}"
    if len(set(labels)) != len(labels) or UNCERTAIN in labels:
        return f"labels must be distinct and none may be {UNCERTAIN!r}. Received: {labels!r}"
    if any("\n" in label or "\r" in label for label in labels):
        return f"labels must be single lines. Received: {labels!r}"
    if contract.task == "sigmoid" and len(labels) != 2:
        return f"a sigmoid model has two labels. Received: {labels!r}"
    for name, size in (("height", spec.height), ("width", spec.width)):
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 4096:
            return f"input {name} must be 1..4096 pixels. Received: {size!r}"
    if spec.color not in COLORS:
        return f"input color must be one of {COLORS}. Received: {spec.color!r}"
    if contract.activation not in ACTIVATIONS:
        return f"activation must be one of {ACTIVATIONS}. Received: {contract.activation!r}"
    if not _is_number(crop.margin) or not -0.4 <= crop.margin <= 2:
        return f"crop margin must be -0.4..2. Received: {crop.margin!r}"
    if not _is_number(crop.offset_y) or not -1 <= crop.offset_y <= 1:
        return f"crop offset_y must be -1..1. Received: {crop.offset_y!r}"
    if not isinstance(crop.square, bool):
        return f"crop square must be true or false. Received: {crop.square!r}"
    if not _is_number(contract.temperature) or not 0.01 <= contract.temperature <= 100:
        return f"temperature must be 0.01..100. Received: {contract.temperature!r}"
    if not _is_number(contract.uncertain_below) or not 0 <= contract.uncertain_below <= 1:
        return f"uncertain_below must be 0..1. Received: {contract.uncertain_below!r}"
    if (contract.decoding is not None) != (contract.task == "detect"):
        return "decoding belongs to task 'detect', and to it alone"
    if not isinstance(contract.graph_sha256, str):
        return f"graph_sha256 must be a string. Received: {contract.graph_sha256!r}"
    for key in ("quantization", "producer", "validation"):
        if not isinstance(getattr(contract, key), Mapping):
            return f"{key} must be an object. Received: {getattr(contract, key)!r}"
    return _self_test_problem(contract)


def _self_test_problem(contract: ModelContract) -> str | None:
    test = contract.self_test
    if test is None:
        return None
    size = math.prod(contract.input.shape)
    if not test.inputs or len(test.inputs) != len(test.outputs):
        return "self_test needs as many outputs as inputs, at least one"
    if any(len(pixels) != size for pixels in test.inputs):
        return f"self_test inputs must have {size} bytes each, the size of the model's input"
    if any(not values or not all(map(_is_number, values)) for values in test.outputs):
        return "self_test outputs must be finite numbers"
    if contract.task != "detect" and any(len(v) != contract.outputs for v in test.outputs):
        return f"self_test outputs must have {contract.outputs} values each"
    limits = test.tolerance
    if not isinstance(limits, Mapping) or "default" not in limits:
        return "self_test tolerance must be an object with the key 'default'"
    if not all(_is_number(limit) and limit >= 0 for limit in limits.values()):
        return f"self_test tolerances must be numbers >= 0. Received: {dict(limits)!r}"
    return None


def _encode_self_test(test: SelfTest | None) -> dict[str, Any] | None:
    """Inputs are deflated and base64-encoded: synthetic pictures shrink to a tenth."""
    if test is None:
        return None
    packed = [base64.b64encode(zlib.compress(pixels, 9)).decode() for pixels in test.inputs]
    return {
        "inputs": packed,
        "outputs": [list(values) for values in test.outputs],
        "reference": test.reference,
        "tolerance": dict(test.tolerance),
    }


def _decode_self_test(document: Any) -> SelfTest | None:
    if document is None:
        return None
    inputs: list[bytes] = []
    room = MAX_VECTOR_BYTES
    for packed in document["inputs"]:
        decoder = zlib.decompressobj()
        inputs.append(decoder.decompress(base64.b64decode(packed, validate=True), max(room, 1)))
        room -= len(inputs[-1])
    return SelfTest(
        inputs=tuple(inputs),
        outputs=tuple(tuple(values) for values in document["outputs"]),
        reference=str(document["reference"]),
        tolerance=document["tolerance"],
    )

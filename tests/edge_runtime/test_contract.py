"""The contract: round trip, and every way in which one can be wrong."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest

from edge_runtime.contract import (
    MAX_VECTOR_BYTES,
    CropSpec,
    InputSpec,
    ModelContract,
    SelfTest,
)
from edge_runtime.errors import ContractError

LABELS = ("angry", "happy", "neutral")


def contract(**changes: Any) -> ModelContract:
    fields: dict[str, Any] = {
        "name": "m",
        "task": "softmax",
        "labels": LABELS,
        "input": InputSpec(4, 6),
        "crop": CropSpec(margin=0.2, offset_y=-0.05),
        "temperature": 1.5,
        "uncertain_below": 0.4,
        "quantization": {"scheme": "int8", "calibration": {"seed": 3}},
        "validation": {"PublicTest": {"top1": 0.6}},
        "self_test": SelfTest(
            inputs=(bytes(24), bytes(range(24))),
            outputs=((1, 2, 3), (-1, 0, 5)),
            reference="ai-edge-litert 2.3.0",
            tolerance={"litert-xnnpack": 0.0, "default": 4.0},
        ),
    }
    return ModelContract(**{**fields, **changes})


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(contract().to_json()), **changes}


def test_round_trip_keeps_every_field() -> None:
    original = contract(producer={"keras": "3.15.1"}, graph_sha256="ab" * 32)
    assert ModelContract.from_json(original.to_json()) == original


def test_round_trip_of_sigmoid_and_detection() -> None:
    sigmoid = contract(task="sigmoid", labels=("not happy", "happy"), self_test=None)
    detect = contract(task="detect", labels=("face",), decoding={"stride": 8}, self_test=None)
    assert ModelContract.from_json(sigmoid.to_json()).outputs == 1
    assert ModelContract.from_json(detect.to_json()).decoding == {"stride": 8}


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"name": ""}, "name"),
        ({"task": "regress"}, "task"),
        ({"labels": ()}, "labels"),
        ({"labels": ("a", "a", "b")}, "distinct"),
        ({"labels": ("a", "uncertain", "b")}, "uncertain"),
        ({"labels": ("a", "b\nc", "d")}, "single lines"),
        ({"labels": ("a", " ", "d")}, "non-empty"),
        ({"task": "sigmoid"}, "two labels"),
        ({"input": InputSpec(0, 6)}, "height"),
        ({"input": InputSpec(4, True)}, "width"),
        ({"input": InputSpec(4, 6, "bgr")}, "color"),
        ({"activation": "relu"}, "activation"),
        ({"crop": CropSpec(margin=float("nan"))}, "margin"),
        ({"crop": CropSpec(offset_y=3)}, "offset_y"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"uncertain_below": 1.2}, "uncertain_below"),
        ({"decoding": {}}, "decoding"),
        ({"task": "detect"}, "decoding"),
        ({"validation": [1]}, "validation"),
        ({"self_test": SelfTest((bytes(23),), ((1, 2, 3),), "r", {"default": 1})}, "24 bytes"),
        ({"self_test": SelfTest((bytes(24),), ((1, 2),), "r", {"default": 1})}, "3 values"),
        ({"self_test": SelfTest((bytes(24),), (), "r", {"default": 1})}, "as many outputs"),
        ({"self_test": SelfTest((bytes(24),), ((1, 2, 3),), "r", {"litert": 1})}, "default"),
        ({"self_test": SelfTest((bytes(24),), ((1, 2, 3),), "r", {"default": -1})}, ">= 0"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ContractError, match=fragment) as caught:
        contract(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "schema None"),
        (json.dumps({"schema": 2}), "schema 2 is not supported"),
        (json.dumps({"schema": 1}), "lacks the key 'labels'"),
        (json.dumps(document(labels="abc")), "must be a list"),
        (json.dumps(document(labels=5)), "must be a list"),
        (json.dumps(document(input=7)), "malformed"),
        (json.dumps(document(crop=None)), "malformed"),
        (json.dumps(document(surprise=1)), "malformed"),
        (json.dumps(document(self_test={"inputs": ["!"]})), "malformed"),
        (json.dumps(document(self_test={"inputs": ["AAAA"]})), "malformed"),
        (json.dumps(document(self_test={"inputs": []})), "lacks the key 'outputs'"),
    ],
)
def test_a_wrong_document_is_refused(text: str, fragment: str) -> None:
    with pytest.raises(ContractError, match=fragment):
        ModelContract.from_json(text)


def test_a_self_test_that_inflates_without_bound_is_cut_off() -> None:
    bomb = base64.b64encode(zlib.compress(bytes(2 * MAX_VECTOR_BYTES), 9)).decode()
    test = {**document()["self_test"], "inputs": [bomb, bomb]}
    with pytest.raises(ContractError, match="24 bytes"):
        ModelContract.from_json(json.dumps(document(self_test=test)))


def test_random_damage_never_escapes_as_another_error() -> None:
    generator = np.random.default_rng(5)
    text = contract().to_json().encode()
    refused = 0
    for _ in range(1500):
        damaged = bytearray(text)
        for position in generator.integers(0, len(text), 3):
            damaged[position] = generator.integers(0, 256)
        try:
            ModelContract.from_json(bytes(damaged))
        except ContractError:
            refused += 1
    assert refused > 1000


def test_tolerance_falls_back_to_default() -> None:
    test = contract().self_test
    assert test is not None
    assert test.tolerance_for("litert-xnnpack") == 0
    assert test.tolerance_for("tflite-runtime") == 4

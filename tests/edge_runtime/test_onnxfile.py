"""ONNX files: the contract is found without packages, and no damage passes for a sound file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import ModelFile, embed_onnx, read_model, read_onnx
from edge_runtime.onnxfile import append_properties, split_onnx

# ir_version 8, producer_name "t", a graph of 200 bytes, one foreign metadata property, a fixed64 field.
GRAPH = (
    b"\x08\x08\x12\x01t"
    + b"\x3a\xc8\x01"
    + bytes(range(200))
    + b"\x72\x08\x0a\x03key\x12\x01v"
    + b"\x99\x06"
    + bytes(8)
)
CONTRACT = ModelContract("m", "softmax", ("a", "b"), InputSpec(8, 8))


@pytest.fixture
def sound(tmp_path: Path) -> ModelFile:
    path = tmp_path / "sound.onnx"
    path.write_bytes(embed_onnx(GRAPH, CONTRACT))
    return read_onnx(path)


def test_round_trip_keeps_the_graphs_bytes(sound: ModelFile) -> None:
    graph, members = split_onnx(sound.data)
    assert graph == GRAPH
    assert set(members) == {"labels.txt", "edge-fer.json"}
    assert sound.contract.graph_sha256 == hashlib.sha256(GRAPH).hexdigest()
    assert read_model(sound.path).contract == sound.contract


def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path, sound: ModelFile) -> None:
    generator = np.random.default_rng(3)
    path = tmp_path / "damaged.onnx"
    messages = []
    for position in range(len(sound.data)):
        damaged = bytearray(sound.data)
        damaged[position] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(bytes(damaged))
        try:
            assert read_onnx(path).contract == sound.contract
        except ContractError as error:
            messages.append(str(error))
    assert len(messages) > 0.99 * len(sound.data)
    assert not any("\n" in message for message in messages)


def test_every_truncation_is_refused(tmp_path: Path, sound: ModelFile) -> None:
    path = tmp_path / "cut.onnx"
    for length in range(len(sound.data)):
        path.write_bytes(sound.data[:length])
        with pytest.raises(ContractError):
            read_onnx(path)


def test_a_bare_file_is_refused_with_the_way_to_add_a_contract(tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    path.write_bytes(GRAPH)
    with pytest.raises(ContractError, match="attach-contract"):
        read_onnx(path)


@pytest.mark.parametrize("data", [b"", b"hello, this is no model", b"\xff" * 40, GRAPH[:2]])
def test_what_is_no_model_is_called_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ContractError, match="not an ONNX model"):
        read_onnx(path)


def test_swapped_labels_are_refused(tmp_path: Path, sound: ModelFile) -> None:
    graph, members = split_onnx(sound.data)
    path = tmp_path / "m.onnx"
    path.write_bytes(append_properties(graph, {**members, "labels.txt": b"b\na\n"}))
    with pytest.raises(ContractError, match="disagree"):
        read_onnx(path)

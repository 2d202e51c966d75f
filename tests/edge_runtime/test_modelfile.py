"""Model files: the contract is found, and no damage passes for a sound file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import (
    CONTRACT_NAME,
    LABELS_NAME,
    ModelFile,
    append_members,
    embed_keras,
    embed_tflite,
    read_keras_contract,
    read_tflite,
    split_tflite,
)

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"


@pytest.fixture(scope="module")
def sound() -> ModelFile:
    return read_tflite(TINY)


@pytest.fixture(scope="module")
def graph(sound: ModelFile) -> bytes:
    return split_tflite(sound.data)[0]


def write(folder: Path, data: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


def flipped(data: bytes, position: int, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


def test_the_fixture_is_sound(sound: ModelFile, graph: bytes) -> None:
    assert sound.contract.labels[3] == "happy"
    assert sound.contract.graph_sha256 == hashlib.sha256(graph).hexdigest()
    assert sound.sha256 == hashlib.sha256(TINY.read_bytes()).hexdigest()
    assert len(sound.data) < 30_000


def test_labels_are_readable_with_zipfile_alone(sound: ModelFile) -> None:
    with zipfile.ZipFile(TINY) as archive:
        assert archive.read(LABELS_NAME).decode().split() == list(sound.contract.labels)


def test_the_file_with_appended_members_runs_and_passes_its_self_test() -> None:
    classifier = Classifier.load(TINY)
    limit = classifier.contract.self_test
    assert limit is not None
    assert self_test(classifier) <= limit.tolerance_for(classifier.backend.tolerance_key)


def test_embedding_again_gives_the_same_bytes(sound: ModelFile, graph: bytes) -> None:
    assert embed_tflite(graph, sound.contract) == sound.data


def test_every_byte_of_the_contract_is_protected(tmp_path: Path, sound: ModelFile) -> None:
    text = split_tflite(sound.data)[1][CONTRACT_NAME]
    start = sound.data.index(text)
    generator = np.random.default_rng(11)
    for position in range(len(text)):
        bit = int(generator.integers(0, 8))
        path = write(tmp_path, flipped(sound.data, start + position, bit))
        with pytest.raises(ContractError) as caught:
            read_tflite(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damage_in_the_archive_is_refused_or_changes_nothing(
    tmp_path: Path, sound: ModelFile, graph: bytes
) -> None:
    generator = np.random.default_rng(12)
    refused = 0
    for position in range(len(graph), len(sound.data)):
        path = write(tmp_path, flipped(sound.data, position, int(generator.integers(0, 8))))
        try:
            assert read_tflite(path).contract == sound.contract
        except ContractError:
            refused += 1
    assert refused > len(split_tflite(sound.data)[1][CONTRACT_NAME])


def test_every_sampled_byte_of_the_graph_is_protected(
    tmp_path: Path, sound: ModelFile, graph: bytes
) -> None:
    generator = np.random.default_rng(13)
    for position in generator.choice(len(graph), 400, replace=False):
        path = write(tmp_path, flipped(sound.data, int(position), int(generator.integers(0, 8))))
        with pytest.raises(ContractError, match=r"damaged|not a TensorFlow Lite model"):
            read_tflite(path)


def test_every_truncation_is_refused(tmp_path: Path, sound: ModelFile) -> None:
    generator = np.random.default_rng(14)
    lengths = {*generator.integers(0, len(sound.data), 300).tolist(), *range(12)}
    lengths |= set(range(len(sound.data) - 200, len(sound.data)))
    for length in lengths:
        with pytest.raises(ContractError, match=r"truncated|not a TensorFlow Lite model"):
            read_tflite(write(tmp_path, sound.data[:length]))


def test_a_bare_model_is_refused_with_the_way_to_add_a_contract(tmp_path: Path) -> None:
    path = write(tmp_path, b"\x1c\0\0\0TFL3" + bytes(400))
    with pytest.raises(ContractError, match=r"python -m convert attach-contract .*model\.tflite"):
        read_tflite(path)


def test_a_graph_cut_off_its_contract_is_refused(tmp_path: Path, graph: bytes) -> None:
    with pytest.raises(ContractError, match="truncated"):
        read_tflite(write(tmp_path, graph))


@pytest.mark.parametrize("data", [b"", b"TFL3", b"hello, this is no model at all"])
def test_what_is_no_model_is_called_so(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ContractError, match="not a TensorFlow Lite model"):
        read_tflite(write(tmp_path, data))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no such model file"):
        read_tflite(tmp_path / "absent.tflite")
    with pytest.raises(ContractError, match="cannot read"):
        read_tflite(tmp_path)


def test_swapped_labels_are_refused(tmp_path: Path, sound: ModelFile) -> None:
    graph, members = split_tflite(sound.data)
    lines = members[LABELS_NAME].splitlines(keepends=True)
    lines[0], lines[1] = lines[1], lines[0]
    path = write(tmp_path, append_members(graph, {**members, LABELS_NAME: b"".join(lines)}))
    with pytest.raises(ContractError, match="disagree"):
        read_tflite(path)


def test_a_contract_of_another_graph_is_refused(tmp_path: Path, sound: ModelFile) -> None:
    _, members = split_tflite(sound.data)
    other = b"\x1c\0\0\0TFL3" + bytes(64)
    with pytest.raises(ContractError, match="graph is damaged"):
        read_tflite(write(tmp_path, append_members(other, members)))


def test_an_oversized_member_is_refused(tmp_path: Path, graph: bytes) -> None:
    buffer = io.BytesIO()
    buffer.write(graph)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONTRACT_NAME, bytes(9 << 20))
    with pytest.raises(ContractError, match="larger than"):
        read_tflite(write(tmp_path, buffer.getvalue()))


def test_keras_archive_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    assert read_keras_contract(path) is None
    contract = ModelContract("m", "softmax", ("a", "b"), InputSpec(8, 8))
    embed_keras(path, contract)
    assert read_keras_contract(path) == contract
    with pytest.raises(ContractError, match="already has a contract"):
        embed_keras(path, contract)


def test_damaged_keras_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with pytest.raises(ContractError, match="no such model file"):
        read_keras_contract(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ContractError, match="not a readable"):
        read_keras_contract(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CONTRACT_NAME, "{}")
    with pytest.raises(ContractError, match="schema None"):
        read_keras_contract(path)

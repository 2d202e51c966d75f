"""Find, check and write the contract inside a model file, with the standard library alone.

A TensorFlow Lite file is a flatbuffer; the TFLite Metadata convention appends a zip archive with the
associated files (`labels.txt`) to it. edge-fer appends `edge-fer.json` by the same convention. A Keras
`.keras` file is a zip archive already and takes `edge-fer.json` as one more member. An ONNX file holds
both as `metadata_props`; `edge_runtime.onnxfile` finds them.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ContractError
from edge_runtime.models.digests import DIGESTS
from edge_runtime.onnxfile import CONTRACT_NAME, LABELS_NAME, append_properties, split_onnx

TFLITE_IDENTIFIER = b"TFL3"
MAX_MEMBER_BYTES = 8 << 20
RELEASED_DIR = Path(__file__).resolve().parent / "models"

# What zipfile raises on damaged bytes: a flipped compression method alone gives three of them.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    IndexError,
    # An LZMA member may announce a dictionary of gigabytes.
    MemoryError,
    OSError,
    OverflowError,
    ValueError,
)

__all__ = [
    "CONTRACT_NAME",
    "LABELS_NAME",
    "ZIP_ERRORS",
    "ModelFile",
    "append_members",
    "embed_keras",
    "embed_onnx",
    "embed_tflite",
    "read_keras_contract",
    "read_model",
    "read_onnx",
    "read_tflite",
    "split_onnx",
    "split_tflite",
]

ATTACH_HINT = "add a contract with: python -m convert attach-contract"


@dataclass(frozen=True)
class ModelFile:
    """A model file that was read whole and whose contract and digest hold."""

    path: Path
    contract: ModelContract
    data: bytes
    """All bytes of the file; both TFLite runtimes and the zip reader take them as they are."""
    sha256: str
    """Digest of `data`: the identity of the model in every record."""


def read_tflite(path: str | os.PathLike[str]) -> ModelFile:
    """Read a `.tflite` file and check its contract, its labels and the digest of its graph.

    Raises:
        ContractError: missing, truncated, damaged or bare file; the message says which.
    """
    path = Path(path)
    data = _read_bytes(path)
    return _checked(path, data, *split_tflite(data, path))


def read_onnx(path: str | os.PathLike[str]) -> ModelFile:
    """Read an `.onnx` file and check its contract, its labels and the digest of its graph.

    Raises:
        ContractError: missing, truncated, damaged or bare file; the message says which.
    """
    path = Path(path)
    data = _read_bytes(path)
    return _checked(path, data, *split_onnx(data, path))


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read an `.onnx` file, or a `.tflite` file of any name.

    Raises:
        ContractError: as `read_tflite` and `read_onnx`.
    """
    return read_onnx(path) if Path(path).suffix == ".onnx" else read_tflite(path)


def _checked(path: Path, data: bytes, graph: bytes, members: Mapping[str, bytes]) -> ModelFile:
    if CONTRACT_NAME not in members:
        raise ContractError(
            f"{path}: model has no {CONTRACT_NAME}: a truncated copy, or made elsewhere. Fetch it again, "
            f"or {ATTACH_HINT} {path}"
        )
    try:
        contract = ModelContract.from_json(members[CONTRACT_NAME])
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None
    digest = hashlib.sha256(graph).hexdigest()
    if digest != contract.graph_sha256:
        raise ContractError(
            f"{path}: the graph is damaged: its SHA-256 is {digest[:12]}…, the contract says "
            f"{contract.graph_sha256[:12]}…; fetch or convert the model again"
        )
    labels = members.get(LABELS_NAME, b"").decode("utf-8", "replace").splitlines()
    if tuple(labels) != contract.labels:
        raise ContractError(
            f"{path}: {LABELS_NAME} and {CONTRACT_NAME} disagree ({labels} against "
            f"{list(contract.labels)}); fetch or convert the model again"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    _check_released(path, sha256)
    return ModelFile(path, contract, data, sha256)


def _check_released(path: Path, sha256: str) -> None:
    """A file among the released models must be the very one that was released."""
    if path.resolve().parent == RELEASED_DIR and DIGESTS.get(path.name) != sha256:
        raise ContractError(
            f"{path}: not the model that this edge-fer was published with (SHA-256 {sha256[:12]}…); "
            "reinstall edge-fer, or in a checkout pin the new model: python -m tests.pin_models"
        )


def split_tflite(data: bytes, path: str | os.PathLike[str] = "model") -> tuple[bytes, dict[str, bytes]]:
    """Split a `.tflite` file into the graph's own bytes and the appended members.

    A file without an appended archive yields (data, {}).

    Raises:
        ContractError: not a TFLite flatbuffer, or the archive is truncated or damaged.
    """
    if data[4:8] != TFLITE_IDENTIFIER:
        raise ContractError(
            f"{path}: not a TensorFlow Lite model (no {TFLITE_IDENTIFIER.decode()} identifier)"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if any(info.file_size > MAX_MEMBER_BYTES for info in infos):
                raise ContractError(f"{path}: an appended file is larger than {MAX_MEMBER_BYTES} bytes")
            members = {info.filename: archive.read(info) for info in infos}
            start = min((info.header_offset for info in infos), default=len(data))
    except ZIP_ERRORS as error:
        if CONTRACT_NAME.encode() not in data and LABELS_NAME.encode() not in data:
            return data, {}
        raise ContractError(
            f"{path}: the model file is truncated or damaged ({error}); fetch or convert it again"
        ) from None
    return data[:start], members


def append_members(graph: bytes, members: Mapping[str, bytes]) -> bytes:
    """Append files to the graph's bytes as a stored (uncompressed) zip archive, reproducibly."""
    buffer = io.BytesIO()
    buffer.write(graph)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        _write_members(archive, members)
    return buffer.getvalue()


def embed_tflite(graph: bytes, contract: ModelContract) -> bytes:
    """Bytes of a `.tflite` file that carries the contract and `labels.txt`.

    `graph` must be without appended files; its digest goes into the contract.
    """
    return append_members(graph, _sealed_members(graph, contract))


def _sealed_members(graph: bytes, contract: ModelContract) -> dict[str, bytes]:
    sealed = contract.with_graph(hashlib.sha256(graph).hexdigest(), contract.self_test)
    labels = "".join(f"{label}\n" for label in sealed.labels)
    return {LABELS_NAME: labels.encode(), CONTRACT_NAME: sealed.to_json().encode()}


def embed_onnx(graph: bytes, contract: ModelContract) -> bytes:
    """Bytes of an `.onnx` file that carries the contract and the labels in its `metadata_props`.

    `graph` must be without a contract; its digest goes into the contract.
    """
    return append_properties(graph, _sealed_members(graph, contract))


def embed_keras(path: str | os.PathLike[str], contract: ModelContract) -> None:
    """Add the contract (without digest and self-test) to an existing `.keras` archive, in place."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        if CONTRACT_NAME in archive.namelist():
            raise ContractError(f"{path}: already has a contract")
        _write_members(archive, {CONTRACT_NAME: contract.to_json().encode()})


def read_keras_contract(path: str | os.PathLike[str]) -> ModelContract | None:
    """Contract of a `.keras` file, or None for one that was made elsewhere.

    Raises:
        ContractError: the file is not a zip archive or its contract is damaged.
    """
    if not Path(path).exists():
        raise ContractError(f"{path}: no such model file")
    try:
        with zipfile.ZipFile(path) as archive:
            if CONTRACT_NAME not in archive.namelist():
                return None
            if archive.getinfo(CONTRACT_NAME).file_size > MAX_MEMBER_BYTES:
                raise ContractError(f"{path}: its {CONTRACT_NAME} is larger than {MAX_MEMBER_BYTES} bytes")
            text = archive.read(CONTRACT_NAME)
    except ZIP_ERRORS as error:
        raise ContractError(f"{path}: not a readable .keras file ({error})") from None
    try:
        return ModelContract.from_json(text)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None


def _write_members(archive: zipfile.ZipFile, members: Mapping[str, bytes]) -> None:
    for name, content in members.items():
        # A fixed date keeps the file's digest a function of its content.
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ContractError(f"{path}: no such model file") from None
    except OSError as error:
        raise ContractError(f"{path}: cannot read the model file ({error.strerror})") from None

"""From a converted graph to a file: contract in, reload, compare, and only then the final name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convert.delegation import Delegation, delegation_of
from convert.exam import Examination, Measured
from convert.layers import tflite_layer_errors, worst_layers
from convert.metadata import attach_metadata
from convert.output import candidate_file
from convert.selftest import make_self_test
from convert.source import SourceModel
from convert.tflite import Recipe, convert_tflite, own_version, producer_versions
from edge_runtime.contract import ModelContract
from edge_runtime.errors import ContractError, EdgeFerError
from edge_runtime.modelfile import embed_tflite

LAYER_IMAGES = 32
"""Pictures that the per-layer ratio is averaged over."""


@dataclass(frozen=True)
class Conversion:
    """A file that passed the gate and was written."""

    out: Path
    recipe: str
    size_bytes: int
    sha256: str
    parity: Measured
    delegation: Delegation | None
    elsewhere: tuple[Measured, ...] = ()
    """The same on other runtimes."""

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.out),
            "quantization": self.recipe,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "xnnpack": asdict(self.delegation) if self.delegation else None,
            **self.parity.to_json(),
            "elsewhere": [parity.to_json() for parity in self.elsewhere],
        }

    def to_text(self) -> str:
        lines = [f"{self.out}: {self.recipe}, {self.size_bytes:,} bytes, sha256 {self.sha256[:12]}"]
        if self.delegation:
            count = self.delegation.partitions
            lines.append(f"XNNPACK: {count} partition{'s' if count != 1 else ''}")
        return "\n".join([*lines, *(parity.to_text() for parity in (self.parity, *self.elsewhere))])


def write_tflite(
    source: SourceModel,
    graph: bytes,
    recipe: Recipe,
    contract: ModelContract,
    exam: Examination,
    out: Path,
) -> Conversion:
    """Embed the contract, reload the file as the device does, compare, then rename.

    Args:
        graph: bytes of the `.tflite` graph without metadata.
        contract: with `quantization` filled in.

    Raises:
        ContractError: the file does not compute what the reference computes; nothing is written.
    """
    contract = exam.describe(graph, contract)
    sealed = attach_metadata(graph, contract, own_version())
    contract = replace(
        contract,
        producer={**contract.producer, **producer_versions()},
        self_test=make_self_test(sealed, contract.input, exam.vectors(contract.input)),
    )

    def hint() -> str:
        return _layer_hint(source, graph, exam)

    final, parities = write_verified(
        lambda current: embed_tflite(sealed, current), contract, exam, out, hint
    )
    digest = hashlib.sha256(final).hexdigest()
    return Conversion(
        out, recipe.name, len(final), digest, parities[0], delegation_of(sealed), parities[1:]
    )


def write_verified(
    embed: Callable[[ModelContract], bytes],
    contract: ModelContract,
    exam: Examination,
    out: Path,
    hint: Callable[[], str] = str,
) -> tuple[bytes, tuple[Measured, ...]]:
    """Write a candidate under a temporary name, put it to the exam, and rename it if it passes.

    It has to pass on every runtime that is there.

    Args:
        embed: makes the file's bytes from a contract.
        hint: says what to look at when the gate closes.

    Raises:
        ContractError: the file does not compute what the reference computes; nothing is written.
    """
    with candidate_file(out) as temporary:
        temporary.write_bytes(embed(contract))
        parities = exam.measure(temporary, out.name, contract)
        for parity in parities:
            problem = exam.judge(out, parity, exact=contract.quantization.get("scheme") == "float32")
            if problem:
                raise ContractError(problem + hint())
        figures = {key: value for key, value in parities[0].to_json().items() if key != "model"}
        data = embed(replace(contract, validation={**contract.validation, "conversion": figures}))
        temporary.write_bytes(data)
        # The figures were added after the comparison: read the final bytes once more.
        exam.prove(temporary)
    return data, tuple(parities)


def _layer_hint(source: SourceModel, graph: bytes, exam: Examination) -> str:
    """Name the layer that loses most, for the message of a closed gate."""
    try:
        exact = convert_tflite(source, Recipe("float32"), None)
        errors = tflite_layer_errors(exact, graph, exam.pixels(source.contract, LAYER_IMAGES))
    except EdgeFerError:
        return ""
    worst = worst_layers(errors, 1)
    if not worst:
        return ""
    return f"; look at layer {worst[0].name} ({worst[0].op}, {worst[0].sqnr_db:.1f} dB)"

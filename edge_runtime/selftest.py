"""Run a contract's self-test vectors through an interpreter."""

from __future__ import annotations

import numpy as np

from edge_runtime.backends.base import Backend
from edge_runtime.errors import BackendError, ContractError
from edge_runtime.modelfile import ModelFile
from edge_runtime.preprocess import to_tensor


def check_vectors(file: ModelFile, backend: Backend) -> float:
    """Compare what the interpreter computes with what the host recorded.

    Several outputs are compared as one row of values, in the graph's order.

    Returns:
        The largest deviation: units in the last place for integer outputs, else output units.

    Raises:
        BackendError: the runtime computes something else than the host that converted the model.
        ContractError: the contract has no vectors.
    """
    test = file.contract.self_test
    if test is None:
        raise ContractError(f"{file.path}: the contract has no self-test; convert again")
    worst = 0.0
    for pixels, expected in zip(test.inputs, test.outputs, strict=True):
        picture = np.frombuffer(pixels, np.uint8)
        outputs = backend.invoke(to_tensor(picture, backend.input))
        values = np.concatenate([raw.reshape(-1) for raw in outputs]).astype(np.float64)
        wanted = np.asarray(expected, np.float64)
        if values.shape != wanted.shape:
            raise ContractError(
                f"{file.path}: the graph gives {len(values)} values, its self-test records {len(wanted)}; "
                "convert the model again"
            )
        # Unlike `max`, keeps what is not a number.
        worst = float(np.maximum(worst, np.abs(values - wanted).max()))
    limit = test.tolerance_for(backend.tolerance_key)
    if not worst <= limit:
        raise BackendError(
            f"{backend.description} computes something else than {test.reference}: self-test deviates "
            f"by {worst:g}, {limit:g} is allowed. Use another backend (--backend) or reinstall it"
        )
    return worst

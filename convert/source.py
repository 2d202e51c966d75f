"""Trained models as they come from `train`: a Keras file with a contract draft in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr, start_tensorflow
from edge_runtime.classifier import to_probabilities
from edge_runtime.contract import ModelContract
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import ContractError, UsageError
from edge_runtime.modelfile import read_keras_contract

PREDICT_BATCH = 256


@dataclass(frozen=True)
class SourceModel:
    """A Keras model that takes raw 0..255 pixels, with the contract that it is to carry."""

    path: Path
    model: Any
    """keras.Model; float32 (N, height, width, channels) -> (N, outputs)."""
    contract: ModelContract

    def predict(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities (N, labels) of uint8 (N, height, width, channels) pictures."""
        parts = [
            np.asarray(self.model(pixels[start : start + PREDICT_BATCH].astype(np.float32)))
            for start in range(0, len(pixels), PREDICT_BATCH)
        ]
        return to_probabilities(np.concatenate(parts), self.contract)

    def predict_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities (N, labels) of pictures of any size and colour, (N, H, W[, 3])."""
        return self.predict(fit_pictures(images, self.contract.input))


def load_source(path: Path, name: str | None = None) -> SourceModel:
    """Load a `.keras` file with its contract draft; `name` replaces the model's name.

    Raises:
        ContractError: missing, damaged, or without a contract; graph and contract disagree.
    """
    if not path.exists():
        raise ContractError(f"{path}: no such model file")
    if path.suffix != ".keras":
        raise UsageError(f"{path}: expected a .keras file as `python -m train fit` writes it")
    contract = read_keras_contract(path)
    if contract is None:
        raise ContractError(f"{path}: the Keras file has no contract; train it with: python -m train fit")
    if name:
        contract = replace(contract, name=name)
    start_tensorflow()
    import keras

    try:
        with captured_stderr():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises whatever its layers raise; to the user all of it means one thing.
        reason = " ".join(str(error).split())[:200]
        raise ContractError(f"{path}: Keras cannot load the model ({reason})") from None
    check_shapes(path, model, contract)
    return SourceModel(path, model, contract)


def check_shapes(path: Path, model: Any, contract: ModelContract) -> None:
    """Refuse a model whose tensors are not what its contract says.

    Raises:
        ContractError: input or output shape differ.
    """
    taken, wanted = tuple(model.input_shape[1:]), contract.input.shape[1:]
    if taken != wanted:
        raise ContractError(f"{path}: the model takes {taken}, its contract says {wanted}")
    units = tuple(model.output_shape[1:])
    if units != (contract.outputs,):
        raise ContractError(
            f"{path}: the model has outputs {units}, the contract needs ({contract.outputs},). "
            f"Received: labels={contract.labels!r}"
        )

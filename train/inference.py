"""Outputs of a Keras model, and trained models with their contracts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.classifier import to_probabilities
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import read_keras_contract

MODEL_NAME = "model.keras"

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainedModel:
    """A `.keras` file as `fit` writes it."""

    path: Path
    model: Any
    """keras.Model, without optimizer."""
    contract: ModelContract

    def logits(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """Logits (N, labels) of uint8 pictures (N, H, W[, 3])."""
        return predict_logits(self.model, images, self.contract.input)

    def probabilities(self, images: npt.NDArray[np.uint8]) -> FloatArray:
        """Probabilities (N, labels) by the contract's temperature."""
        outputs = predict_outputs(self.model, images, self.contract.input)
        return to_probabilities(outputs, self.contract)


def model_path(path: Path) -> Path:
    """The `.keras` file of a run folder, or the file itself.

    Raises:
        ContractError: there is none.
    """
    if path.is_dir():
        path = path / MODEL_NAME
    if not path.exists():
        raise ContractError(f"{path}: no such model file; train one with: python -m train fit")
    return path


def load_trained(path: Path) -> TrainedModel:
    """Load a model by its file or its run folder.

    Raises:
        ContractError: missing, damaged, without a contract, or a detector.
    """
    path = model_path(path)
    contract = read_keras_contract(path)
    if contract is None:
        raise ContractError(f"{path}: the Keras file has no contract; train it with: python -m train fit")
    if contract.task == "detect":
        raise ContractError(f"{path}: a detector; a classifier is needed here")
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises whatever its layers raise; to the user all of it means one thing.
        reason = " ".join(str(error).split())[:200]
        raise ContractError(f"{path}: Keras cannot load the model ({reason})") from None
    return TrainedModel(path, model, contract)


def predict_outputs(
    model: Any, images: npt.NDArray[np.uint8], spec: InputSpec, batch_size: int = 256
) -> FloatArray:
    """Outputs (N, outputs) of uint8 pictures (N, H, W[, 3]) of any size and colour."""
    import keras

    if keras.backend.backend() == "tensorflow":
        # XLA takes seconds to compile the graph and on a CPU gains nothing.
        model.jit_compile = False
    parts = [
        np.asarray(
            model.predict_on_batch(
                fit_pictures(images[start : start + batch_size], spec).astype(np.float32)
            ),
            np.float32,
        )
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def predict_logits(
    model: Any, images: npt.NDArray[np.uint8], spec: InputSpec, batch_size: int = 256
) -> FloatArray:
    """Logits (N, classes) of uint8 pictures, of a sigmoid model too."""
    return as_class_logits(predict_outputs(model, images, spec, batch_size))


def as_class_logits(outputs: FloatArray) -> FloatArray:
    """Logits of two classes for one sigmoid unit: softmax of (0, z) is (1 - sigmoid(z), sigmoid(z))."""
    if outputs.shape[1] > 1:
        return outputs
    return np.concatenate([np.zeros_like(outputs), outputs], axis=1)

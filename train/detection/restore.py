"""`python -m train restore` for recipes of task `detect`: a converted detector as a Keras model again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.datasets import yolo
from edge_runtime.detectors.edge import EdgeDetector
from edge_runtime.errors import DataError, UsageError
from edge_runtime.modelfile import embed_keras
from edge_runtime.preprocess import to_tensor
from train.detection.loop import MODEL_NAME, STATE_NAME, composed_pictures, prepare
from train.detection.recipe import DetectionRecipe
from train.files import write_atomically
from train.models import build_model
from train.models.edge_face import OUTPUTS
from train.quiet import without_greetings
from train.restore import LEAST_CORRELATION, RestoreError, read_folded, restored_contract
from train.unfold import fill

SCENES = 1024
"""Composed training scenes on which the moments are measured."""
PROBES = 64
"""Scenes on which both forms must answer alike."""


def restore_detector(
    model_file: Path, recipe: DetectionRecipe, data_path: Path, out: Path, seed: int
) -> float:
    """Write a converted detector as `model.keras`, in the layers of a recipe.

    Args:
        model_file: `.tflite` file with a contract, int8 or float32.
        data_path: folder or zip archive in YOLO layout, as the recipe wants it.

    Returns:
        Correlation of both forms' outputs, the lowest of all tensors.

    Raises:
        ContractError: no such file, damaged, without a contract, or no detector.
        DataError: unreadable data, or `out` holds a run.
        UsageError: the recipe's network is another.
        RestoreError: the network gives other answers than the file.
    """
    if any((out / name).exists() for name in (MODEL_NAME, STATE_NAME)):
        raise DataError(f"{out}: holds a run already; give another --out or delete the folder")
    with without_greetings():
        released = EdgeDetector.load(model_file)
    contract, shape = released.contract, (recipe.data.height, recipe.data.width, 1)
    if contract.input.shape[1:] != shape:
        raise UsageError(f"{model_file}: takes {contract.input.shape[1:]}, recipe {recipe.name!r} {shape}")
    model = build_model(recipe.model.architecture, shape, 1, **recipe.model.parameters)
    pictures = composed_pictures(recipe, prepare(yolo.read(data_path), recipe).train, SCENES, seed)
    try:
        fill(model, read_folded(released.file.data, model), pictures)
    except ValueError as error:
        raise UsageError(f"{model_file}: not the network of recipe {recipe.name!r} ({error})") from None
    likeness = _likeness(model, released, pictures[:PROBES])
    if not likeness >= LEAST_CORRELATION:
        raise RestoreError(
            f"{model_file}: recipe {recipe.name!r} with its weights answers otherwise, correlation "
            f"{likeness:.3f}; give the recipe that it was trained with"
        )

    def write(temporary: Path) -> None:
        model.save(temporary)
        embed_keras(temporary, restored_contract(contract, released.file.sha256))

    write_atomically(out / MODEL_NAME, write)
    return likeness


def _likeness(model: Any, released: EdgeDetector, pictures: npt.NDArray[np.float32]) -> float:
    whole = np.clip(np.round(pictures), 0, 255).astype(np.uint8)
    outputs = model.predict_on_batch(whole.astype(np.float32))
    exact = {name: np.asarray(output).reshape(-1) for name, output in zip(OUTPUTS, outputs, strict=True)}
    columns = zip(*_answers(released, whole), strict=True)
    # A graph may have its outputs in another order.
    rounded = dict(zip(released.decoding.outputs, map(np.concatenate, columns), strict=True))
    return min(float(np.corrcoef(exact[name], rounded[name])[0, 1]) for name in OUTPUTS)


def _answers(
    released: EdgeDetector, pictures: npt.NDArray[np.uint8]
) -> Iterator[list[npt.NDArray[np.float32]]]:
    """Dequantized outputs of every picture, flat."""
    backend = released.backend
    for picture in pictures:
        outputs = backend.invoke(to_tensor(picture, backend.input))
        yield [
            (output.reshape(-1).astype(np.float32) - info.zero_point) * (info.scale or 1)
            for output, info in zip(outputs, backend.outputs, strict=True)
        ]

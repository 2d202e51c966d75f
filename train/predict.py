"""`python -m train predict`: label and probabilities of pictures from a Keras model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_runtime.contract import UNCERTAIN
from edge_runtime.datasets.folders import read_picture
from train.inference import TrainedModel


def predictions(trained: TrainedModel, files: list[Path]) -> Iterator[dict[str, Any]]:
    """One object per picture, which is taken to be a face as a whole.

    Raises:
        DataError: a file that is missing or no picture.
    """
    contract = trained.contract
    for file in files:
        picture = read_picture(file, None, contract.input.color)
        probabilities = trained.probabilities(picture[None])[0]
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        yield {
            "source": str(file),
            "label": UNCERTAIN if confidence < contract.uncertain_below else contract.labels[best],
            "confidence": round(confidence, 4),
            "probabilities": {
                name: round(float(value), 4)
                for name, value in zip(contract.labels, probabilities, strict=True)
            },
        }

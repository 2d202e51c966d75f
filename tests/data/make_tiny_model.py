"""Write tests/data/tiny.tflite: a small int8 classifier with random weights, contract and self-test.

Run from the root of a checkout with the extra `host`: python -m tests.data.make_tiny_model
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.calibration import CalibrationSet
from convert.metadata import attach_metadata
from convert.quiet import start_tensorflow
from convert.selftest import make_self_test, synthetic_inputs
from convert.source import SourceModel
from convert.tflite import convert_int8, producer_versions
from edge_runtime.contract import CropSpec, InputSpec, ModelContract
from edge_runtime.datasets import FER2013_LABELS
from edge_runtime.modelfile import embed_tflite

OUT = Path(__file__).with_name("tiny.tflite")
SEED = 7


def tiny_contract() -> ModelContract:
    return ModelContract(
        name="tiny",
        task="softmax",
        labels=FER2013_LABELS,
        input=InputSpec(48, 48),
        crop=CropSpec(margin=0.1),
        uncertain_below=0.3,
    )


def tiny_keras() -> Any:
    """Rescaling, three convolutions, mean, dense: the shape of a released model in 2 kB of weights."""
    import keras

    keras.utils.set_random_seed(SEED)
    image = keras.Input((48, 48, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    for filters in (8, 12, 12):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(7, kernel_initializer=keras.initializers.RandomNormal(0, 8))(x)
    return keras.Model(image, logits)


def synthetic_calibration() -> CalibrationSet:
    """The self-test's pictures and their negatives, then one black and one white picture."""
    pictures = np.stack(synthetic_inputs(InputSpec(48, 48)))
    extremes = np.stack([np.zeros_like(pictures[0]), np.full_like(pictures[0], 255)])
    record = {"split": "synthetic", "images": 2 * len(pictures), "seed": None}
    return CalibrationSet(np.concatenate([pictures, 255 - pictures, extremes]), record)


def main() -> None:
    start_tensorflow()
    contract, calibration = tiny_contract(), synthetic_calibration()
    graph = convert_int8(SourceModel(OUT, tiny_keras(), contract), calibration)
    sealed = attach_metadata(graph, contract, "1")
    contract = replace(
        contract,
        quantization={"scheme": "int8", "calibration": calibration.record},
        producer=producer_versions(),
        self_test=make_self_test(sealed, contract.input),
    )
    OUT.write_bytes(embed_tflite(sealed, contract))
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()

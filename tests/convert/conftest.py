"""A small Keras file with its contract draft, and labelled pictures that it names with confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.datasets import FER2013_LABELS, LabeledImages
from edge_runtime.modelfile import embed_keras
from tests.data.make_tiny_model import tiny_contract, tiny_keras

SPLITS = (("Training", 60), ("PublicTest", 120))


def smooth_pictures(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """uint8 (count, 48, 48): random 6x6 patterns, enlarged, of random contrast."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, 6, 6))
    contrast = generator.uniform(0.2, 1, (count, 1, 1))
    enlarged = np.repeat(np.repeat(coarse * contrast, 8, axis=1), 8, axis=2)
    return enlarged.astype(np.uint8)


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    module = pytest.importorskip("tensorflow")
    from convert.quiet import start_tensorflow

    start_tensorflow()
    return module


@pytest.fixture(scope="session")
def keras_model(tensorflow: Any) -> Any:
    return tiny_keras()


@pytest.fixture(scope="session")
def keras_file(keras_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras") / "tiny.keras"
    keras_model.save(path)
    embed_keras(path, tiny_contract())
    return path


@pytest.fixture(scope="session")
def pictures(keras_model: Any) -> LabeledImages:
    """Labels are the model's own answers, so its accuracy is 100 %."""
    images = smooth_pictures(sum(count for _, count in SPLITS), seed=3)
    logits = np.asarray(keras_model(images[..., None].astype(np.float32)))
    return LabeledImages(
        images=images,
        labels=logits.argmax(1).astype(np.int64),
        class_names=FER2013_LABELS,
        splits=np.concatenate([np.full(count, name) for name, count in SPLITS]),
        source="pictures",
    )


@pytest.fixture(scope="session")
def data_file(pictures: LabeledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    np.savez(path, pixels=pictures.images, emotion=pictures.labels, usage=pictures.splits)
    return path


@pytest.fixture(scope="session")
def source(keras_file: Path) -> Any:
    from convert.source import load_source

    return load_source(keras_file)

"""edge_runtime as a library: public names, and predictions of whatever crops people have."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_runtime
from edge_runtime import Classifier, EdgeFerError, Pipeline, load_detector, open_source
from edge_runtime.errors import DataError
from edge_runtime.preprocess import UInt8Array


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    return Classifier.load(tiny_model)


def faces(count: int, size: int = 48) -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, (count, size, size), dtype=np.uint8)


def test_every_public_name_is_there() -> None:
    for name in edge_runtime.__all__:
        assert getattr(edge_runtime, name).__doc__
        assert name in dir(edge_runtime)
    with pytest.raises(AttributeError):
        _ = edge_runtime.nonesuch


def test_one_face_several_faces_and_none(classifier: Classifier) -> None:
    crops = faces(3)
    single = classifier.predict(crops[1])
    assert single.shape == (7,)
    assert single.sum() == pytest.approx(1)
    together = classifier.predict(crops)
    assert together.shape == (3, 7)
    assert np.array_equal(together[1], single)
    assert np.array_equal(classifier.predict(list(crops)), together)
    assert np.array_equal(classifier.predict(crops[1][:, :, None]), single)
    assert classifier.predict([]).shape == (0, 7)


def test_flip_average_is_the_mean_of_a_crop_and_its_mirror_image(
    classifier: Classifier, tiny_model: Path
) -> None:
    (crop,) = faces(1)
    single, mirrored = classifier.predict(crop), classifier.predict(crop[:, ::-1])
    assert not np.allclose(single, mirrored)
    averaging = Classifier.load(tiny_model, flip_average=True)
    for picture in (crop, crop[:, ::-1]):
        assert averaging.predict(picture) == pytest.approx((single + mirrored) / 2, abs=1e-6)


def test_other_sizes_are_resized_as_on_the_device(classifier: Classifier) -> None:
    (large,) = faces(1, 96)
    small = cv2.resize(large, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.array_equal(classifier.predict(large), classifier.predict(small))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [np.zeros((48, 48), np.float32), np.zeros((0, 5), np.uint8), [np.zeros((48, 48, 3), np.uint8)]]
)
def test_wrong_crops_are_named(classifier: Classifier, wrong: UInt8Array) -> None:
    with pytest.raises(DataError, match="a face must be uint8"):
        classifier.predict(wrong)
    assert issubclass(DataError, EdgeFerError)


def test_pipeline_from_public_names(classifier: Classifier, portrait: UInt8Array) -> None:
    pipeline = Pipeline(open_source("demo:2"), load_detector("edge"), classifier)
    assert [len(record.faces) for _, record in pipeline.records()] == [1, 1]

"""The released models: they load, prove themselves and see what is there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.classifier import (
    DEFAULT_MODEL,
    MODELS_DIR,
    Classifier,
    resolve_model,
    self_test,
    to_probabilities,
)
from edge_runtime.errors import BackendError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.selftest import check_vectors

CLASSIFIERS = sorted(path.stem for path in MODELS_DIR.glob("edge-fer-*.tflite"))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_passes_its_self_test_and_has_a_card(name: str) -> None:
    classifier = Classifier.load(name)
    assert self_test(classifier) == 0
    assert classifier.contract.labels[3] == "happy"
    assert resolve_model(name).with_suffix(".md").exists()


def test_the_default_is_released() -> None:
    assert DEFAULT_MODEL in CLASSIFIERS


def test_demo_face_is_happy(portrait: UInt8Array, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--source", "demo", "--max-frames", "25", "--sink", "jsonl"]) == 0
    faces = [f for line in capsys.readouterr().out.splitlines() for f in json.loads(line)["faces"]]
    happy = sum(face["label"] == "happy" for face in faces)
    assert happy > 0.8 * len(faces) > 0


@pytest.mark.data
def test_two_people_are_two_faces(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(media / "two_people.jpg"), "--format", "json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert len(document["faces"]) == 2


def test_softmax_of_int8_logits_by_table_is_that_of_the_formula() -> None:
    classifier = Classifier.load("edge-fer-small")
    output = classifier.backend.outputs[0]
    rng = np.random.default_rng(0)
    for _ in range(50):
        raw = rng.integers(-128, 128, output.shape).astype(np.int8)
        logits = (raw.reshape(-1).astype(np.float32) - output.zero_point) * output.scale
        expected = to_probabilities(logits, classifier.contract)
        np.testing.assert_allclose(classifier.probabilities(raw), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("first", [0, 1])
def test_a_runtime_that_computes_no_numbers_is_refused(first: int) -> None:
    classifier = Classifier.load("edge-fer-nano")
    backend = classifier.backend
    calls = iter(range(100))

    def invoke(tensor: np.ndarray) -> list[np.ndarray]:
        outputs = backend.invoke(tensor)
        return [np.full(raw.shape, np.nan) if next(calls) == first else raw for raw in outputs]

    broken = SimpleNamespace(
        invoke=invoke,
        input=backend.input,
        tolerance_key=backend.tolerance_key,
        description=backend.description,
    )
    with pytest.raises(BackendError, match="self-test deviates by nan"):
        check_vectors(classifier.file, broken)  # type: ignore[arg-type]

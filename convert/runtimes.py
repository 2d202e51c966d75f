"""Answers of a model file through every runtime there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr
from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import BackendError, BackendUnavailableError, ContractError, UsageError

WORKER_TIMEOUT_S = 900
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Answers:
    """What a model says of some pictures."""

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    """(N, labels)."""
    backend: str
    """Runtime with version, or `Keras`."""
    self_test: float | None = None
    """Deviation in the file's self-test; None where it has none."""

    def in_order_of(self, labels: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Probabilities with columns in the order of other labels.

        Raises:
            ContractError: other class names.
        """
        if set(labels) != set(self.labels):
            raise ContractError(
                f"the models name different classes ({', '.join(self.labels)} against {', '.join(labels)})"
            )
        return self.probabilities[:, [self.labels.index(label) for label in labels]]


def answers_here(path: Path, images: npt.NDArray[np.uint8], backend: str) -> Answers:
    """Run a file through an interpreter of this environment, its self-test first.

    Raises:
        ContractError: corrupt file, or it gives something that is no number.
        BackendError: not installed, refuses the model, or fails the self-test.
    """
    with captured_stderr():
        classifier = Classifier.load(path, backend=backend)
    deviation = self_test(classifier) if classifier.contract.self_test else None
    pixels = fit_pictures(images, classifier.contract.input)
    probabilities = np.stack([classifier.predict(picture).copy() for picture in pixels])
    description = classifier.backend.description
    classifier.close()
    return _checked(path, Answers(classifier.contract.labels, probabilities, description, deviation))


def answers_elsewhere(path: Path, images: npt.NDArray[np.uint8], backend: str, python: Path) -> Answers:
    """Run a file through an interpreter of another Python environment.

    Args:
        python: interpreter of an environment with the runtime, numpy and OpenCV.

    Raises:
        UsageError: no such Python.
        BackendError: the runtime refuses the model or fails its self-test.
    """
    labels = Classifier.load(path).contract.labels
    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder:
        given, taken = Path(folder) / "images.npy", Path(folder) / "out.npy"
        np.save(given, images)
        report = run_worker(python, path, given, taken, backend)
        found = Answers(labels, np.load(taken), report["backend"], report["self_test"])
    return _checked(path, found)


def run_worker(python: Path, path: Path, given: Path, taken: Path, backend: str) -> dict[str, Any]:
    """Run `convert.worker` in another Python environment; its report: `backend` and `self_test`.

    Args:
        given: pictures, as the worker takes them.
        taken: where it writes what the model says.

    Raises:
        UsageError: no such Python.
        BackendError: it has no such runtime, or that refuses the model or fails its self-test.
    """
    if not python.exists():
        raise UsageError(f"{python}: no such Python interpreter")
    arguments = [str(item) for item in (path.resolve(), given, taken, backend)]
    try:
        done = subprocess.run(
            [str(python), "-m", "convert.worker", *arguments],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            timeout=WORKER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{python}: cannot run backend {backend!r} ({error})") from None
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    if done.returncode:
        raise BackendError(f"{python}: {lines[-1][:300]}")
    try:
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BackendError(f"{python}: is no Python that runs edge-fer") from None
    return report


def answers_everywhere(
    path: Path, images: npt.NDArray[np.uint8], tflite_runtime_python: Path | None
) -> tuple[list[Answers], list[str]]:
    """Answers of every runtime that can take the file, and why others gave none.

    Raises:
        ContractError, BackendError: a runtime that is there refuses the file or computes nonsense.
    """
    if path.suffix == ".onnx":
        return [answers_here(path, images, "onnx")], []
    if tflite_runtime_python is None:
        here, there = answers_here(path, images, "litert"), _tflite_runtime_here(path, images)
    else:
        with ThreadPoolExecutor(1) as pool:
            # It waits for another process, which computes while this one does.
            later = pool.submit(answers_elsewhere, path, images, "tflite-runtime", tflite_runtime_python)
            here = answers_here(path, images, "litert")
            there = [later.result()]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    note = (
        f"not checked on tflite-runtime, which is not in this Python {version}; give the Python of "
        "an environment that has it with --tflite-runtime-python"
    )
    return [here, *there], [] if there else [note]


def _tflite_runtime_here(path: Path, images: npt.NDArray[np.uint8]) -> list[Answers]:
    try:
        return [answers_here(path, images, "tflite-runtime")]
    except BackendUnavailableError:
        return []


def _checked(path: Path, answers: Answers) -> Answers:
    if not np.isfinite(answers.probabilities).all():
        raise ContractError(f"{path.name}: {answers.backend} gives NaN or infinity")
    return answers

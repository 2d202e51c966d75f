"""Backends: chosen by name and kind of file, never swapped, and one line when they cannot work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.backends import NAMES, load_backend
from edge_runtime.errors import BackendError, BackendUnavailableError, UsageError

DATA = (Path(__file__).parents[1] / "data" / "tiny.tflite").read_bytes()


def test_auto_takes_the_first_that_is_installed() -> None:
    backend = load_backend(DATA)
    assert backend.name in NAMES
    assert backend.description.split()[0] in ("ai-edge-litert", "tflite-runtime")


def test_shapes_types_and_quantization_are_reported() -> None:
    backend = load_backend(DATA)
    assert backend.input.shape == (1, 48, 48, 1)
    assert backend.input.dtype == np.int8
    assert (backend.input.scale, backend.input.zero_point) == (1.0, -128)
    (output,) = backend.outputs
    assert output.shape == (1, 7)
    assert output.quantized
    (values,) = backend.invoke(np.zeros(backend.input.shape, np.int8))
    assert values.shape == (1, 7)
    backend.close()


def test_xnnpack_is_named_where_it_runs() -> None:
    pytest.importorskip("ai_edge_litert")
    backend = load_backend(DATA, "litert")
    assert ("xnnpack" in backend.description) == (backend.tolerance_key == "litert-xnnpack")


def test_threads_do_not_change_an_int8_result() -> None:
    picture = np.random.default_rng(1).integers(-128, 128, (1, 48, 48, 1), np.int8)
    one, two = (load_backend(DATA, threads=count).invoke(picture)[0].copy() for count in (1, 2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("name", "threads", "fragment"),
    [
        ("tensorrt", 1, "unknown backend 'tensorrt'; choose one of auto"),
        ("auto", 0, r"must be 1\.\.64"),
        ("auto", 65, r"must be 1\.\.64"),
        ("onnx", 1, "cannot run .tflite files"),
    ],
)
def test_wrong_names_are_usage_errors(name: str, threads: int, fragment: str) -> None:
    with pytest.raises(UsageError, match=fragment):
        load_backend(DATA, name, threads)


def test_a_tflite_backend_is_refused_for_other_files() -> None:
    with pytest.raises(UsageError, match=r"cannot run \.onnx files; use onnx"):
        load_backend(b"something else", "litert")


def test_a_refused_graph_is_one_line() -> None:
    with pytest.raises(BackendError, match="refuses the model") as caught:
        load_backend(DATA[:4] + b"TFL3" + bytes(200), "auto")
    assert "\n" not in str(caught.value)


def test_a_wrong_tensor_is_one_line() -> None:
    backend = load_backend(DATA)
    with pytest.raises(BackendError) as caught:
        backend.invoke(np.zeros((1, 10, 10, 1), np.int8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "module", "data", "fragment"),
    [
        ("litert", "ai_edge_litert.interpreter", DATA, "pip install ai-edge-litert"),
        ("onnx", "onnxruntime", b"no tflite", r"pip install 'edge-fer\[onnx\]'"),
    ],
)
def test_a_missing_package_says_what_to_install(
    monkeypatch: Any, name: str, module: str, data: bytes, fragment: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailableError, match=fragment):
        load_backend(data, name)


def test_onnxruntime_refuses_nonsense_in_one_line() -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(BackendError, match="refuses the model") as caught:
        load_backend(b"no model at all", "onnx")
    assert "\n" not in str(caught.value)

"""`python -m train export`: a trained model in the forms that other programs read.

Every form is loaded again and compared on random pixels before it gets its name.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import DataError, EdgeFerError, UsageError
from edge_runtime.modelfile import embed_keras
from train.files import disk_errors, write_text
from train.inference import TrainedModel

TOLERANCE = 1e-4
"""Largest accepted difference of a logit between the model and its reloaded form."""
PROBES = 4
HDF5_OVERHEAD = 1 << 19
"""Bytes that an HDF5 file may need beside the weights."""


class ExportError(EdgeFerError):
    """A written form computes something else than the model."""


def export(trained: TrainedModel, out: Path, forms: tuple[str, ...]) -> list[Path]:
    """Write a model in several forms; returns what was written.

    Args:
        out: folder.
        forms: some of `FORMS`.

    Raises:
        UsageError: unknown form, or a layer that is not Keras' own.
        ExportError: a form computes something else when reloaded.
    """
    for form in forms:
        if form not in FORMS:
            raise UsageError(f"unknown form {form!r}; choose of {', '.join(FORMS)}")
    foreign = [layer.name for layer in trained.model.layers if not _is_stock(layer)]
    if foreign:
        raise UsageError(f"{trained.path}: layers that are not Keras' own: {', '.join(foreign)}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be made ({error.strerror})") from None
    return [_write(trained, out, form) for form in forms]


def _write(trained: TrainedModel, out: Path, form: str) -> Path:
    writer, reader, name = FORMS[form]
    final = out / name
    temporary = final.with_name(f".partial-{name}")
    _remove(temporary)
    try:
        with disk_errors(final):
            writer(trained, temporary)
            _compare(trained, reader, temporary, form)
            _remove(final)
            temporary.replace(final)
    finally:
        _remove(temporary)
    return final


def _compare(
    trained: TrainedModel, reader: Callable[[Path], Callable[[Any], Any]], path: Path, form: str
) -> None:
    rng = np.random.default_rng(0)
    shape = (PROBES, *trained.contract.input.shape[1:])
    pixels = rng.integers(0, 256, shape).astype(np.float32)
    expected = np.asarray(trained.model(pixels))
    received = np.asarray(reader(path)(pixels))
    worst = float(np.abs(expected - received).max())
    if not worst <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ExportError(
            f"{form}: computes something else when reloaded, by {worst:g}; nothing was written"
        )


def _write_keras(trained: TrainedModel, path: Path) -> None:
    trained.model.save(path)
    embed_keras(path, trained.contract)


def _write_h5(trained: TrainedModel, path: Path) -> None:
    _demand_room(trained, path)
    trained.model.save(path)


def _demand_room(trained: TrainedModel, path: Path) -> None:
    """HDF5 takes the process down with it when the disk fills up while it writes."""
    if shutil.disk_usage(path.parent).free < 4 * trained.model.count_params() * 1.1 + HDF5_OVERHEAD:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_json(trained: TrainedModel, path: Path) -> None:
    """A folder with `architecture.json`, `model.weights.h5` and the contract."""
    path.mkdir()
    _demand_room(trained, path)
    write_text(path / "architecture.json", json.dumps(json.loads(trained.model.to_json()), indent=1) + "\n")
    trained.model.save_weights(path / "model.weights.h5")
    write_text(path / "edge-fer.json", trained.contract.to_json())


def _write_saved_model(trained: TrainedModel, path: Path) -> None:
    spec = keras.InputSpec(shape=trained.contract.input.shape, dtype="float32")
    batch = keras.InputSpec(shape=(None, *spec.shape[1:]), dtype="float32")
    trained.model.export(path, format="tf_saved_model", input_signature=[batch], verbose=False)
    write_text(path / "edge-fer.json", trained.contract.to_json())


def _read_keras(path: Path) -> Callable[[Any], Any]:
    model: Callable[[Any], Any] = keras.saving.load_model(path, compile=False)
    return model


def _read_json(path: Path) -> Callable[[Any], Any]:
    model = keras.models.model_from_json((path / "architecture.json").read_text(encoding="utf-8"))
    model.load_weights(path / "model.weights.h5")
    result: Callable[[Any], Any] = model
    return result


def _read_saved_model(path: Path) -> Callable[[Any], Any]:
    import tensorflow

    loaded = tensorflow.saved_model.load(str(path))

    def call(pixels: npt.NDArray[np.float32]) -> Any:
        # `loaded` must outlive its signature.
        return loaded.serve(tensorflow.constant(pixels))

    return call


def _is_stock(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


FORMS: dict[
    str, tuple[Callable[[TrainedModel, Path], None], Callable[[Path], Callable[[Any], Any]], str]
] = {
    "keras": (_write_keras, _read_keras, "model.keras"),
    "h5": (_write_h5, _read_keras, "model.h5"),
    "json": (_write_json, _read_json, "model-json"),
    "saved-model": (_write_saved_model, _read_saved_model, "saved-model"),
}
"""Writer, reader and name by form."""

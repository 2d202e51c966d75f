"""Models as they come: from `train` with a contract draft in them, or from anywhere without one."""

from __future__ import annotations

import errno
import hashlib
import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr, start_tensorflow
from convert.statement import Statement
from edge_runtime.classifier import to_probabilities
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import ContractError, EdgeFerError, UsageError
from edge_runtime.modelfile import read_keras_contract

PREDICT_BATCH = 256
FORMS = ".keras, .h5, .json with --weights FILE, or the folder of a SavedModel"
_HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class SourceModel:
    """A Keras model that takes raw 0..255 pixels, with the contract that it is to carry."""

    path: Path
    model: Any
    """keras.Model; float32 (N, height, width, channels) -> (N, outputs)."""
    contract: ModelContract

    def outputs(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Raw outputs (N, outputs) of uint8 (N, height, width, channels) pictures."""
        with warnings.catch_warnings():
            # Keras warns of a model that was made with a list of one input.
            warnings.filterwarnings("ignore", message="The structure of `inputs`")
            parts = [
                np.asarray(self.model(pixels[start : start + PREDICT_BATCH].astype(np.float32)))
                for start in range(0, len(pixels), PREDICT_BATCH)
            ]
        return np.concatenate(parts)

    def predict_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities (N, labels) of pictures of any size and colour, (N, H, W[, 3])."""
        return self.predict_pixels(fit_pictures(images, self.contract.input))

    def predict_pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities (N, labels) of uint8 (N, height, width, channels) pictures."""
        return to_probabilities(self.outputs(pixels), self.contract)


def load_source(path: Path, name: str | None = None, statement: Statement | None = None) -> SourceModel:
    """Load a model and settle its contract.

    Args:
        name: replaces the model's name in the contract.
        statement: what its owner says of a model without a contract.

    Raises:
        ContractError: missing, damaged, or graph and contract disagree.
        UsageError: an unknown form, or the statement is missing or needless.
    """
    statement = statement or Statement()
    if not path.exists():
        raise ContractError(f"{path}: no such model file")
    if path.suffix not in (".keras", ".json", *_HDF5) and not (path / "saved_model.pb").exists():
        raise UsageError(f"{path}: not a model that can be read. Expected: {FORMS}")
    contract = read_keras_contract(path) if path.suffix == ".keras" else None
    if contract is None:
        statement.check_complete(path)
    else:
        statement.check_absent(path)
    start_tensorflow()
    model = _load_keras(path, statement.weights)
    if contract is None:
        contract = _stated_contract(path, model, statement)
        model = with_preprocessing(model, contract.input, statement)
    check_shapes(path, model, contract)
    producer = {**contract.producer, "source_sha256": _digest(path)}
    return SourceModel(path, model, replace(contract, name=name or contract.name, producer=producer))


def check_shapes(path: Path, model: Any, contract: ModelContract) -> None:
    """Refuse a model whose tensors are not what its contract says.

    Raises:
        ContractError: input or output shape differ.
    """
    taken, wanted = tuple(model.input_shape[1:]), contract.input.shape[1:]
    if taken != wanted:
        raise ContractError(f"{path}: the model takes {taken}, its contract says {wanted}")
    if contract.task == "detect":
        return
    units = tuple(model.output_shape[1:])
    if units != (contract.outputs,):
        raise ContractError(
            f"{path}: the model has outputs {units}, the contract needs ({contract.outputs},). "
            f"Received: labels={contract.labels!r}"
        )


def with_preprocessing(model: Any, spec: InputSpec, statement: Statement) -> Any:
    """The model behind a layer that maps 0..255 pixels to the range it was trained on.

    A shift is done by a 1x1 depthwise convolution: as separate multiplication and addition it loses a
    third of the pixel values in int8.
    """
    import keras

    low, high = statement.input_range or (0.0, 255.0)
    if (low, high) == (0.0, 255.0):
        return model
    scale = (high - low) / 255
    image = keras.Input(spec.shape[1:], name="image")
    if low == 0:
        scaled = keras.layers.Rescaling(scale, name="input_range")(image)
    else:
        layer = keras.layers.DepthwiseConv2D(1, name="input_range")
        scaled = layer(image)
        kernel = np.full((1, 1, spec.channels, 1), scale, np.float32)
        layer.set_weights([kernel, np.full((spec.channels,), low, np.float32)])
    return keras.Model(image, model(scaled), name="with_input_range")


def _stated_contract(path: Path, model: Any, statement: Statement) -> ModelContract:
    try:
        shapes = model.input_shape, model.output_shape
    except AttributeError:
        raise ContractError(
            f"{path}: the model does not know its input's shape; build it (model.build) and save it again"
        ) from None
    if any(isinstance(shape, (list, dict)) for shape in shapes):
        raise ContractError(f"{path}: the model has several inputs or outputs; one of each is needed")
    activation = getattr(getattr(model.layers[-1], "activation", None), "__name__", None)
    if type(model.layers[-1]).__name__ in ("Softmax", "Sigmoid"):
        activation = type(model.layers[-1]).__name__.lower()
    return statement.contract(
        path,
        input_shape=tuple(model.input_shape),
        outputs=int(np.prod(model.output_shape[1:])),
        last_activation=activation,
    )


def _load_keras(path: Path, weights: Path | None) -> Any:
    import keras

    if path.suffix == ".json" and weights is None:
        raise UsageError(f"{path}: an architecture without weights; give them with --weights FILE.h5")
    if weights is not None and not weights.is_file():
        raise ContractError(f"{weights}: no such weights file")
    if path.is_dir():
        with _readable(f"{path}: cannot be read as a SavedModel", "save it again"):
            return _load_saved_model(path)
    if path.suffix == ".json":
        assert weights is not None
        return _load_architecture(path, weights)
    with _readable(f"{path}: Keras cannot load the model", "save it again"):
        if path.suffix in _HDF5:
            _check_whole(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


@contextmanager
def _readable(what: str, remedy: str) -> Iterator[None]:
    """Make one line of whatever Keras and its readers raise.

    Raises:
        ContractError: the block failed.
    """
    try:
        with captured_stderr(tail=False):
            yield
    except EdgeFerError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # no fault of the model: unpacking it filled the disk
        # Keras raises whatever its layers raise; to the user all of it means one thing.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ContractError(f"{what} ({reason}); {remedy}") from None


def _check_whole(path: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ContractError(
                f"{path}: holds weights without the architecture; give the architecture as "
                f"MODEL.json and this file as --weights {path}"
            )


def _load_architecture(path: Path, weights: Path) -> Any:
    """JSON and weights of Keras 3, or of Keras 2, whose JSON Keras 3 reads only inside of an .h5 file."""
    import h5py
    import keras

    remedy = "write it again with model.to_json()"
    with _readable(f"{path}: not a JSON file", remedy):
        text = path.read_text(encoding="utf-8")
        architecture = json.loads(text)
    if not isinstance(architecture, dict) or "class_name" not in architecture:
        raise ContractError(f"{path}: not the architecture of a Keras model; {remedy}")
    with _readable(f"{weights}: not a readable weights file", "save it again with model.save_weights()"):
        h5py.File(weights).close()
    try:
        with captured_stderr(tail=False):
            model = keras.models.model_from_json(text)
    except Exception:
        # Keras 2 names its classes otherwise; the reader of .h5 files knows them.
        model = None
    if model is not None:
        with _readable(f"{weights}: does not fit {path}", "give the weights of this architecture"):
            model.load_weights(weights)
        return model
    with (
        _readable(f"{path} with {weights}: Keras cannot load the model", "save both again"),
        tempfile.TemporaryDirectory(prefix="edge-fer-") as folder,
    ):
        whole = Path(folder) / "model.h5"
        with h5py.File(weights) as source, h5py.File(whole, "w") as target:
            group = target.create_group("model_weights")
            source = source.get("model_weights", source)
            for key, value in source.attrs.items():
                group.attrs[key] = value
            for key in source:
                source.copy(key, group)
            target.attrs["model_config"] = json.dumps(as_keras_2(architecture)).encode()
        return keras.saving.load_model(whole, compile=False)


def as_keras_2(architecture: dict[str, Any]) -> dict[str, Any]:
    """An architecture as Keras 2 writes it into .h5 files, from what it writes into JSON files.

    There the layers carry a module and a registered name, with which Keras 3 takes them for its own, and
    the input's shape may stand in the first layer alone.
    """
    config = architecture.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return architecture
    layers: list[dict[str, Any]] = []
    for layer in config["layers"]:
        plain = {key: value for key, value in layer.items() if key not in ("module", "registered_name")}
        plain = as_keras_2(plain)
        inner = dict(plain.get("config", {}))
        if plain.get("class_name") != "InputLayer" and "batch_input_shape" in inner:
            shape = inner.pop("batch_input_shape")
            if not layers and architecture.get("class_name") == "Sequential":
                start = {"batch_input_shape": shape, "dtype": "float32", "name": "image"}
                layers.append({"class_name": "InputLayer", "config": start})
        layers.append({**plain, "config": inner})
    return {**architecture, "config": {**config, "layers": layers}}


def _load_saved_model(path: Path) -> Any:
    """A SavedModel as a Keras model, through its default signature."""
    import keras
    import tensorflow as tf

    signature = tf.saved_model.load(str(path)).signatures.get("serving_default")
    if signature is None:
        raise ContractError(f"{path}: has no signature serving_default; write it with model.export()")
    given, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if len(given) != 1 or len(outputs) != 1:
        raise ContractError(
            f"{path}: the signature has {len(given)} inputs and {len(outputs)} outputs; "
            "one of each is needed"
        )
    (spec,), (result,) = given.values(), outputs
    image = keras.Input(tuple(spec.shape[1:]), name="image")
    answer = keras.layers.TFSMLayer(str(path), call_endpoint="serving_default")(image)
    return keras.Model(image, answer[result] if isinstance(answer, dict) else answer)


def _digest(path: Path) -> str:
    """SHA-256 of a file, or over the sorted files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()

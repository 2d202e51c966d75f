"""A classifier as the device uses it: contract, interpreter and probabilities."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.backends import Backend, load_backend
from edge_runtime.backends.base import TensorInfo
from edge_runtime.contract import UNCERTAIN, ModelContract
from edge_runtime.errors import ContractError, DataError, UsageError
from edge_runtime.modelfile import ModelFile, read_model
from edge_runtime.preprocess import Box, UInt8Array, crop_face, tensor_filler, to_tensor
from edge_runtime.selftest import check_vectors

MODELS_DIR = Path(__file__).parent / "models"
DEFAULT_MODEL = "edge-fer-small"

FloatArray = npt.NDArray[np.float32]


def resolve_model(name_or_path: str | os.PathLike[str]) -> Path:
    """Path of a released model by its name, or the path itself.

    Raises:
        UsageError: neither a released model nor an existing file.
    """
    path = Path(name_or_path)
    if path.suffix or path.exists():
        return path
    released = MODELS_DIR / f"{name_or_path}.tflite"
    if released.exists():
        return released
    names = sorted(file.stem for file in MODELS_DIR.glob("*.tflite"))
    raise UsageError(f"no model {str(name_or_path)!r}; give a file or one of {', '.join(names)}")


class Classifier:
    """Runs one classification model; not thread-safe."""

    def __init__(self, file: ModelFile, backend: Backend, flip_average: bool = False) -> None:
        """Check that graph and contract describe the same model.

        Args:
            flip_average: average the probabilities of each crop and of its mirror image, for twice the
                time of inference.

        Raises:
            ContractError: shapes, types or label count disagree.
        """
        self.file = file
        self.contract = file.contract
        self.backend = backend
        _check_graph(file.path, self.contract, backend)
        self._input = np.empty(backend.input.shape, backend.input.dtype)
        self._flipped = np.empty_like(self._input) if flip_average else None
        self._exponentials = _softmax_table(self.contract, backend.outputs[0])

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        backend: str = "auto",
        threads: int = 1,
        flip_average: bool = False,
    ) -> Classifier:
        """Load a model file, or a released model by name; the options are those of the constructor.

        Raises:
            ContractError: corrupt file, no contract, or the graph disagrees with it.
            BackendError: no interpreter, or it refuses the model.
            UsageError: unknown model or backend.
        """
        file = read_model(resolve_model(model))
        if file.contract.task == "detect":
            raise ContractError(f"{file.path}: a detection model; a classifier is needed here")
        return cls(file, load_backend(file.data, backend, threads), flip_average)

    def prepare(self, pixels: UInt8Array) -> npt.NDArray:
        """Input tensor for a uint8 (height, width[, 3]) crop; reused by the next call."""
        return to_tensor(pixels, self.backend.input, self._input)

    def preparation(self, pixels: UInt8Array) -> Callable[[], npt.NDArray]:
        """`prepare` for a buffer that is filled again and again: returns the input tensor at each call."""
        fill = tensor_filler(pixels, self.backend.input, self._input)

        def prepare() -> npt.NDArray:
            fill()
            return self._input

        return prepare

    def infer(self, tensor: npt.NDArray) -> FloatArray:
        """Probabilities (labels,) float32 of an input tensor."""
        probabilities = self.probabilities(self.backend.invoke(tensor)[0])
        if self._flipped is not None:
            np.copyto(self._flipped, tensor[:, :, ::-1])
            probabilities += self.probabilities(self.backend.invoke(self._flipped)[0])
            probabilities /= 2
        return probabilities

    def predict(self, faces: UInt8Array | Sequence[UInt8Array]) -> FloatArray:
        """Probabilities of one face crop or of several.

        Args:
            faces: uint8 (H, W) luma, or (H, W, 3) RGB for a model that takes colour; or a list or an
                array (N, H, W[, 3]) of such crops. Crops of another size are resized to the model's.

        Returns:
            (labels,) float32 for one crop, (N, labels) for several.

        Raises:
            DataError: not uint8 crops of the shape that the model takes.
            BackendError: the interpreter failed.
        """
        dimensions = 2 if self.contract.input.color == "luma" else 3
        if isinstance(faces, np.ndarray) and (
            faces.ndim == dimensions or faces.shape == self.contract.input.shape[1:]
        ):
            return self.infer(self.prepare(self._fitted(faces)))
        if not len(faces):
            return np.empty((0, len(self.contract.labels)), np.float32)
        return np.stack([self.infer(self.prepare(self._fitted(face))) for face in faces])

    def _fitted(self, face: UInt8Array) -> UInt8Array:
        spec = self.contract.input
        if face.dtype == np.uint8 and face.shape in ((spec.height, spec.width), spec.shape[1:]):
            return face
        color = spec.channels == 3
        sound = face.shape[2:] == (3,) if color else face.ndim == 2
        if face.dtype != np.uint8 or not sound or not face.size:
            wanted = "(H, W, 3) RGB" if color else "(H, W) luma"
            raise DataError(f"a face must be uint8 {wanted}. Received: {face.dtype} {face.shape}")
        return crop_face(face, Box(0, 0, face.shape[1], face.shape[0]), spec)

    def probabilities(self, raw: npt.NDArray) -> FloatArray:
        """Turn a raw output tensor into probabilities by the contract's task and temperature."""
        if self._exponentials is not None:
            exponentials = self._exponentials.take(raw.reshape(-1).view(np.uint8))
            exponentials /= np.add.reduce(exponentials)
            return exponentials
        info = self.backend.outputs[0]
        values = raw.reshape(-1).astype(np.float32)
        if info.quantized:
            values = (values - info.zero_point) * info.scale
        return to_probabilities(values, self.contract)

    def label(self, probabilities: FloatArray) -> tuple[str, float]:
        """The label to report and the confidence of the most probable class."""
        values = probabilities.tolist()
        confidence = max(values)
        best = values.index(confidence)
        uncertain = confidence < self.contract.uncertain_below
        return (UNCERTAIN if uncertain else self.contract.labels[best]), confidence

    def close(self) -> None:
        self.backend.close()


def _softmax_table(contract: ModelContract, output: TensorInfo) -> FloatArray | None:
    """exp(logit / temperature) of each of the 256 values that an int8 logit can have, up to a factor.

    None where the output is something else, or so wide that small probabilities would vanish.
    """
    step = output.scale / contract.temperature
    if contract.task != "softmax" or contract.activation != "logits" or output.dtype != np.int8:
        return None
    if not output.quantized or 255 * step > 80:
        return None
    raw = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float64)
    return np.exp((raw - 127) * step).astype(np.float32)


def to_probabilities(values: FloatArray, contract: ModelContract) -> FloatArray:
    """Probabilities (..., labels) from dequantized outputs (..., outputs) by the contract.

    Probabilities that a graph computed itself are turned back into logits where a temperature other
    than 1 is to be applied.
    """
    if contract.task == "sigmoid":
        positive = values[..., 0]
        if contract.activation == "logits" or contract.temperature != 1:
            if contract.activation == "probabilities":
                clipped = np.clip(positive, 1e-7, 1 - 1e-7)
                positive = np.log(clipped / (1 - clipped))
            positive = 1 / (1 + np.exp(-positive / contract.temperature))
        return np.stack([1 - positive, positive], axis=-1).astype(np.float32)
    if contract.activation == "probabilities":
        if contract.temperature == 1:
            total = np.maximum(values.sum(axis=-1, keepdims=True), 1e-7)
            return (values / total).astype(np.float32)
        values = np.log(np.clip(values, 1e-7, 1))
    scaled = values / contract.temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def _check_graph(path: Path, contract: ModelContract, backend: Backend) -> None:
    tensor, output = backend.input, backend.outputs[0]
    if tensor.shape != contract.input.shape:
        raise ContractError(
            f"{path}: the graph takes {tensor.shape}, the contract says {contract.input.shape}; "
            "convert the model again"
        )
    if math.prod(output.shape) != contract.outputs:
        raise ContractError(
            f"{path}: model has {math.prod(output.shape)} outputs, the contract needs "
            f"{contract.outputs}. Received: labels={contract.labels!r}"
        )
    if tensor.dtype not in (np.int8, np.uint8, np.float32):
        raise ContractError(f"{path}: input type {tensor.dtype} is not supported; use int8")
    expected_zero = {np.dtype(np.int8): -128, np.dtype(np.uint8): 0}.get(tensor.dtype)
    if expected_zero is not None and tensor.zero_point != expected_zero:
        raise ContractError(
            f"{path}: {tensor.dtype} input has zero point {tensor.zero_point}, not {expected_zero}, "
            "so pixels do not map one to one; calibrate with pixels of 0..255"
        )


def self_test(classifier: Classifier) -> float:
    """Run the contract's self-test vectors and return the largest deviation.

    Raises:
        BackendError: the runtime computes something else than the host that converted the model.
        ContractError: the contract has no vectors.
    """
    return check_vectors(classifier.file, classifier.backend)

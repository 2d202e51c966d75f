"""Detector `edge`: a small convolutional network in the interpreter that also runs the classifier."""

from __future__ import annotations

import os

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.backends import Backend, load_backend
from edge_runtime.classifier import resolve_model
from edge_runtime.detectors.base import Detection
from edge_runtime.detectors.decoding import Decoder, Decoding
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import ModelFile, read_tflite
from edge_runtime.preprocess import Box, UInt8Array, to_tensor
from edge_runtime.selftest import check_vectors

DEFAULT_MODEL = "edge-face"


class EdgeDetector:
    """Runs one detection model (contract task `detect`); not thread-safe."""

    name = "edge"

    def __init__(self, file: ModelFile, backend: Backend, score_threshold: float | None = None) -> None:
        """Check that graph and contract describe the same model.

        Args:
            score_threshold: replaces the contract's, 0..1 (exclusive).

        Raises:
            ContractError: task, colour, shapes or types disagree.
        """
        contract = file.contract
        if contract.task != "detect":
            raise ContractError(f"{file.path}: a {contract.task} model; a detection model is needed here")
        tensor = backend.input
        if contract.input.color != "luma" or tensor.shape != contract.input.shape:
            raise ContractError(
                f"{file.path}: the graph takes {tensor.shape}, the contract says {contract.input.shape}; "
                "a detector takes luma"
            )
        if tensor.dtype == np.int8 and tensor.zero_point != -128:
            raise ContractError(
                f"{file.path}: int8 input has zero point {tensor.zero_point}, not -128, so pixels do not "
                "map one to one; calibrate with pixels of 0..255"
            )
        self.file = file
        self.contract = contract
        self.backend = backend
        self.decoding = Decoding.from_json(contract.decoding)
        self._hw = (contract.input.height, contract.input.width)
        self._decode = Decoder(self.decoding, self._hw, backend.outputs, score_threshold)
        self._pixels = np.full(self._hw, self.decoding.fill, np.uint8)
        self._tensor = np.empty(tensor.shape, tensor.dtype)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        backend: str = "auto",
        threads: int = 1,
        score_threshold: float | None = None,
    ) -> EdgeDetector:
        """Load a model file, or a released model by name.

        Raises:
            ContractError: corrupt file, no contract, no detection model, or the graph disagrees.
            BackendError: no interpreter, or it refuses the model.
            UsageError: unknown model or backend.
        """
        file = read_tflite(resolve_model(model))
        return cls(file, load_backend(file.data, backend, threads), score_threshold)

    def detect(self, luma: npt.NDArray[np.uint8]) -> list[Detection]:
        """Find faces; see `edge_runtime.detectors.base.Detector`."""
        boxes, scores = self.detect_boxes(luma)
        map_one = self.decoding.box_map.apply_one
        found = [
            Detection(Box(*map_one(*box)), score)
            for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
        found.sort(key=lambda item: (-item.score, -item.box.w * item.box.h))
        return found

    def detect_boxes(self, luma: npt.NDArray[np.uint8]) -> tuple[npt.NDArray, npt.NDArray]:
        """Boxes as the network was trained to frame faces, before the map to `Box`'s convention.

        Returns:
            boxes (N, 4) float32 x, y, w, h in pixels of the frame, scores (N,) float32, best first.
        """
        scale = self.fit(luma)
        boxes, scores = self.find()
        return boxes / np.float32(scale), scores

    def fit(self, luma: UInt8Array) -> float:
        """Fill the input picture from a frame; returns input pixels per pixel of the frame."""
        return letterbox(luma, self._pixels, self.decoding.fill)

    def find(self) -> tuple[npt.NDArray, npt.NDArray]:
        """Boxes and scores as `detect_boxes`, in pixels of the input picture that `fit` filled."""
        outputs = self.backend.invoke(to_tensor(self._pixels, self.backend.input, self._tensor))
        return self._decode(outputs)

    def self_test(self) -> float:
        """Run the contract's self-test vectors and return the largest deviation.

        Raises:
            BackendError: the runtime computes something else than the host that converted the model.
            ContractError: the contract has no vectors.
        """
        return check_vectors(self.file, self.backend)

    def close(self) -> None:
        self.backend.close()


def letterbox(luma: UInt8Array, out: UInt8Array, fill: int) -> float:
    """Resize a frame into the upper left corner of a picture, keeping its aspect.

    Shrinking averages over pixels (`INTER_AREA`), growing is bilinear.

    Args:
        luma: uint8 (H, W).
        out: uint8 (height, width), filled; the part that the frame does not cover becomes `fill`.

    Returns:
        Pixels of `out` per pixel of `luma`.
    """
    rows, columns = luma.shape
    height, width = out.shape
    scale = min(width / columns, height / rows)
    w = min(width, max(1, round(columns * scale)))
    h = min(height, max(1, round(rows * scale)))
    while rows % 2 == 0 and columns % 2 == 0 and rows >= 4 * h and columns >= 4 * w:
        # Averages over 2x2 pixels run in vector instructions, those over 4x4 do not: a sixth of the time.
        rows, columns = rows // 2, columns // 2
        luma = cv2.resize(luma, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cv2.resize(luma, (w, h), dst=out[:h, :w], interpolation=interpolation)
    out[h:] = fill
    out[:h, w:] = fill
    return scale


def load(file: str = DEFAULT_MODEL) -> EdgeDetector:
    """Load a detection model and prove that this runtime computes what its host did.

    Args:
        file: path of a model file, or name of a released model.

    Raises:
        UsageError: unknown model.
        ContractError, BackendError: as `EdgeDetector.load` and `EdgeDetector.self_test`.
    """
    detector = EdgeDetector.load(file)
    detector.self_test()
    return detector

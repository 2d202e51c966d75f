"""Detector `edge`: a small convolutional network in the interpreter that also runs the classifier."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from edge_runtime.backends import Backend, load_backend
from edge_runtime.classifier import resolve_model
from edge_runtime.detectors.base import Detection
from edge_runtime.detectors.decoding import Decoder, Decoding, Place, SecondLook
from edge_runtime.detectors.letterbox import Letterbox
from edge_runtime.detectors.letterbox import letterbox as letterbox
from edge_runtime.detectors.looking import Answers, Found, cut_around, judge_all, wanted_looks
from edge_runtime.errors import ContractError
from edge_runtime.modelfile import ModelFile, read_tflite
from edge_runtime.preprocess import Box, UInt8Array, tensor_filler
from edge_runtime.selftest import check_vectors

DEFAULT_MODEL = "edge-face"
LEAST_SCORE = 0.02
"""Answers of a second look below it count as none."""


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
        self._threshold = self.decoding.score_threshold if score_threshold is None else score_threshold
        self._second = self.decoding.second_look
        self._to_full_face = self.decoding.box_map.inverse()
        least = min(self._threshold, self._second.score_threshold) if self._second else self._threshold
        self._decode = Decoder(self.decoding, self._hw, backend.outputs, least)
        self._decode_closer = Decoder(self.decoding, self._hw, backend.outputs, LEAST_SCORE)
        self._pixels = np.full(self._hw, self.decoding.fill, np.uint8)
        self._fit = Letterbox(self._pixels, self.decoding.fill)
        self._tensor = np.empty(tensor.shape, tensor.dtype)
        self._fill_tensor = tensor_filler(self._pixels, tensor, self._tensor)
        # The first picture's border stays filled from frame to frame, so that the second has its own.
        self._closer = np.empty(self._hw, np.uint8)
        self._fill_closer = tensor_filler(self._closer, tensor, self._tensor)

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
        if not len(scores):
            return []
        map_one = self.decoding.box_map.apply_one
        found = [
            Detection(Box(*map_one(*box)), score)
            for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]
        if len(found) > 1:
            found.sort(key=lambda item: (-item.score, -item.box.w * item.box.h))
        return found

    def detect_near(self, luma: UInt8Array, box: Box) -> Detection | None:
        """Find the face that was near a place; see `edge_runtime.detectors.base.LocalDetector`."""
        place = self._to_full_face.apply_one(box.x, box.y, box.w, box.h)
        spec = self._second or SecondLook()
        found = self._look_closer(luma, place, spec)
        if found is None or found[1] < self._threshold:
            return None
        return Detection(Box(*self.decoding.box_map.apply_one(*found[0])), found[1])

    def detect_boxes(self, luma: UInt8Array) -> Answers:
        """Boxes as the network was trained to frame faces, before the map to `Box`'s convention.

        Returns:
            boxes (N, 4) float32 x, y, w, h in pixels of the frame, scores (N,) float32, best first.
        """
        first = self.look(luma)
        spec = self._second
        if spec is None or not len(first[1]):
            return first
        places = first[0][: wanted_looks(first[1], spec)].tolist()
        looks = [self._look_closer(luma, place, spec) for place in places]
        boxes, scores = judge_all(first, looks, self.decoding.nms_iou)
        delivered = scores >= self._threshold
        return boxes[delivered], scores[delivered]

    def look(self, luma: UInt8Array) -> Answers:
        """The first look's answers as `detect_boxes` gives them, from the lower of both thresholds on."""
        scale = self.fit(luma)
        boxes, scores = self.find()
        boxes /= np.float32(scale)
        return boxes, scores

    def fit(self, luma: UInt8Array) -> float:
        """Fill the input picture from a frame; returns input pixels per pixel of the frame."""
        return self._fit(luma)

    def find(self) -> tuple[npt.NDArray, npt.NDArray]:
        """Boxes and scores as `look`, in pixels of the input picture that `fit` filled."""
        self._fill_tensor()
        return self._decode(self.backend.invoke(self._tensor))

    def _look_closer(self, luma: UInt8Array, place: Place, spec: SecondLook) -> Found:
        view = cut_around(luma, place, spec.face_share, self._closer, self.decoding.fill)
        self._fill_closer()
        outputs = self.backend.invoke(self._tensor)
        return view.look(self._decode_closer, outputs, place, spec.min_iou)

    def self_test(self) -> float:
        """Run the contract's self-test vectors and return the largest deviation.

        Raises:
            BackendError: the runtime computes something else than the host that converted the model.
            ContractError: the contract has no vectors.
        """
        return check_vectors(self.file, self.backend)

    def close(self) -> None:
        self.backend.close()


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

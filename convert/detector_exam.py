"""What a converted face detector (contract task `detect`) is held against: its Keras model's answers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.quiet import captured_stderr
from convert.runtimes import run_worker
from convert.selftest import synthetic_inputs
from convert.source import SourceModel
from convert.worker import LEAST_SCORE
from edge_runtime.backends import load_backend
from edge_runtime.backends.base import TensorInfo
from edge_runtime.contract import InputSpec, ModelContract
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.detectors.decoding import Decoder, Decoding, cell_centers
from edge_runtime.detectors.edge import EdgeDetector, letterbox
from edge_runtime.errors import ContractError
from edge_runtime.metrics.detection import average_precision, match_detections
from edge_runtime.modelfile import read_model

VALIDATION = "validation"
DEFAULT_MAX_LOSS = 0.01
"""Average precision that a conversion may cost."""
MIN_FLOAT_AGREEMENT = 0.999
"""Agreement where nothing was quantized: rounding moves a score across the least one here and there."""

UInt8Array = npt.NDArray[np.uint8]
Detections = list[tuple[npt.NDArray, npt.NDArray]]


@dataclass(frozen=True)
class DetectionParity:
    """A converted detector against its reference on the same pictures."""

    model: str
    backend: str
    """Runtime that computed the candidate's answers."""
    split: str
    images: int
    data_sha256: str
    reference_average_precision: float
    """At IoU 0.5, against the boxes of the data as they are."""
    average_precision: float
    agreement: float
    """Average precision of the candidate against the reference's own answers at its threshold."""

    @property
    def lost(self) -> float:
        """Average precision that the conversion cost."""
        return self.reference_average_precision - self.average_precision

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        return (
            f"{self.split}, n = {self.images}, {self.backend}\n"
            f"  average precision, reference  {self.reference_average_precision:7.2%}\n"
            f"  average precision, converted  {self.average_precision:7.2%}\n"
            f"  agreement with the reference  {self.agreement:7.2%}"
        )


@dataclass(frozen=True)
class DetectorExam:
    """Pictures with faces, what the Keras model finds in them, and how much of it may be lost."""

    split: str
    images: BoxedImages
    reference: Detections
    max_loss: float = DEFAULT_MAX_LOSS
    tflite_runtime_python: Path | None = None
    """Python of an environment with tflite-runtime, where `.tflite` candidates are examined as well."""

    def describe(self, graph: bytes, contract: ModelContract) -> ModelContract:
        """The contract with the outputs of its decoding in the graph's order."""
        decoding = Decoding.from_json(contract.decoding)
        ordered = replace(decoding, outputs=order_of_outputs(graph, contract.input, decoding))
        return replace(contract, decoding=ordered.to_json())

    def vectors(self, spec: InputSpec) -> tuple[UInt8Array, ...]:
        return (synthetic_frame(spec),)

    def pixels(self, contract: ModelContract, count: int) -> UInt8Array:
        return frames(self.images.images[:count], contract)

    def measure(self, path: Path, name: str, contract: ModelContract) -> list[DetectionParity]:
        """Compare the first looks on every runtime there is; see `convert.exam.Examination.measure`."""
        with captured_stderr():
            detector = load_detector(path)
        detector.self_test()
        found = [(detector.backend.description, [detector.look(image) for image in self.images.images])]
        detector.close()
        if self.tflite_runtime_python is not None and path.suffix == ".tflite":
            found.append(_detections_elsewhere(path, self.images.images, self.tflite_runtime_python))
        threshold = Decoding.from_json(contract.decoding).score_threshold
        confident = [boxes[scores >= threshold] for boxes, scores in self.reference]
        precision = round(_precision(self.reference, self.images.boxes), 4)
        return [
            DetectionParity(
                model=detector.contract.name,
                backend=backend,
                split=self.split,
                images=len(self.images),
                data_sha256=self.images.digest(),
                reference_average_precision=precision,
                average_precision=round(_precision(candidate, self.images.boxes), 4),
                agreement=round(_precision(candidate, confident), 4),
            )
            for backend, candidate in found
        ]

    def judge(self, path: Path, parity: DetectionParity, exact: bool) -> str | None:
        """Why a candidate is refused; see `convert.exam.Examination.judge`."""
        if not parity.lost <= self.max_loss:
            return (
                f"{path} not written: average precision fell by {parity.lost:.2%} to "
                f"{parity.average_precision:.2%} with {parity.backend} on {parity.images} "
                f"{parity.split} images, {self.max_loss:.2%} is allowed (--max-loss)"
            )
        if exact and not parity.agreement >= MIN_FLOAT_AGREEMENT:
            return (
                f"{path} not written: nothing was quantized, yet its answers agree with those of the "
                f"reference by {parity.agreement:.2%} alone with {parity.backend}; an operation is "
                "computed differently"
            )
        return None

    def prove(self, path: Path) -> None:
        """Load a finished file and run its self-test."""
        with captured_stderr():
            detector = load_detector(path)
        detector.self_test()
        detector.close()


def detector_exam(
    source: SourceModel,
    data: BoxedImages,
    split: str | None = None,
    max_loss: float = DEFAULT_MAX_LOSS,
    tflite_runtime_python: Path | None = None,
) -> DetectorExam:
    """The exam on one split of a set of pictures.

    Args:
        split: None takes `validation`.

    Raises:
        DataError: the split is missing.
    """
    images = pictures_with_faces(data, split)
    reference = reference_detections(source, images)
    return DetectorExam(split or VALIDATION, images, reference, max_loss, tflite_runtime_python)


def load_detector(path: Path, score_threshold: float | None = LEAST_SCORE) -> EdgeDetector:
    """A `.tflite` or `.onnx` detector in the interpreter of this environment.

    Args:
        score_threshold: None takes the contract's.

    Raises:
        ContractError, BackendError: it is damaged or refused.
    """
    file = read_model(path)
    backend = load_backend(file.data, "onnx" if path.suffix == ".onnx" else "litert")
    return EdgeDetector(file, backend, score_threshold)


def pictures_with_faces(data: BoxedImages, split: str | None) -> BoxedImages:
    """The split that detectors are compared on, without pictures that show no face."""
    report = data.split(split or VALIDATION)
    return report.select([len(boxes) > 0 for boxes in report.boxes])


def frames(images: Sequence[UInt8Array], contract: ModelContract) -> UInt8Array:
    """Pictures (H, W) of any size as the device frames them, uint8 (N, height, width, 1)."""
    decoding = Decoding.from_json(contract.decoding)
    pixels = np.empty((len(images), *contract.input.shape[1:]), np.uint8)
    for out, image in zip(pixels, images, strict=True):
        letterbox(image, out[..., 0], decoding.fill)
    return pixels


def order_of_outputs(graph: bytes, spec: InputSpec, decoding: Decoding) -> tuple[str, ...]:
    """What each output of a converted graph is, told by its shape: converters reorder outputs.

    Raises:
        ContractError: a shape that no output of the decoding has, or two alike.
    """
    with captured_stderr():
        backend = load_backend(graph)
    shapes = [tensor.shape for tensor in backend.outputs]
    backend.close()
    names: dict[tuple[int, ...], str] = {}
    for stride in decoding.strides:
        rows, columns, _ = cell_centers((spec.height, spec.width), stride).shape
        names[(1, rows, columns, 1)] = f"score_{stride}"
        names[(1, rows, columns, 4)] = f"box_{stride}"
    if sorted(shapes) != sorted(names):
        raise ContractError(
            f"the graph has outputs {shapes}, its decoding {list(decoding.outputs)} needs {list(names)}"
        )
    return tuple(names[shape] for shape in shapes)


def synthetic_frame(spec: InputSpec) -> UInt8Array:
    """The four synthetic pictures of the self-test side by side in one frame, (height, width, 1).

    One vector has as many values as all cells of all maps; a second would double the contract's size.
    """
    quarter = InputSpec(-(-spec.height // 2), -(-spec.width // 2), spec.color)
    a, b, c, d = synthetic_inputs(quarter)
    frame = np.vstack([np.hstack([b, c]), np.hstack([d, a])])
    return np.ascontiguousarray(frame[: spec.height, : spec.width])


def reference_detections(source: SourceModel, data: BoxedImages) -> Detections:
    """Detections of the Keras model, through the device's own decoding."""
    spec = source.contract.input
    decoding = Decoding.from_json(source.contract.decoding)
    tensors = [
        TensorInfo(name, (1, *(int(size) for size in shape[1:])), np.dtype(np.float32))
        for name, shape in zip(decoding.outputs, source.model.output_shape, strict=True)
    ]
    decode = Decoder(decoding, (spec.height, spec.width), tensors, LEAST_SCORE)
    pixels = np.empty((spec.height, spec.width), np.uint8)
    result: Detections = []
    for image in data.images:
        scale = letterbox(image, pixels, decoding.fill)
        outputs = source.model(pixels[None, :, :, None].astype(np.float32))
        boxes, scores = decode([np.asarray(output) for output in outputs])
        result.append((boxes / np.float32(scale), scores))
    return result


def _detections_elsewhere(path: Path, images: Sequence[UInt8Array], python: Path) -> tuple[str, Detections]:
    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder:
        given, taken = Path(folder) / "images.npz", Path(folder) / "out.npz"
        np.savez(given, *images)
        report = run_worker(python, path, given, taken, "tflite-runtime")
        with np.load(taken) as out:
            found = [(out[f"boxes_{index}"], out[f"scores_{index}"]) for index in range(len(images))]
    return report["backend"], found


def _precision(detections: Detections, truths: Sequence[npt.NDArray]) -> float:
    matches = match_detections(detections, truths)
    return average_precision(matches) if matches.faces else 0.0

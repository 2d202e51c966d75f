"""Conversion of face detectors (contract task `detect`): calibration, contract and gate."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convert.calibration import CalibrationSet
from convert.delegation import Delegation, delegation_of
from convert.metadata import attach_metadata
from convert.output import candidate_file
from convert.quiet import captured_stderr
from convert.runtimes import run_worker
from convert.selftest import make_self_test, synthetic_inputs
from convert.source import SourceModel
from convert.tflite import convert_int8, own_version, producer_versions
from convert.worker import LEAST_SCORE
from edge_runtime.backends import load_backend
from edge_runtime.backends.base import TensorInfo
from edge_runtime.contract import InputSpec
from edge_runtime.datasets import yolo
from edge_runtime.datasets.yolo import BoxedImages
from edge_runtime.detectors.decoding import Decoder, Decoding, cell_centers
from edge_runtime.detectors.edge import EdgeDetector, letterbox
from edge_runtime.errors import ContractError, DataError
from edge_runtime.metrics.detection import average_precision, match_detections
from edge_runtime.modelfile import embed_tflite

TRAINING, VALIDATION = "Training", "validation"
DEFAULT_MAX_LOSS = 0.01
"""Average precision that the conversion may cost."""

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
class DetectorConversion:
    """A file that passed the gate and was written."""

    out: Path
    quantization: str
    size_bytes: int
    sha256: str
    parity: DetectionParity
    delegation: Delegation
    elsewhere: tuple[DetectionParity, ...] = ()
    """The same on other runtimes."""

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.out),
            "quantization": self.quantization,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "xnnpack": asdict(self.delegation),
            **self.parity.to_json(),
            "elsewhere": [parity.to_json() for parity in self.elsewhere],
        }

    def to_text(self) -> str:
        head = f"{self.out}: {self.quantization}, {self.size_bytes:,} bytes, sha256 {self.sha256[:12]}"
        count = self.delegation.partitions
        lines = [head, f"XNNPACK: {count} partition{'s' if count != 1 else ''}"]
        return "\n".join([*lines, *(parity.to_text() for parity in (self.parity, *self.elsewhere))])


def convert_detector(
    source: SourceModel,
    data_path: Path,
    out: Path,
    *,
    calibration_images: int,
    seed: int,
    split: str | None = None,
    max_loss: float = DEFAULT_MAX_LOSS,
    tflite_runtime_python: Path | None = None,
) -> DetectorConversion:
    """Quantize to int8, embed the contract, compare with the Keras model and write.

    Args:
        data_path: folder or zip archive in YOLO layout.
        calibration_images: drawn from the Training split; pictures without faces are not drawn.
        split: compared on; None takes `validation`.
        max_loss: average precision that the conversion may cost.
        tflite_runtime_python: Python of an environment with tflite-runtime, which is examined as well.

    Raises:
        ContractError: the file does not find what the reference finds; nothing is written.
        DataError: a split is missing or too small.
    """
    data = yolo.read(data_path)
    contract = source.contract
    report = pictures_with_faces(data, split)
    decoding = Decoding.from_json(contract.decoding)
    calibration = draw_frames(data, contract.input, decoding, calibration_images, seed)
    graph = convert_int8(source, calibration)
    decoding = replace(decoding, outputs=order_of_outputs(graph, contract.input, decoding))
    contract = replace(
        contract,
        decoding=decoding.to_json(),
        quantization={
            "scheme": "int8",
            "input": "int8",
            "output": "int8",
            "calibration": calibration.record,
        },
        producer={**contract.producer, **producer_versions()},
    )
    sealed = attach_metadata(graph, contract, own_version())
    vectors = (synthetic_frame(contract.input),)
    contract = replace(contract, self_test=make_self_test(sealed, contract.input, vectors))
    reference = reference_detections(source, report)
    with candidate_file(out) as temporary:
        temporary.write_bytes(embed_tflite(sealed, contract))
        name = split or VALIDATION
        parity, *elsewhere = compare_everywhere(temporary, reference, report, name, tflite_runtime_python)
        for found in (parity, *elsewhere):
            gate(out, found, max_loss)
        figures = {key: value for key, value in parity.to_json().items() if key != "model"}
        recorded = replace(contract, validation={**contract.validation, "conversion": figures})
        content = embed_tflite(sealed, recorded)
        temporary.write_bytes(content)
        # The figures were added after the comparison: read the final bytes once more.
        final = EdgeDetector.load(temporary, backend="litert")
        final.self_test()
        final.close()
    digest, delegation = final.file.sha256, delegation_of(sealed)
    return DetectorConversion(out, "int8", len(content), digest, parity, delegation, tuple(elsewhere))


def verify_detector(
    source: SourceModel,
    candidate: Path,
    data_path: Path,
    *,
    split: str | None = None,
    tflite_runtime_python: Path | None = None,
) -> list[DetectionParity]:
    """Compare a converted detector with its Keras model on every runtime that there is.

    Raises:
        ContractError, BackendError: it is damaged, refused, or fails its self-test.
        DataError: the split is missing.
    """
    report = pictures_with_faces(yolo.read(data_path), split)
    reference = reference_detections(source, report)
    return compare_everywhere(candidate, reference, report, split or VALIDATION, tflite_runtime_python)


def pictures_with_faces(data: BoxedImages, split: str | None) -> BoxedImages:
    """The split that detectors are compared on, without pictures that show no face."""
    report = data.split(split or VALIDATION)
    return report.select([len(boxes) > 0 for boxes in report.boxes])


def draw_frames(
    data: BoxedImages, spec: InputSpec, decoding: Decoding, count: int, seed: int
) -> CalibrationSet:
    """Draw Training pictures with faces, framed as the device frames them, and add both extremes.

    Raises:
        DataError: no Training split, or not enough pictures with faces in it.
    """
    training = data.split(TRAINING)
    elsewhere = {image.tobytes() for image in data.select(data.splits != TRAINING).images}
    candidates = [
        row
        for row, (image, boxes) in enumerate(zip(training.images, training.boxes, strict=True))
        if len(boxes) and image.tobytes() not in elsewhere
    ]
    if not 1 <= count <= len(candidates):
        raise DataError(
            f"{data.source}: {len(candidates)} {TRAINING} pictures show faces, {count} were asked for; "
            "change --calibration-images"
        )
    chosen = np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))
    pixels = np.empty((count + 2, *spec.shape[1:]), np.uint8)
    for out, row in zip(pixels, chosen.tolist(), strict=False):
        letterbox(training.images[row], out[..., 0], decoding.fill)
    pixels[count], pixels[count + 1] = 0, 255
    record = {
        "split": TRAINING,
        "images": count,
        "seed": seed,
        "pixels_sha256": hashlib.sha256(pixels[:count].tobytes()).hexdigest(),
        "extremes": "one all-0 and one all-255 image",
    }
    return CalibrationSet(pixels, record)


def order_of_outputs(graph: bytes, spec: InputSpec, decoding: Decoding) -> tuple[str, ...]:
    """What each output of a converted graph is, told by its shape: converters reorder outputs.

    Raises:
        ContractError: a shape that no output of the decoding has, or two alike.
    """
    backend = load_backend(graph, "litert")
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


def compare_everywhere(
    path: Path,
    reference: Detections,
    data: BoxedImages,
    split: str,
    tflite_runtime_python: Path | None = None,
) -> list[DetectionParity]:
    """Run the self-test, then every picture, and compare with the reference's detections.

    Raises:
        BackendError: a runtime refuses the file or fails the self-test.
    """
    with captured_stderr():
        detector = EdgeDetector.load(path, backend="litert", score_threshold=LEAST_SCORE)
    detector.self_test()
    found = [(detector.backend.description, [detector.detect_boxes(image) for image in data.images])]
    detector.close()
    if tflite_runtime_python is not None:
        found.append(_detections_elsewhere(path, data.images, tflite_runtime_python))
    threshold = Decoding.from_json(detector.contract.decoding).score_threshold
    confident = [boxes[scores >= threshold] for boxes, scores in reference]
    precision = round(_precision(reference, data.boxes), 4)
    return [
        DetectionParity(
            model=detector.contract.name,
            backend=backend,
            split=split,
            images=len(data),
            data_sha256=data.digest(),
            reference_average_precision=precision,
            average_precision=round(_precision(candidate, data.boxes), 4),
            agreement=round(_precision(candidate, confident), 4),
        )
        for backend, candidate in found
    ]


def _detections_elsewhere(path: Path, images: Sequence[UInt8Array], python: Path) -> tuple[str, Detections]:
    with tempfile.TemporaryDirectory(prefix="edge-fer-") as folder:
        given, taken = Path(folder) / "images.npz", Path(folder) / "out.npz"
        np.savez(given, *images)
        report = run_worker(python, path, given, taken, "tflite-runtime")
        with np.load(taken) as out:
            found = [(out[f"boxes_{index}"], out[f"scores_{index}"]) for index in range(len(images))]
    return report["backend"], found


def gate(path: Path, parity: DetectionParity, max_loss: float) -> None:
    """Refuse a candidate that finds fewer faces than its reference.

    Raises:
        ContractError: the average precision fell by more than `max_loss`.
    """
    if not parity.lost <= max_loss:
        raise ContractError(
            f"{path} not written: average precision fell by {parity.lost:.2%} to "
            f"{parity.average_precision:.2%} with {parity.backend} on {parity.images} "
            f"{parity.split} images, {max_loss:.2%} is allowed"
        )


def _precision(detections: Detections, truths: Sequence[npt.NDArray]) -> float:
    matches = match_detections(detections, truths)
    return average_precision(matches) if matches.faces else 0.0

"""What is measured while training is what the device does: the same two looks, only in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("keras")
pytestmark = pytest.mark.host

from edge_runtime.backends.base import TensorInfo  # noqa: E402
from edge_runtime.contract import InputSpec, ModelContract  # noqa: E402
from edge_runtime.detectors.decoding import Decoding, SecondLook  # noqa: E402
from edge_runtime.detectors.edge import EdgeDetector  # noqa: E402
from edge_runtime.modelfile import ModelFile  # noqa: E402
from tests.train.detection.support import boxed_images  # noqa: E402
from train.detection import evaluate  # noqa: E402
from train.models.edge_face import OUTPUTS  # noqa: E402

HW = (48, 64)
SHAPES = ((6, 8, 1), (6, 8, 4), (3, 4, 1), (3, 4, 4))


class BrightCells:
    """A network by rule, as Keras model and as interpreter: bright cells are faces."""

    name = tolerance_key = description = "rule"
    input_shape = (None, *HW, 1)
    output_shape = tuple((None, *shape) for shape in SHAPES)
    input = TensorInfo("pixels", (1, *HW, 1), np.dtype(np.float32))
    outputs = tuple(
        TensorInfo(name, (1, *shape), np.dtype(np.float32))
        for name, shape in zip(OUTPUTS, SHAPES, strict=True)
    )

    def predict_on_batch(self, pixels: npt.NDArray) -> list[npt.NDArray]:
        result = []
        for stride in (8, 16):
            cells = pixels.reshape(len(pixels), HW[0] // stride, stride, HW[1] // stride, stride)
            score = (cells.mean(axis=(2, 4))[..., None] - 110) / 20
            result += [score, np.repeat(np.maximum(score + 2, 0.5), 4, axis=-1)]
        return [values.astype(np.float32) for values in result]

    def invoke(self, tensor: npt.NDArray) -> tuple[npt.NDArray, ...]:
        return tuple(self.predict_on_batch(tensor))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("second_look", [None, SecondLook(most=2, face_share=0.5)])
def test_pictures_are_searched_as_on_the_device(second_look: SecondLook | None) -> None:
    decoding = Decoding(outputs=OUTPUTS, second_look=second_look)
    contract = ModelContract("rule", "detect", ("face",), InputSpec(*HW), decoding=decoding.to_json())
    file = ModelFile(Path("rule.tflite"), contract, b"", "0" * 64)
    device = EdgeDetector(file, BrightCells(), evaluate.LEAST_SCORE)
    data = boxed_images(12)
    found = evaluate.detect_all(BrightCells(), data, decoding, evaluate.LEAST_SCORE)
    assert sum(len(scores) for _, scores in found) > len(data)
    for image, (boxes, scores) in zip(data.images, found, strict=True):
        expected_boxes, expected_scores = device.detect_boxes(image)
        kept = scores >= evaluate.LEAST_SCORE
        np.testing.assert_allclose(boxes[kept], expected_boxes, atol=1e-3)
        np.testing.assert_allclose(scores[kept], expected_scores, atol=1e-6)

"""The detector's own work (framing, decoding, mapping back, checks) around an interpreter whose network is
replaced by a rule: the brightest cell is a face of 4 x 4 strides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.backends.base import TensorInfo
from edge_runtime.boxmap import BoxMap
from edge_runtime.contract import InputSpec, ModelContract, SelfTest
from edge_runtime.detectors.decoding import Decoding
from edge_runtime.detectors.edge import EdgeDetector, letterbox
from edge_runtime.errors import BackendError, ContractError
from edge_runtime.modelfile import ModelFile

HW = (120, 160)


class BrightestCell:
    """Backend with the tensors of a stride-8 detector."""

    name = "rule"
    description = "rule 1"
    tolerance_key = "rule"
    input = TensorInfo("pixels", (1, *HW, 1), np.dtype(np.int8), 1.0, -128)
    outputs = (
        TensorInfo("score", (1, 15, 20, 1), np.dtype(np.int8), 0.1, 0),
        TensorInfo("box", (1, 15, 20, 4), np.dtype(np.int8), 0.05, -128),
    )

    def invoke(self, tensor: npt.NDArray) -> tuple[npt.NDArray, ...]:
        pixels = tensor.reshape(HW).astype(np.float32) + 128
        cells = pixels.reshape(15, 8, 20, 8).mean(axis=(1, 3))
        score = np.full((1, 15, 20, 1), -60, np.int8)
        if cells.max() > 100:
            score[0].reshape(-1)[int(cells.argmax())] = 30
        return score, np.full((1, 15, 20, 4), -88, np.int8)

    def close(self) -> None:
        pass


def contract(**changes: object) -> ModelContract:
    decoding = Decoding(outputs=("score_8", "box_8"))
    base = ModelContract("rule", "detect", ("face",), InputSpec(*HW), decoding=decoding.to_json())
    return replace(base, **changes)  # type: ignore[arg-type]


def detector(made: ModelContract | None = None) -> EdgeDetector:
    return EdgeDetector(ModelFile(Path("rule.tflite"), made or contract(), b"", "0" * 64), BrightestCell())


def frame_with_light(hw: tuple[int, int], x: int, y: int, size: int) -> npt.NDArray[np.uint8]:
    frame = np.full(hw, 20, np.uint8)
    frame[y : y + size, x : x + size] = 255
    return frame


@pytest.mark.parametrize("hw", [(480, 640), (120, 160), (240, 320), (60, 80)])
def test_a_box_lies_where_the_light_is_whatever_the_frame_size(hw: tuple[int, int]) -> None:
    unit = hw[1] // 20
    (found,) = detector().detect(frame_with_light(hw, 5 * unit, 3 * unit, unit))
    center = (found.box.x + found.box.w / 2, found.box.y + found.box.h / 2)
    assert center == pytest.approx((5.5 * unit, 3.5 * unit), abs=unit / 16)
    assert found.box.w == pytest.approx(4 * unit, rel=0.01)
    assert found.score == pytest.approx(0.953, abs=0.001)


def test_a_wide_frame_keeps_its_aspect() -> None:
    (found,) = detector().detect(frame_with_light((360, 640), 320, 160, 32))
    assert found.box.w == pytest.approx(found.box.h)
    assert found.box.x + found.box.w / 2 == pytest.approx(336, abs=1)
    assert found.box.y + found.box.h / 2 == pytest.approx(176, abs=1)


def test_a_dark_frame_has_no_face_and_leaves_nothing_behind() -> None:
    edge = detector()
    assert len(edge.detect(frame_with_light((480, 640), 320, 440, 32))) == 1
    assert edge.detect(np.full((360, 640), 20, np.uint8)) == []
    assert edge.detect(np.full((480, 640), 20, np.uint8)) == []


def test_boxes_are_mapped_to_the_projects_convention() -> None:
    box_map = BoxMap(dy=0.25, scale_w=0.5, scale_h=0.5)
    decoding = Decoding(outputs=("score_8", "box_8"), box_map=box_map)
    frame = frame_with_light((480, 640), 320, 160, 32)
    (plain,) = detector().detect(frame)
    (mapped,) = detector(contract(decoding=decoding.to_json())).detect(frame)
    assert mapped.box.w == pytest.approx(plain.box.w / 2)
    assert mapped.box.y + mapped.box.h / 2 == pytest.approx(
        plain.box.y + plain.box.h / 2 + 0.25 * plain.box.h
    )


def test_the_self_test_tells_a_runtime_that_computes_something_else() -> None:
    picture = np.zeros((*HW, 1), np.uint8)
    values = [-60.0] * 300 + [-88.0] * 1200
    good = SelfTest((picture.tobytes(),), (tuple(values),), "host", {"default": 0})
    assert detector(contract(self_test=good)).self_test() == 0
    values[7] = -50
    wrong = replace(good, outputs=(tuple(values),))
    with pytest.raises(BackendError, match="computes something else"):
        detector(contract(self_test=wrong)).self_test()
    with pytest.raises(ContractError, match="records 1499"):
        detector(contract(self_test=replace(good, outputs=(tuple(values[1:]),)))).self_test()


def test_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ContractError, match="a softmax model"):
        detector(contract(task="softmax", decoding=None))
    with pytest.raises(ContractError, match="a detector takes luma"):
        detector(contract(input=InputSpec(240, 320)))
    with pytest.raises(ContractError, match="has shape"):
        detector(contract(decoding=Decoding(outputs=("score_16", "box_16")).to_json()))


def test_letterbox_averages_and_fills_what_is_left() -> None:
    out = np.full(HW, 77, np.uint8)
    frame = np.zeros((360, 640), np.uint8)
    frame[::2] = 200
    assert letterbox(frame, out, 9) == 0.25
    assert out[:90].min() == out[:90].max() == 100
    assert (out[90:] == 9).all()


def test_letterbox_of_an_upright_frame_fills_the_right() -> None:
    out = np.zeros(HW, np.uint8)
    frame = np.full((320, 180), 200, np.uint8)
    assert letterbox(frame, out, 3) == pytest.approx(0.375)
    assert (out[:, :67] == 200).all()
    assert (out[:, 68:] == 3).all()

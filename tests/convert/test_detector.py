"""Conversion of a small detector with random weights: order of outputs, contract, self-test and gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.host

from convert.__main__ import main  # noqa: E402
from convert.detector import draw_frames  # noqa: E402
from convert.detector_exam import (  # noqa: E402
    DetectionParity,
    DetectorExam,
    load_detector,
    reference_detections,
    synthetic_frame,
)
from convert.source import load_source  # noqa: E402
from convert.worker import LEAST_SCORE  # noqa: E402
from edge_runtime.contract import InputSpec, ModelContract  # noqa: E402
from edge_runtime.datasets.yolo import BoxedImages  # noqa: E402
from edge_runtime.detectors.decoding import Decoding  # noqa: E402
from edge_runtime.detectors.edge import EdgeDetector  # noqa: E402
from edge_runtime.errors import DataError  # noqa: E402
from edge_runtime.modelfile import embed_keras  # noqa: E402
from tests.convert.test_everything import FORMATS  # noqa: E402

HW = (24, 32)
OUTPUTS = ("score_8", "box_8", "score_16", "box_16")
CONTRACT = ModelContract(
    "tiny-face",
    "detect",
    ("face",),
    InputSpec(*HW),
    decoding=Decoding(OUTPUTS, score_threshold=0.4).to_json(),
)


def boxed(count: int = 16) -> BoxedImages:
    """Pictures with one bright square each, the last quarter for validation."""
    rng = np.random.default_rng(2)
    images, boxes = [], []
    for _ in range(count):
        image = rng.integers(0, 100, (48, 64), dtype=np.uint8)
        x, y = (int(value) for value in rng.integers(0, 28, 2))
        image[y : y + 20, x : x + 20] = 240
        images.append(image)
        boxes.append(np.array([[x, y, 20, 20]], np.float32))
    splits = np.array(["Training"] * (count * 3 // 4) + ["validation"] * (count // 4))
    names = tuple(f"p{index:02d}" for index in range(count))
    return BoxedImages(tuple(images), tuple(boxes), names, splits, "memory")


@pytest.fixture(scope="module")
def keras_file(tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the released architecture's form; its score follows brightness."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(4)
    inputs = keras.Input((*HW, 1), name="pixels")
    x = layers.Rescaling(1 / 255)(inputs)
    results = []
    for stride in (8, 16):
        x = layers.AveragePooling2D(8 if stride == 8 else 2, padding="same")(x)
        kernel = keras.initializers.Constant(12.0)
        bias = keras.initializers.Constant(-6.0)
        name = f"score_{stride}"
        results.append(layers.Conv2D(1, 1, kernel_initializer=kernel, bias_initializer=bias, name=name)(x))
        # Equal biases are one constant to the converter, which quantizes it for one of both in int16x8.
        start = keras.initializers.Constant(1.2 if stride == 8 else 1.3)
        distances = layers.Conv2D(4, 1, bias_initializer=start)(x)
        results.append(layers.ReLU(name=f"box_{stride}")(distances))
    path = tmp_path_factory.mktemp("detector") / "model.keras"
    keras.Model(inputs, results).save(path)
    embed_keras(path, CONTRACT)
    return path


@pytest.fixture(scope="module")
def converted(keras_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "tiny-face.tflite"
    data = write_set(out.parent)
    arguments = ["tflite", str(keras_file), "--data", str(data), "--out", str(out)]
    assert main([*arguments, "--calibration-images", "6", "--max-loss", "0.2"]) == 0
    return out


def write_set(root: Path) -> Path:
    import cv2

    data = boxed()
    for image, boxes, name, split in zip(data.images, data.boxes, data.names, data.splits, strict=True):
        for kind in ("images", "labels"):
            (root / kind / str(split)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / str(split) / f"{name}.png"), image)
        x, y, w, h = boxes[0] / (64, 48, 64, 48)
        (root / "labels" / str(split) / f"{name}.txt").write_text(f"0 {x + w / 2} {y + h / 2} {w} {h}")
    return root


def test_the_file_names_its_outputs_in_the_graphs_order(converted: Path) -> None:
    detector = EdgeDetector.load(converted, backend="litert")
    assert sorted(detector.decoding.outputs) == sorted(OUTPUTS)
    for name, tensor in zip(detector.decoding.outputs, detector.backend.outputs, strict=True):
        assert tensor.shape[-1] == (1 if name.startswith("score") else 4)
    assert detector.backend.input.dtype == np.int8
    assert detector.self_test() == 0
    detector.close()


def test_int8_gives_the_boxes_of_the_keras_model(converted: Path, keras_file: Path) -> None:
    data = boxed()
    reference = reference_detections(load_source(keras_file), data)
    # Both merge the same answers only from the same score on.
    detector = EdgeDetector.load(converted, backend="litert", score_threshold=LEAST_SCORE)
    compared = 0
    for image, (boxes, scores) in zip(data.images, reference, strict=True):
        found, _ = detector.detect_boxes(image)
        if len(boxes) and scores[0] > 0.7 and len(found):
            np.testing.assert_allclose(found[0], boxes[0], atol=2)
            compared += 1
    assert compared > 3
    detector.close()


def test_the_contract_records_calibration_and_parity(converted: Path) -> None:
    contract = EdgeDetector.load(converted, backend="litert").contract
    assert contract.quantization["calibration"]["split"] == "Training"
    assert contract.quantization["calibration"]["images"] == 6
    assert contract.validation["conversion"]["images"] == 4
    assert contract.self_test is not None
    assert len(contract.self_test.inputs) == 1


def test_the_command_line_converts_a_detector(
    keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_set(tmp_path / "set")
    out = tmp_path / "face.tflite"
    arguments = ["tflite", str(keras_file), "--data", str(data), "--out", str(out)]
    assert main([*arguments, "--calibration-images", "60"]) == 1
    assert "12 Training pictures show faces, 60 were asked for" in capsys.readouterr().err
    assert not out.exists()


def test_calibration_frames_never_come_from_validation() -> None:
    data = boxed()
    twin = replace(data, images=(*data.images[:-1], data.images[0]))
    drawn = draw_frames(twin, CONTRACT, 11, seed=0)
    assert drawn.pixels.shape == (13, *HW, 1)
    assert (drawn.pixels[11] == 0).all()
    assert (drawn.pixels[12] == 255).all()
    with pytest.raises(DataError, match="11 Training pictures"):
        draw_frames(twin, CONTRACT, 12, seed=0)


def test_the_gate_closes_when_faces_are_lost() -> None:
    exam = DetectorExam("validation", boxed(), [], max_loss=0.01)
    parity = DetectionParity("m", "b", "validation", 10, "0", 0.90, 0.885, 0.95)
    said = exam.judge(Path("m.tflite"), parity, exact=False)
    assert said is not None
    assert "fell by 1.50%" in said
    near = replace(parity, average_precision=0.91)
    assert exam.judge(Path("m.tflite"), near, exact=False) is None
    exact = exam.judge(Path("m.tflite"), near, exact=True)
    assert exact is not None
    assert "nothing was quantized" in exact
    assert exam.judge(Path("m.tflite"), replace(near, agreement=0.9995), exact=True) is None


@pytest.mark.parametrize(
    "options", [["--min-agreement", "0.9"], ["--calibration-data", "x"], ["--ranges", "x"]]
)
def test_options_of_classifiers_are_refused(
    keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    arguments = ["tflite", str(keras_file), "--data", str(tmp_path), "--out", str(tmp_path / "a.tflite")]
    assert main([*arguments, *options]) == 2
    assert f"takes no {options[0]}" in capsys.readouterr().err


def test_every_format_of_a_detector(
    keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tf2onnx")
    data, out = write_set(tmp_path / "set"), tmp_path / "out"
    out.mkdir()
    document = tmp_path / "doc.md"
    document.write_text("<!-- generated: detectors -->\n<!-- end -->\n")
    arguments = [
        "all",
        str(keras_file),
        "--data",
        str(data),
        "--out",
        str(out),
        "--document",
        str(document),
    ]
    assert main([*arguments, "--calibration-images", "6", "--max-loss", "0.2", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["format"] for row in rows] == FORMATS
    for row in rows:
        detector = load_detector(out / row["file"])
        detector.self_test()
        detector.close()
        assert row["agreement"] > (0.999 if row["format"].endswith("float32") else 0.9)
    assert "average precision %" in (out / "report-tiny-face.html").read_text()
    assert all(f"| tiny-face | {name} |" in document.read_text() for name in FORMATS)


def test_the_synthetic_frame_has_the_inputs_size() -> None:
    frame = synthetic_frame(InputSpec(119, 160))
    assert frame.shape == (119, 160, 1)
    assert frame.std() > 40


def test_verify_compares_a_detector_with_its_keras_model(
    converted: Path, keras_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_set(tmp_path / "set")
    assert main(["verify", str(keras_file), str(converted), "--data", str(data), "--format", "json"]) == 0
    (parity,) = json.loads(capsys.readouterr().out)
    assert parity["images"] == 4
    assert parity["agreement"] > 0.5
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(converted.read_bytes()[:-100])
    assert main(["verify", str(keras_file), str(cut), "--data", str(data)]) == 1
    assert "truncated" in capsys.readouterr().err


def test_the_worker_finds_what_the_detector_finds(
    converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What runs in the Python of another environment, here in this one."""
    from convert.worker import main as worker

    images = boxed().images[:3]
    np.savez(tmp_path / "given.npz", *images)
    out = tmp_path / "out.npz"
    assert worker([str(converted), str(tmp_path / "given.npz"), str(out), "litert"]) == 0
    assert json.loads(capsys.readouterr().out)["self_test"] == 0
    detector = EdgeDetector.load(converted, backend="litert", score_threshold=LEAST_SCORE)
    with np.load(out) as found:
        for index, image in enumerate(images):
            boxes, scores = detector.detect_boxes(image)
            assert np.array_equal(found[f"boxes_{index}"], boxes)
            assert np.array_equal(found[f"scores_{index}"], scores)
    detector.close()

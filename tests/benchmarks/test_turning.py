"""What turned pictures cost, and that tilted faces are turned upright, not further."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.turning import measure, roll, turn
from edge_runtime.contract import InputSpec


def eyes_at(left: tuple[float, float], right: tuple[float, float]) -> np.ndarray:
    """68 landmarks of which the eyes lie around two points (x, y)."""
    landmarks = np.zeros((68, 2))
    spread = np.array([[-2, 0], [-1, -1], [1, -1], [2, 0], [1, 1], [-1, 1]])
    landmarks[36:42], landmarks[42:48] = np.add(left, spread), np.add(right, spread)
    return landmarks


@pytest.mark.parametrize(("right_y", "expected"), [(30, 0), (50, 45), (10, -45)])
def test_turning_by_the_roll_brings_the_eyes_to_one_height(right_y: int, expected: float) -> None:
    angle = roll(eyes_at((20, 30), (40, right_y)))
    assert angle == pytest.approx(expected)
    picture = np.zeros((61, 61), np.uint8)
    cv2.circle(picture, (20, 30), 3, 255, -1)
    cv2.circle(picture, (40, right_y), 3, 255, -1)
    upright = turn(picture, angle, (30, (30 + right_y) / 2))
    rows, columns = np.nonzero(upright > 128)
    left, right = rows[columns < 30], rows[columns > 30]
    assert abs(left.mean() - right.mean()) < 1


def test_loss_is_that_of_both_sides() -> None:
    def predict(picture: np.ndarray) -> np.ndarray:
        """One class for what is bright above, one for below."""
        return np.array([picture[:8].mean(), picture[8:].mean()])

    contract = SimpleNamespace(name="halves", input=InputSpec(16, 16))
    images = np.zeros((40, 16, 16), np.uint8)
    images[::2, :8], images[1::2, 8:] = 200, 200
    classifier = SimpleNamespace(contract=contract, predict=predict)
    rows = measure(classifier, images, np.arange(40) % 2, [10, 180])  # type: ignore[arg-type]
    assert [row.top1 for row in rows] == [1, 1, 0]
    assert [row.loss for row in rows] == [0, 0, 1]
    assert rows[2].loss_interval == (1, 1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    from edge_runtime.sources import SourceOptions
    from edge_runtime.sources.demo import open_demo

    demo = open_demo("1", SourceOptions())
    path = tmp_path_factory.mktemp("archive") / "faces.zip"
    lines = []
    with zipfile.ZipFile(path, "w") as zipped:
        for index in (0, 60):
            _, content = cv2.imencode(".png", demo.render(index))
            zipped.writestr(f"images/train/{index}.png", content.tobytes())
            points = eyes_at((20, 20), (40, 20 + index / 60))
            lines.append(f"train/{index}.jpg," + ",".join(str(value) for value in points.ravel()))
        zipped.writestr("landmarks68.csv", "\n".join(lines))
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "faces.npz"
    pixels = rng.integers(0, 256, (6, 48, 48), dtype=np.uint8)
    np.savez(path, pixels=pixels, emotion=np.arange(6), usage=np.full(6, "PublicTest"))
    return path


def test_command(faces: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["turning", "--data", str(faces), "--model", "edge-fer-nano", "--degrees", "10,20"]
    assert main([*words, "--landmarks", str(archive), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["degrees"] for row in document["turned"]] == [0, 10, 20]
    assert document["tilt"]["faces"] == document["tilt"]["found"] == 2
    assert document["tilt"]["quantiles"]["50%"] == pytest.approx(1.4)
    assert main([*words, "--landmarks", str(archive)]) == 0
    assert "turned upright" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--degrees", "none"], 2, "angles with commas between"),
        (["--degrees", "0"], 2, "above 0"),
        (["--landmarks", "missing.zip"], 1, "no such file"),
        (["--landmarks", "DATA"], 1, "no landmarks68.csv"),
        (["--landmarks", "SHORT"], 1, "cannot be read"),
    ],
)
def test_wrong_input_is_said(
    faces: Path, capsys: pytest.CaptureFixture[str], change: list[str], code: int, message: str
) -> None:
    short = faces.with_name("short.zip")
    with zipfile.ZipFile(short, "w") as zipped:
        zipped.writestr("landmarks68.csv", "train/0.jpg,1.0,2.0\n")
    files = {"DATA": str(faces), "SHORT": str(short)}
    words = [files.get(word, word) for word in change]
    assert main(["turning", "--data", str(faces), "--model", "edge-fer-nano", *words]) == code
    assert message in capsys.readouterr().err

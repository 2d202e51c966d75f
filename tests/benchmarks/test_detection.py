from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import detection
from benchmarks.__main__ import main
from benchmarks.blazeface import ANCHORS
from benchmarks.candidates import Candidate, make_candidate
from benchmarks.detection_figures import Judged
from benchmarks.detection_video import count_alarms, count_faces, count_reports, pan, read_annotations
from edge_runtime.classifier import resolve_model
from edge_runtime.datasets.conventions import BOX_FROM_FULL_FACE
from edge_runtime.detectors import Detection
from edge_runtime.errors import DataError, DetectorUnavailableError, UsageError
from edge_runtime.preprocess import Box

FACE = np.array([[100, 100, 40, 50]], np.float64)


def judged(
    answers: list, truths: list, alarms: list[list[float]], must_find: list[bool] | None = None
) -> Judged:
    return Judged(
        [
            (np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64))
            for boxes, scores in answers
        ],
        [np.array(truth, np.float64).reshape(-1, 4) for truth in truths],
        [240.0] * len(truths),
        np.array(must_find or [True] * len(truths)),
        [np.array(scores, np.float64) for scores in alarms],
    )


def test_the_rate_of_alarms_sets_the_threshold() -> None:
    alarms = [[0.9], [0.5, 0.3], *[[]] * 98]
    result = judged([(FACE, [0.8])], [FACE], alarms)
    figures = result.figures(threshold=0.2, alarms_per_picture=0.01)
    assert figures["at_alarm_rate"]["false_alarms"] == 1
    assert figures["at_alarm_rate"]["recall"] == 1
    assert figures["as_delivered"]["false_alarms"] == 3
    none_allowed = result.figures(threshold=0.2, alarms_per_picture=0.0)
    assert none_allowed["at_alarm_rate"]["recall"] == 0
    assert none_allowed["at_alarm_rate"]["false_alarms"] == 0


def test_recall_counts_tall_faces_of_the_chosen_pictures() -> None:
    small = np.array([[10, 10, 15, 20]], np.float64)
    result = judged(
        [(FACE, [0.9]), ([], []), (np.add(FACE, [60, 0, 0, 0]), [0.9])],
        [FACE, np.vstack([FACE, small]), FACE],
        [],
        [True, True, False],
    )
    recall = result.recall(0.5)
    assert recall["tall_faces"] == 2
    assert recall["recall"] == 0.5


def test_average_precision_of_a_group_ignores_the_other_groups() -> None:
    near, far = [10, 10, 100, 120], [150, 20, 14, 16]
    result = judged([([near, far], [0.9, 0.8])], [[near, far]], [])
    groups = result.figures(0.5, 0.01)["average_precision_by_height"]
    assert groups["0-0.1"] == {"faces": 1, "average_precision": 1.0}
    assert groups["0.4-1"] == {"faces": 1, "average_precision": 1.0}
    assert groups["0.1-0.2"] == {"faces": 0, "average_precision": None}
    lost = judged([([near], [0.9])], [[near, far]], [])
    assert lost.figures(0.5, 0.01)["average_precision_by_height"]["0-0.1"]["average_precision"] == 0


@pytest.mark.parametrize("name", ["haar:1.1/5", "haar:1/5/48", "haar:a/b/c", "none", "mtcnn"])
def test_unknown_detectors_and_settings_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        make_candidate(name)


def test_a_picture_fills_the_frame_and_boxes_come_back_in_its_pixels() -> None:
    image = np.full((120, 200), 90, np.uint8)
    frame, factor = detection.to_frame(image, (480, 640))
    assert frame.shape == (480, 640)
    assert factor == pytest.approx(3.2)
    assert frame[383, 639] == 90
    assert frame[385, 0] == 0


def write_set(root: Path) -> Path:
    """Three pictures with a bright square as face, two empty ones."""
    for kind in ("images", "labels"):
        (root / kind / "val").mkdir(parents=True)
    for index in range(5):
        image = np.full((90, 120), 30, np.uint8)
        name = f"{'desk' if index < 3 else 'room'}_{index}"
        if index < 3:
            image[20:60, 40:80] = 200
            (root / "labels/val" / f"{name}.txt").write_text("0 0.5 0.4444 0.3333 0.4444")
        cv2.imwrite(str(root / "images/val" / f"{name}.png"), image)
    return root


def test_the_verb_measures_haar_and_writes_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    data = write_set(tmp_path / "set")
    out = tmp_path / "out"
    arguments = ["detection", "--data", str(data), "--detectors", "haar", "--timed-frames", "1"]
    assert main([*arguments, "--format", "json", "--out", str(out)]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert json.loads((out / "detection.json").read_text()) == [result]
    assert result["detector"] == "haar"
    assert result["pictures"] == 3
    assert result["at_alarm_rate"]["tall_faces"] == 3
    assert result["at_alarm_rate"]["empty_pictures"] == 2
    assert result["cpu_ms_per_frame"] > 0
    assert (out / "precision-recall.png").read_bytes()[:4] == b"\x89PNG"


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detection", "--data", str(tmp_path / "no.zip"), "--detectors", "haar"]) == 1
    assert main(["detection", "--data", str(tmp_path), "--detectors", "frontal"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert all("Traceback" not in line for line in lines)


def test_videos_count_faces_and_judge_drawn_boxes(tmp_path: Path) -> None:
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))  # type: ignore[attr-defined]
    for level in (20, 200, 200, 20):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()

    class Bright:
        """One box in a bright frame, none in a dark one."""

        def detect(self, luma: np.ndarray) -> list[Detection]:
            if luma.mean() < 100:
                return []
            box = BOX_FROM_FULL_FACE.apply(np.array([10.0, 10, 20, 24]))
            return [Detection(Box(*box.tolist()), 0.9)]

    device = Bright()
    candidate = Candidate("bright", device, lambda luma: (FACE, np.ones(1)), 0.5, "")
    drawn = {1: [[10, 10, 20, 24]], 2: [[40, 10, 20, 24]], 3: [[10, 10, 20, 24]]}
    result = count_faces(candidate, video, drawn)
    assert (result["frames"], result["one_face"], result["no_face"]) == (4, 0.5, 0.5)
    assert result["drawn"] == {
        "frames": 3,
        "faces": 3,
        "faces_found": 1,
        "frames_with_all_faces": 1,
        "answers_elsewhere": 1,
    }
    assert count_faces(candidate, video, {})["drawn"] is None
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match="not a readable video"):
        count_faces(candidate, tmp_path / "text.mp4", {})


def test_the_drawn_boxes_of_the_repository_are_inside_their_videos() -> None:
    drawn = read_annotations(Path(__file__).parents[1] / "data" / "video_faces.json")
    sizes = {"webcam.mp4": (400, 300), "desk_male.gif": (480, 270), "stage.mp4": (640, 360)}
    assert set(drawn) == set(sizes)
    assert sum(map(len, drawn.values())) >= 60
    for video, frames in drawn.items():
        for x, y, w, h in (box for boxes in frames.values() for box in boxes):
            assert x >= 0
            assert y >= 0
            assert x + w <= sizes[video][0]
            assert y + h <= sizes[video][1]


def test_bad_annotations_are_one_line(tmp_path: Path) -> None:
    wrong = (
        "[]",
        "{",
        '{"a.mp4": {"first": []}}',
        '{"a.mp4": {"1": [[1, 2, 3]]}}',
        '{"a.mp4": {"1": [4]}}',
    )
    for content in wrong:
        (tmp_path / "boxes.json").write_text(content)
        with pytest.raises(DataError, match="expected"):
            read_annotations(tmp_path / "boxes.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.json")


def test_a_detectors_box_meets_the_data_in_the_datas_convention(tmp_path: Path) -> None:
    data = detection.yolo.read(write_set(tmp_path / "set"))
    faces = data.select(data.named(("desk_",)))

    class Exact:
        def __call__(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            factor = frame.shape[0] / 90
            full = faces.boxes[0].astype(np.float64) * factor
            return BOX_FROM_FULL_FACE.apply(full), np.array([0.9])

    candidate = make_candidate("haar")
    exact = type(candidate)("exact", candidate.device, Exact(), 0.5, "")
    result = detection.judge(
        exact, faces, data.select(np.zeros(len(data), bool)), np.ones(3, bool), (360, 480)
    )
    np.testing.assert_allclose(result.answers[0][0], faces.boxes[0], atol=1e-3)
    assert result.recall(0.5)["recall"] == 1


def test_a_pan_moves_over_the_picture_and_comes_back() -> None:
    picture = np.tile(np.arange(200, dtype=np.uint8), (150, 1))
    frames = list(pan(picture, 8, (120, 160)))
    assert all(frame.shape == (120, 160) and frame.dtype == np.uint8 for frame in frames)
    means = [float(frame.mean()) for frame in frames]
    assert means[0] == min(means)
    assert means[4] == max(means)
    assert means[4] - means[0] > 20
    assert abs(means[1] - means[7]) < 2


def test_alarms_in_a_pan_are_counted_by_frame_and_picture() -> None:
    class Bright:
        def detect(self, luma: np.ndarray) -> list[Detection]:
            return [Detection(Box(0, 0, 9, 9), 0.9)] * int(luma.mean() > 100)

    device = Bright()
    candidate = Candidate("bright", device, lambda luma: (np.empty((0, 4)), np.empty(0)), 0.5, "")
    pictures = [np.full((60, 80), value, np.uint8) for value in (0, 200, 255)]
    assert count_alarms(candidate, pictures, 5, (48, 64)) == {
        "pictures": 3,
        "frames": 15,
        "frames_with_alarm": 10,
        "pictures_with_alarm": 2,
    }


def test_what_a_run_would_report_of_a_pan_is_counted() -> None:
    class Bright:
        def detect(self, luma: np.ndarray) -> list[Detection]:
            return [Detection(Box(0, 0, 9, 9), float(luma.max()) / 255)] * int(luma.max() > 100)

    candidate = Candidate("bright", Bright(), lambda luma: (np.empty((0, 4)), np.empty(0)), 0.5, "")
    # Unsure for the five frames of one picture, too short to be reported, later for those of two.
    pictures = [np.full((60, 80), value, np.uint8) for value in (0, 150, 0, 0, 0, 150, 150, 0, 0, 0, 255)]
    assert count_reports(candidate, pictures, 5, (48, 64)) == {
        "frames": 55,
        "frames_with_report": 10,
        "faces_reported": 2,
    }


def test_a_file_that_is_no_blazeface_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorUnavailableError, match="cannot be read"):
        make_candidate(f"blazeface:{tmp_path / 'none.tflite'}")
    with pytest.raises(DetectorUnavailableError, match="are not BlazeFace's"):
        make_candidate(f"blazeface:{resolve_model('edge-face')}")


def test_blazeface_anchors_lie_at_the_centres_of_cells() -> None:
    for count, anchors in ANCHORS.items():
        centers = anchors.centers()
        assert centers.shape == (count, 2)
        assert centers.min() == anchors.strides[0][0] / 2
    assert ANCHORS[896].centers()[:3].tolist() == [[4, 4], [4, 4], [12, 4]]

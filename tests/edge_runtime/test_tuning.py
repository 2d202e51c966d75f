"""Tuning: delays and rates are counted right, the rule chooses, and the file is one that `run` takes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.clip import Clip, ClipSource, record_clip
from edge_runtime.commands.tune import _file
from edge_runtime.config import Config, ModelConfig, load_config
from edge_runtime.errors import SourceError
from edge_runtime.pipeline import PipelineSettings
from edge_runtime.sources import SourceOptions, open_source
from edge_runtime.tuning import Candidate, Measured, Tuner, choose, delays, share_found, sustained_rate_hz


def quiet(step: str, done: float) -> None:
    """No progress."""


def measured(
    detector: str = "edge",
    *,
    cpu_ms: float = 5.0,
    found: float = 1.0,
    rate_hz: float = 25.0,
    appears_s: float = 0.1,
    leaves_s: float = 0.1,
    threads: int = 1,
    size_wh: tuple[int, int] = (640, 480),
) -> Measured:
    candidate = Candidate(detector, 0.2, size_wh, threads)
    return Measured(candidate, 10, cpu_ms, 6.0, (True,), found, 90.0, rate_hz, appears_s, leaves_s)


def test_delays() -> None:
    marks = [bool(int(digit)) for digit in "0001111000011110000"]
    exact = list(marks)
    assert delays(marks, exact) == (0, 0)
    seen = [bool(int(digit)) for digit in "0000111110001111000"]
    assert delays(marks, seen) == (1, 2)
    assert delays(marks, [False] * len(marks)) == (float("inf"), 0)


@pytest.mark.parametrize(
    ("cpu_ms", "p95_ms", "threads", "rate_hz"),
    [
        (5, 6, 1, 25),
        (33, 35, 1, 20),
        (33, 35, 2, 25),
        (10, 70, 1, 10),
        (500, 600, 1, 5),
    ],
)
def test_rate_leaves_the_processor_some_rest(
    cpu_ms: float, p95_ms: float, threads: int, rate_hz: float
) -> None:
    assert sustained_rate_hz(cpu_ms, p95_ms, threads, 25.0) == rate_hz


def test_rate_of_a_slow_source_is_not_raised() -> None:
    assert sustained_rate_hz(1, 1, 1, 12.5) == 12.5
    assert sustained_rate_hz(1000, 1000, 1, 2.0) == 2.0


def test_rule() -> None:
    cheap, late = measured(cpu_ms=3), measured(cpu_ms=1, appears_s=0.4)
    blind, stale = measured(cpu_ms=1, found=0.9), measured(cpu_ms=1, leaves_s=0.6)
    slow, threaded = measured(cpu_ms=1, rate_hz=10), measured(cpu_ms=2, threads=2)
    assert choose([late, measured(), blind, stale, slow, threaded, cheap]) is cheap
    assert choose([slow, threaded]) is threaded
    assert choose([late, blind, stale]) is None


def test_frames_in_which_the_reference_finds_nobody_do_not_count() -> None:
    reference = [True, True, False, False]
    assert share_found([True, False, True, True], reference) == 0.5
    assert share_found([False, False, True, True], reference) == 0
    assert share_found([True], reference) == 1
    assert share_found([True, True], []) == 0


@pytest.mark.parametrize(
    ("settings", "full_wh", "chosen_wh", "written"),
    [
        ({"rotate": 90}, (480, 640), (480, 640), (640, 480)),
        ({"rotate": 90}, (480, 640), (240, 320), (320, 240)),
        ({}, (640, 480), (320, 240), (320, 240)),
        ({"region": (160, 120, 320, 240)}, (320, 240), (320, 240), (640, 480)),
    ],
)
def test_the_camera_is_asked_for_frames_as_it_stands(
    settings: dict[str, Any],
    full_wh: tuple[int, int],
    chosen_wh: tuple[int, int],
    written: tuple[int, int],
    tmp_path: Path,
) -> None:
    config = Config().override("source", name="picamera2", **settings)
    checked = {"rate_hz": 25.0, "p95_age_ms": 12.0, "frames": 100.0, "dropped": 0.0}
    path = tmp_path / "edge-fer.toml"
    path.write_text(_file(config, measured(size_wh=chosen_wh), checked, full_wh))
    source = load_config(path).source
    assert (source.width, source.height) == written


def test_clip_in_real_time_drops_what_comes_too_late() -> None:
    clip = Clip(tuple(np.full((4, 4), level, np.uint8) for level in range(5)), (), 100.0, 0.0)
    seen = []
    for frame in ClipSource(clip, 100.0, 12, realtime=True).frames():
        seen.append((frame.index, int(frame.luma[0, 0]), frame.dropped))
        time.sleep(0.035)
    assert all(level == index % 5 for index, level, _ in seen)
    assert seen[-1][2] == seen[-1][0] + 1 - len(seen) > 0


def test_source_that_is_no_film(picture: Path) -> None:
    with pytest.raises(SourceError, match="pictures are no film"):
        record_clip(open_source(str(picture)), 5, 25, quiet)


@pytest.mark.parametrize(("rate_hz", "frames"), [(25.0, 3), (0.1, 1)])
def test_film_that_is_too_short(rate_hz: float, frames: int) -> None:
    clip = Clip((np.zeros((4, 4), np.uint8),) * 3, (), 25.0, 0.0)
    with pytest.raises(SourceError, match=f"{frames} frames of one film are too few"):
        record_clip(ClipSource(clip, 25.0), 5, rate_hz, quiet)


def test_nobody_there(tiny_model: Path) -> None:
    clip = Clip((np.full((48, 64), 90, np.uint8),) * 20, (), 25.0, 0.0)
    tuner = Tuner(clip, ModelConfig(name=str(tiny_model)), PipelineSettings(), 5, quiet)
    with pytest.raises(SourceError, match="no face in 20 frames"):
        tuner.find_reference(["haar"])


def test_one_candidate_on_the_demo(tiny_model: Path) -> None:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    clip = record_clip(open_source("demo:30", SourceOptions()), 5, 25, quiet)
    assert clip.rate_hz == pytest.approx(25)
    tuner = Tuner(clip, ModelConfig(name=str(tiny_model)), PipelineSettings(), 60, quiet)
    tuner.find_reference(["haar"])
    (reference,) = tuner.measured
    assert reference.found == 1
    every = tuner.measure(Candidate("haar", 0.2, (320, 240), 1))
    assert every.frames == 30
    assert every.found > 0.9
    assert every.cpu_ms > 0
    # It may come right after a frame, and up to the interval after a search; a fast machine adds little.
    assert every.appears_s >= max(0.2, 1 / every.rate_hz)
    assert 1 / every.rate_hz < every.leaves_s < float("inf")


def tune(tiny_model: Path, *more: str) -> list[str]:
    return ["tune", "--source", "demo", "--model", str(tiny_model), "--detector", "haar", *more]


def test_file_is_one_that_run_takes(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    out = tmp_path / "edge-fer.toml"
    options = ["--detect-interval", "0.1", "--threads", "1", "--sink", "jsonl", "--seconds", "10"]
    assert main(tune(tiny_model, *options, "--out", str(out), "--format", "json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert {run["detector"] for run in document["measured"]} == {"haar"}
    assert [run["chosen"] for run in document["measured"]].count(True) == 1
    assert document["real_time"]["frames"] > 0
    config = load_config(out)
    assert config.detector.name == "haar"
    assert config.detector.interval_s == 0.1
    assert config.output.sinks == ("jsonl",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edge-fer.toml"]


def test_nothing_is_overwritten(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "edge-fer.toml"
    out.write_text("mine")
    assert main(tune(tiny_model, "--out", str(out))) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(tune(tiny_model, "--out", str(tmp_path / "none" / "edge-fer.toml"))) == 1
    assert "no such folder" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    command = [sys.executable, "-m", "edge_runtime", *tune(tiny_model, "--out", str(tmp_path / "t.toml"))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("edge-fer: haar"):
                process.send_signal(signal.SIGINT)
                break
        last = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert last[-1] == "edge-fer: interrupted"
    assert "Traceback" not in "".join(last)
    assert list(tmp_path.iterdir()) == []

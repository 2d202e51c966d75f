"""Sources by name: pictures, folders, videos and the demo."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources import SourceOptions, open_source

FRAMES = 12


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames at 50 frames/s, each brighter than the one before."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for index in range(FRAMES):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def test_video_delivers_every_frame_with_its_time_in_the_film(film: Path) -> None:
    source = open_source(str(film))
    seen = [(f.index, f.scene_ns, int(f.luma.mean()), f.dropped) for f in source.frames()]
    source.close()
    assert [index for index, *_ in seen] == list(range(FRAMES))
    assert [time_ns for _, time_ns, *_ in seen] == [index * 20_000_000 for index in range(FRAMES)]
    assert all(abs(level - 20 * index) <= 2 for index, _, level, _ in seen)
    assert all(dropped == 0 for *_, dropped in seen)
    assert "64x48 50.0 frames/s" in source.description


def test_colour_comes_only_when_asked_for(film: Path) -> None:
    plain = open_source(str(film))
    colored = open_source(str(film), SourceOptions(color=True))
    assert next(plain.frames()).bgr is None
    frame = next(colored.frames())
    assert frame.bgr is not None
    assert frame.bgr.shape == (48, 64, 3)
    plain.close()
    colored.close()


def test_closing_ends_the_frames(film: Path) -> None:
    source = open_source(str(film))
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []
    source.close()


def test_realtime_video_drops_what_a_slow_worker_misses(film: Path) -> None:
    source = open_source(str(film), SourceOptions(realtime=True))
    seen = []
    for frame in source.frames():
        seen.append((frame.index, frame.dropped, int(frame.luma.mean())))
        time.sleep(0.07)
    source.close()
    indices = [index for index, *_ in seen]
    last_index, last_dropped, _ = seen[-1]
    assert last_index == FRAMES - 1
    assert indices == sorted(set(indices))
    assert len(seen) < FRAMES
    assert last_dropped == FRAMES - len(seen)
    assert all(abs(level - 20 * index) <= 2 for index, _, level in seen)


def test_folder_reads_pictures_by_name_and_skips_damaged_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, level in (("b.png", 100), ("a.png", 50), ("d.PNG", 200)):
        cv2.imwrite(str(tmp_path / name), np.full((10, 20), level, np.uint8))
    (tmp_path / "c.jpg").write_text("no picture")
    (tmp_path / "notes.txt").write_text("ignored")
    frames = list(open_source(str(tmp_path)).frames())
    assert [(Path(f.name).name, int(f.luma[0, 0])) for f in frames] == [
        ("a.png", 50),
        ("b.png", 100),
        ("d.PNG", 200),
    ]
    assert "c.jpg: not a" in caplog.text


def test_folder_without_readable_pictures(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no picture in this folder"):
        open_source(str(tmp_path))
    (tmp_path / "x.jpg").write_text("no picture")
    with pytest.raises(SourceError, match="none of the folder's pictures"):
        list(open_source(str(tmp_path)).frames())


def test_image_is_one_frame_with_its_path(picture: Path) -> None:
    (frame,) = open_source(str(picture)).frames()
    assert frame.name == str(picture)
    assert frame.luma.shape == (48, 64)


@pytest.mark.parametrize("source", ["{folder}/{name}", "{folder}", "folder:{folder},watch=0.02"])
def test_name_that_is_no_utf8_becomes_printable(picture: Path, source: str) -> None:
    name = os.fsdecode(b"b\xfcro.png")
    picture.rename(picture.with_name(name))
    opened = open_source(source.format(folder=picture.parent, name=name))
    frame = next(opened.frames())
    opened.close()
    assert frame.name.encode() == rf"{picture.parent}/b\udcfcro.png".encode()


def test_video_whose_name_is_no_utf8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"b\xfcro.mp4")
    path.write_bytes(b"anything")
    with pytest.raises(SourceError, match="the name is not UTF-8; rename the video"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["text.mp4", "text.jpg", "empty.mp4", "empty.png", "none.mp4"])
def test_what_cannot_be_opened_is_one_line(tmp_path: Path, name: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("not a film\n" * 100)
    elif name.startswith("empty"):
        (tmp_path / name).touch()
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_video_is_refused(tmp_path: Path, film: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(film.read_bytes()[:200])
    with pytest.raises(SourceError, match="not a video"):
        open_source(str(cut))


@pytest.mark.parametrize("name", ["", "demo:many", "demo:-3", "demo:²", "picamera2:²"])
def test_malformed_names_are_usage(name: str) -> None:
    with pytest.raises(UsageError):
        open_source(name)


@pytest.mark.data
def test_gif_plays_as_a_film(media: Path) -> None:
    source = open_source(str(media / "desk_male.gif"))
    frames = sum(1 for _ in source.frames())
    source.close()
    assert frames == 62
    assert "12.5 frames/s" in source.description


def test_demo_is_the_same_for_the_same_seed(portrait: UInt8Array) -> None:
    def means(seed: int) -> list[float]:
        source = open_source("demo:4", SourceOptions(seed=seed))
        return [float(frame.luma.mean()) for frame in source.frames()]

    assert len(means(1)) == 4
    assert means(1) == means(1)
    assert means(1) != means(2)
    assert portrait.shape == (480, 640, 3)


def test_demo_without_a_portrait_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.sources.demo.find_spec", lambda name: None)
    with pytest.raises(SourceError, match=r"pip install 'edge-fer\[demo\]'"):
        open_source("demo")

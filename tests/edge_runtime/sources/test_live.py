"""Network streams and USB cameras: a real HTTP stream, failures, reopening, transforms."""

from __future__ import annotations

import http.server
import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError, SourceStalledError, UsageError
from edge_runtime.sources import Frame, FrameSource, SourceOptions, Transform, is_live, open_source
from edge_runtime.sources.live import without_password
from edge_runtime.sources.reopening import Reopening
from edge_runtime.sources.transform import apply

QUICK = SourceOptions(stall_timeout_s=2.0, reopen_tries=0)


class MjpegHandler(http.server.BaseHTTPRequestHandler):
    """Sends pictures as a network camera does, each brighter than the one before."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for level in range(0, 250, 2):
                data = cv2.imencode(".jpg", np.full((48, 64, 3), level, np.uint8))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(0.01)
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mjpeg_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), MjpegHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}/camera.mjpg?token=x"
        server.shutdown()


def watch_slowly(source: FrameSource, seen: list[tuple[int, int]]) -> None:
    for frame in source.frames():
        seen.append((frame.index, int(frame.luma.mean())))
        time.sleep(0.05)


def test_http_stream_delivers_newest_frames(mjpeg_url: str) -> None:
    source = open_source(mjpeg_url, QUICK)
    assert "secret" not in source.description
    assert "token" not in source.description
    seen: list[tuple[int, int]] = []
    with pytest.raises(SourceError, match="ended or was unplugged") as caught:
        watch_slowly(source, seen)
    source.close()
    assert "secret" not in str(caught.value)
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1][0] > len(seen)


def test_ffmpeg_stream(tmp_path: Path) -> None:
    """A transport stream over HTTP, served by ffmpeg itself."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("no ffmpeg on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/live.ts"
    command = [ffmpeg, "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25"]
    command += ["-t", "6", "-c:v", "mpeg2video", "-f", "mpegts", "-listen", "1", url]
    with subprocess.Popen(command) as server:
        source = None
        for _ in range(50):
            try:
                source = open_source(url, QUICK)
                break
            except SourceError:
                time.sleep(0.1)
        assert source is not None
        frames = source.frames()
        shapes = {next(frames).luma.shape for _ in range(10)}
        source.close()
        server.terminate()
    assert shapes == {(240, 320)}


def test_nobody_at_the_address_is_one_line() -> None:
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        open_source("http://127.0.0.1:9/none.mjpg", QUICK)
    assert "\n" not in str(caught.value)


def test_missing_usb_camera_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"no camera /dev/video97 .*edge-fer sources"):
        open_source("v4l2:97")
    with pytest.raises(SourceError, match="no camera /dev/v4l/by-id/none"):
        open_source("v4l2:/dev/v4l/by-id/none")


def test_device_that_is_no_camera_is_one_line() -> None:
    with pytest.raises(SourceError, match="/dev/null: busy, or not a camera"):
        open_source("v4l2:/dev/null")


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("rtsp://u:p@host:554/a/b?k=v", "rtsp://host:554/a/b"),
        ("RTSP://admin:sec#ret@host", "RTSP://host"),
        ("rtsp://admin:s?e/c@r#et@host/a#b", "rtsp://host/a"),
        ("rtsp:/admin:secret@host", "rtsp:/host"),
        ("rtsp://[foo", "rtsp://[foo"),
        ("me@home.png", "me@home.png"),
        ("film.mp4?", "film.mp4?"),
    ],
)
def test_passwords_do_not_reach_the_log(name: str, printed: str) -> None:
    assert without_password(name) == printed


def test_passwords_do_not_reach_an_error() -> None:
    with pytest.raises(SourceError, match="srt://host: no such file") as caught:
        open_source("srt://admin:secret@host")
    assert "secret" not in str(caught.value)
    # An address that nobody can resolve is a stream all the same.
    with pytest.raises(SourceError, match=r"rtsp://\[foo: cannot be reached"):
        open_source("RTSP://admin:secret@[foo", QUICK)
    assert is_live("RTSP://admin:secret@host")


class Flaky:
    """Delivers some frames, then fails."""

    description = "flaky"

    def __init__(self, frames: int, error: SourceError | None) -> None:
        self._frames = frames
        self._error = error
        self.closed = False

    def frames(self) -> Iterator[Frame]:
        for index in range(self._frames):
            yield Frame(index, 0, np.zeros((2, 2), np.uint8), dropped=index)
        if self._error:
            raise self._error

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.sources.reopening.FIRST_PAUSE_S", 0.001)


def test_numbers_and_drops_go_on_across_openings() -> None:
    openings = [Flaky(3, SourceStalledError("stalled")), Flaky(2, SourceError("gone")), Flaky(1, None)]
    waiting = iter(openings)
    source = Reopening(lambda: next(waiting), tries=1)
    seen = [(frame.index, frame.dropped) for frame in source.frames()]
    assert seen == [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)]
    assert [opening.closed for opening in openings] == [True, True, False]


def test_failures_in_a_row_are_counted_openings_included() -> None:
    calls = []

    def open_() -> Flaky:
        calls.append(1)
        if len(calls) in (2, 3):
            raise SourceError("not back yet")
        return Flaky(1, SourceError("gone"))

    source = Reopening(open_, tries=3)
    frames = source.frames()
    assert next(frames).index == 0
    assert next(frames).index == 1
    source = Reopening(lambda: Flaky(0, SourceError("gone")), tries=2)
    with pytest.raises(SourceError, match="gone"):
        list(source.frames())


def test_close_ends_the_waiting_for_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.sources.reopening.FIRST_PAUSE_S", 60)
    source = Reopening(lambda: Flaky(1, SourceError("gone")), tries=3)
    threading.Timer(0.1, source.close).start()
    assert len(list(source.frames())) == 1


class Waits(threading.Event):
    """Lets no time pass, and adds up what would have."""

    now_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now_s += timeout
        return self.is_set()


def test_a_watchdog_hears_all_through_the_pauses_and_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.sources.reopening.FIRST_PAUSE_S", 0.5)
    waits, openings, heard_s = Waits(), iter([Flaky(1, SourceError("gone"))]), [0.0]

    def open_() -> Flaky:
        opening = next(openings, None)
        if opening is None:
            # As long as an address at which nobody answers.
            waits.now_s += 10
            raise SourceError("cannot be reached")
        return opening

    source = Reopening(open_, tries=12, alive=lambda: heard_s.append(waits.now_s))
    monkeypatch.setattr(source, "_closed", waits)
    with pytest.raises(SourceError, match="cannot be reached"):
        list(source.frames())
    assert waits.now_s == pytest.approx(0.5 + 1 + 2 + 4 + 8 + 16 + 6 * 30 + 12 * 10)
    assert heard_s[-1] == waits.now_s
    assert max(later - earlier for earlier, later in itertools.pairwise(heard_s)) == 10


@pytest.mark.parametrize(
    ("name", "opening"),
    [
        ("v4l2:97", "live._open_camera"),
        ("rtsp://host/stream", "live._open_address"),
        ("picamera2", "picamera.Picamera2Source"),
    ],
)
def test_every_camera_that_is_opened_again_tells_a_watchdog(
    name: str, opening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    openings = iter([Flaky(1, SourceError("gone")), Flaky(1, None)])
    monkeypatch.setattr(f"edge_runtime.sources.{opening}", lambda *_: next(openings))
    heard: list[int] = []
    source = open_source(name, SourceOptions(alive=lambda: heard.append(1)))
    assert len(list(source.frames())) == 2
    source.close()
    assert heard


def test_cut_turn_and_mirror() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(apply(Transform(region=(1, 0, 2, 3)), image), image[:, 1:3])
    assert np.array_equal(apply(Transform(rotate=90), image), np.rot90(image, -1))
    assert np.array_equal(apply(Transform(rotate=270), image), np.rot90(image))
    assert np.array_equal(apply(Transform(rotate=180), image), image[::-1, ::-1])
    assert np.array_equal(apply(Transform(mirror=True), image), image[:, ::-1])
    turned = apply(Transform(region=(1, 0, 2, 3), rotate=90, mirror=True), image)
    assert np.array_equal(turned, np.rot90(image[:, 1:3], -1)[:, ::-1])
    with pytest.raises(SourceError, match="reaches beyond the frame of 4x3"):
        apply(Transform(region=(2, 0, 3, 3)), image)
    with pytest.raises(UsageError, match="rotate must be"):
        Transform(rotate=45)
    with pytest.raises(UsageError, match="region must be"):
        Transform(region=(-1, 0, 2, 2))


def test_transform_applies_to_luma_and_colour(picture: Path) -> None:
    options = SourceOptions(color=True, transform=Transform(rotate=90))
    (frame,) = open_source(str(picture), options).frames()
    assert frame.luma.shape == (64, 48)
    assert frame.bgr is not None
    assert frame.bgr.shape == (64, 48, 3)

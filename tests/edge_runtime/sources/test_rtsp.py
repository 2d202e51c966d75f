"""Source `rtsp://` against a real server, GStreamer's, as network cameras have one."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.preprocess import UInt8Array, to_luma
from edge_runtime.sources import SourceOptions, open_source

SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = ("multifilesrc", "pngdec", "videoconvert", "x264enc", "rtph264pay", "jpegenc", "rtpjpegpay")
PROBE = f"""
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert all(Gst.ElementFactory.find(name) for name in {NEEDED})
"""
TIMEOUT_S = 60.0
ONCE = SourceOptions(stall_timeout_s=20.0, reopen_tries=0)

Serve = Callable[..., "Server"]


@cache
def has_server() -> bool:
    """Whether the system's Python has GStreamer's RTSP server and what it needs to serve."""
    try:
        probe = subprocess.run([SYSTEM_PYTHON, "-c", PROBE], capture_output=True, check=False)
    except OSError:
        return False
    return probe.returncode == 0


class Server:
    """A process that serves one picture."""

    def __init__(self, picture: Path, codec: str, user: str, password: str, port: int) -> None:
        command = [SYSTEM_PYTHON, str(SERVER), codec, str(picture), user, password, str(port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"rtsp://127.0.0.1:{self.port}/camera"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def serve(tmp_path: Path, portrait: UInt8Array) -> Iterator[Serve]:
    if not has_server():
        pytest.skip("needs GStreamer's RTSP server: see rtsp_server.py for Debian's packages")
    path = tmp_path / "portrait.png"
    cv2.imwrite(str(path), portrait)
    servers: list[Server] = []

    def start(codec: str = "h264", user: str = "", password: str = "", port: int = 0) -> Server:
        servers.append(Server(path, codec, user, password, port))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_the_picture_arrives(serve: Serve, portrait: UInt8Array, codec: str) -> None:
    source = open_source(serve(codec).url, ONCE)
    assert source.description.endswith("640x480 25.0 frames/s")
    frames = source.frames()
    seen = [next(frames) for _ in range(20)]
    assert [frame.index for frame in seen] == sorted({frame.index for frame in seen})
    # Compression takes the demo's noise away; shrunk, the pictures are the same in their tones.
    small = [
        cv2.resize(luma, (64, 48), interpolation=cv2.INTER_AREA)
        for luma in (seen[-1].luma, to_luma(portrait))
    ]
    assert np.abs(small[0].astype(int) - small[1]).mean() < 3
    source.close()


def test_who_is_slow_gets_the_newest_frame(serve: Serve) -> None:
    source = open_source(serve().url, ONCE)
    frames = source.frames()
    before = next(frames)
    for _ in range(3):
        time.sleep(0.5)
        frame = next(frames)
        # Waited for behind a queue, it would be half a second old and its number the next.
        assert frame.index > before.index + 3
        assert frame.dropped > before.dropped
        before = frame
    source.close()


def test_user_and_password(serve: Serve) -> None:
    server = serve("h264", "visitor", "open-sesame")

    def address(password: str) -> str:
        return server.url.replace("rtsp://", f"rtsp://visitor:{password}@")

    source = open_source(address("open-sesame"), ONCE)
    assert next(source.frames()).luma.shape == (480, 640)
    assert "sesame" not in source.description
    source.close()
    with pytest.raises(SourceError, match=r"rtsp://127.0.0.1:\d+/camera: cannot be reached") as caught:
        open_source(address("close-sesame"), ONCE)
    assert "sesame" not in str(caught.value)


def test_a_camera_that_restarts_is_opened_again(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = serve()
    source = open_source(server.url, SourceOptions(stall_timeout_s=10.0, reopen_tries=8))
    seen = []
    for frame in source.frames():
        seen.append(frame.index)
        if len(seen) == 10:
            server.end()
            again = serve(port=server.port)
            assert again.port == server.port
            last = frame.index
        if len(seen) > 10 and any("opening it again" in record.message for record in caplog.records):
            break
    source.close()
    assert seen == sorted(set(seen))
    assert seen[-1] > last


def test_a_camera_that_hangs_is_an_error(serve: Serve) -> None:
    server = serve()
    source = open_source(server.url, SourceOptions(stall_timeout_s=2.0, reopen_tries=0))
    frames = source.frames()
    next(frames)
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(SourceError):
        for _ in frames:
            pass
    source.close()


def test_the_whole_program(serve: Serve, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "edge_runtime", "run", "--source", serve("mjpeg").url]
    command += ["--detector", "edge", "--sink", f"jsonl:{out}"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not out.exists() or out.read_bytes().count(b"\n") < 20:
            assert time.monotonic() < deadline_s, (tmp_path / "log").read_text()
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(len(record["faces"]) == 1 for record in records[5:])
    assert {face["track"] for record in records for face in record["faces"]} == {1}

"""What a soak runs: a film that never ends, and every sink that can be had here."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2

from edge_runtime.events import EventSettings
from edge_runtime.sinks import Sink, open_sink
from edge_runtime.sources import Frame, SourceOptions
from edge_runtime.sources.demo import open_demo
from edge_runtime.sources.video import open_video

FILM_FRAMES = 500
FACELESS = 50
"""Frames of black at the end of the film, so that faces leave and come."""
VIEWER = """
import socket, sys
while True:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(b"GET %s HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n" % sys.argv[2].encode())
        while connection.recv(65536):
            pass
"""


def film_width(height: int) -> int:
    """Of a film with the demo's shape."""
    return height * 4 // 3


def make_film(path: Path, height: int) -> None:
    """The demo's moving portrait as a video file; a low one costs less to decode."""
    size = (film_width(height), height)
    demo = open_demo(str(FILM_FRAMES), SourceOptions())
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, size)
    for index in range(FILM_FRAMES):
        picture = demo.render(index)
        if index >= FILM_FRAMES - FACELESS:
            picture[:] = 0
        writer.write(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    writer.release()


class Loop:
    """A video file at full speed, again and again; its time goes on."""

    def __init__(self, path: Path, *, color: bool) -> None:
        self.description = f"{path.name}, without end"
        self._path = path
        self._options = SourceOptions(color=color)
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        index = 0
        while not self._closed:
            source = open_video(self._path, self._options)
            for frame in source.frames():
                if self._closed:
                    break
                yield replace(frame, index=index, t_scene_ns=index * 40_000_000)
                index += 1
                del frame
            source.close()

    def close(self) -> None:
        self._closed = True


@contextlib.contextmanager
def all_sinks(folder: Path, broker_port: int | None) -> Iterator[dict[str, Sink]]:
    """Open sinks of every kind; the names say which there are."""
    names = [
        f"jsonl+:{folder}/out.jsonl,max_mb=20,keep=2",
        f"events:{folder}/events.jsonl",
        f"sqlite:{folder}/counts.db",
        "hook:true",
    ]
    if broker_port and find_spec("paho"):
        names.append(f"mqtt:127.0.0.1:{broker_port}")
    if find_spec("h11"):
        names.append("web:127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        opened = {}
        for name in names:
            mqtt = {"outbox": str(folder / "outbox.db"), "discovery": True}
            sink = open_sink(name, EventSettings(), mqtt)
            stack.callback(sink.close)
            opened[name.partition(":")[0]] = sink
        yield opened


@contextlib.contextmanager
def viewer(port: int, address: str) -> Iterator[None]:
    """A process that looks at the page's film all the time."""
    process = subprocess.Popen(
        [sys.executable, "-c", VIEWER, str(port), address], stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()

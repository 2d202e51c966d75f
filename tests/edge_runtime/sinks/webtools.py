"""What the tests of the web sink share: records and frames to play, and clients that ask."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from edge_runtime.preprocess import Box, UInt8Array, to_luma
from edge_runtime.records import FaceRecord, FrameRecord
from edge_runtime.sinks.web import WebSink
from edge_runtime.sources.base import Frame

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TIMEOUT_S = 60.0


def record_of(number: int, *labels: str, confidence: float = 0.88) -> FrameRecord:
    """A record with a face for each label, the first the largest."""
    rest = (1 - confidence) / (len(LABELS) - 1)
    faces = tuple(
        FaceRecord(
            index + 1,
            Box(180 + 150 * index, 90, 220 - 90 * index, 220 - 90 * index),
            0.97,
            label,
            confidence,
            {name: confidence if name == label else rest for name in LABELS},
        )
        for index, label in enumerate(labels)
    )
    timing = {"capture": 1.2, "detect": 4.1, "preprocess": 0.2, "infer": 1.4, "total": 6.9}
    return FrameRecord(
        number, time.monotonic_ns(), 9.5, 3, faces, timing, "sha256:" + "ab" * 32, "litert 2.3 threads=1"
    )


def frame_of(number: int, image: UInt8Array | None = None, *, color: bool = True) -> Frame:
    if image is None:
        image = np.full((480, 640, 3), (70, 60, 50), np.uint8)
        cv2.circle(image, (290, 200), 105, (150, 180, 220), -1)
    return Frame(number, time.monotonic_ns(), to_luma(image), image if color else None)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Player:
    """Plays frames into a sink, as the pipeline does."""

    def __init__(self, sink: WebSink) -> None:
        self._sink = sink
        self._number = 0

    def until(self, condition: Callable[[], bool], *labels: str, image: UInt8Array | None = None) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            self.step(*labels, image=image)

    def step(self, *labels: str, image: UInt8Array | None = None) -> None:
        self._number += 1
        record = record_of(self._number, *labels)
        if self._sink.is_looking:
            self._sink.look(frame_of(self._number, image), record)
        self._sink.write(record)
        time.sleep(0.04)


def ask(
    sink: WebSink,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by their names in small letters, and body."""
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, answer.read()
    finally:
        connection.close()


def ask_json(sink: WebSink, path: str) -> Any:
    status, headers, body = ask(sink, path)
    assert (status, headers["content-type"]) == (200, "application/json")
    return json.loads(body)


def raw(sink: WebSink, data: bytes) -> bytes:
    """What comes back to bytes, until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", sink.port), TIMEOUT_S) as connection:
        connection.sendall(data)
        parts = b""
        while part := connection.recv(65536):
            parts += part
        return parts


class Viewer:
    """Somebody who looks at the live view."""

    def __init__(self, sink: WebSink) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=TIMEOUT_S)
        self._connection.request("GET", "/view.mjpeg")
        self._answer = self._connection.getresponse()
        assert self._answer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")

    def next(self) -> bytes:
        """The next JPEG."""
        line = b""
        while not line.lower().startswith(b"content-length"):
            line = self._answer.readline()
        self._answer.readline()
        return self._answer.read(int(line.partition(b":")[2]))

    def close(self) -> None:
        self._answer.close()
        self._connection.close()

"""The live view and the limits: viewers, slow ones, too many, and those who talk nonsense."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge_runtime.commands.run import Views
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sinks.web import WebSettings, WebSink
from tests.edge_runtime.sinks.webtools import (
    TIMEOUT_S,
    Viewer,
    ask,
    frame_of,
    raw,
    record_of,
    wait_for,
)

pytest.importorskip("h11", reason="needs the extra `web`")


@pytest.fixture
def sink() -> Iterator[WebSink]:
    sink = WebSink("127.0.0.1:0", WebSettings(max_upload_mb=1, max_upload_mpx=2))
    yield sink
    sink.close()


class TestView:
    def test_pictures_are_made_while_somebody_looks(self, sink: WebSink, portrait: UInt8Array) -> None:
        sink.look(frame_of(0), record_of(0))
        assert not sink.is_looking
        viewer = Viewer(sink)
        wait_for(lambda: sink.is_looking)
        sink.look(frame_of(1, portrait), record_of(1, "happy"))
        image = cv2.imdecode(np.frombuffer(viewer.next(), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (480, 640, 3)
        difference = cv2.absdiff(image, portrait)
        # Drawn upon where the face is, and as it was elsewhere.
        assert difference[90:94, 200:380].mean() > 40
        assert difference[350:, :100].mean() < 10
        viewer.close()
        wait_for(lambda: sink._view.viewers == 0)
        assert not sink.is_looking

    def test_nothing_is_kept_once_nobody_looks(self, sink: WebSink) -> None:
        viewers = [Viewer(sink), Viewer(sink)]
        wait_for(lambda: sink._view.viewers == 2)
        sink.look(frame_of(1), record_of(1, "happy"))
        for viewer in viewers:
            viewer.next()
        viewers[0].close()
        wait_for(lambda: sink._view.viewers == 1)
        assert sink._view._pixels is not None
        viewers[1].close()
        wait_for(lambda: sink._view.viewers == 0)
        wait_for(lambda: sink._view._pixels is None and sink._view.pictures._value is None)
        # A frame that was on its way when the last one left.
        sink.look(frame_of(2), record_of(2, "happy"))
        wait_for(lambda: sink._view.encoded == 2)
        wait_for(lambda: sink._view._pixels is None and sink._view.pictures._value is None)
        viewers = [Viewer(sink)]
        wait_for(lambda: sink.is_looking)
        sink.look(frame_of(3), record_of(3))
        assert viewers[0].next()
        viewers[0].close()

    def test_gray_and_large_frames(self, sink: WebSink) -> None:
        viewer = Viewer(sink)
        for number, image in enumerate(
            (np.zeros((480, 640, 3), np.uint8), np.zeros((1080, 1920, 3), np.uint8))
        ):
            wait_for(lambda: sink.is_looking)
            sink.look(frame_of(number, image, color=number == 1), record_of(number, "sad"))
            jpeg = cv2.imdecode(np.frombuffer(viewer.next(), np.uint8), cv2.IMREAD_COLOR)
            assert jpeg is not None
            assert jpeg.shape == ((480, 640, 3) if number == 0 else (540, 960, 3))
        viewer.close()

    def test_twenty_viewers_share_one_encoder(self, sink: WebSink) -> None:
        viewers = [Viewer(sink) for _ in range(20)]
        wait_for(lambda: sink._view.viewers == 20)
        for number in range(5):
            wait_for(lambda: sink.is_looking)
            sink.look(frame_of(number), record_of(number, "happy"))
            assert len({viewer.next() for viewer in viewers}) == 1
        assert sink._view.encoded == 5
        for viewer in viewers:
            viewer.close()

    def test_the_rate_is_bounded(self, sink: WebSink) -> None:
        viewer = Viewer(sink)
        wait_for(lambda: sink.is_looking)
        started_s = time.monotonic()
        for number in range(150):
            if sink.is_looking:
                sink.look(frame_of(number), record_of(number))
            time.sleep(0.005)
        lasted_s = time.monotonic() - started_s
        wait_for(lambda: not sink._view._busy.is_set())
        assert 1 <= sink._view.encoded <= 10 * lasted_s + 2
        viewer.close()

    def test_who_does_not_read_holds_nobody_up(
        self, sink: WebSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("edge_runtime.sinks.web.http.WRITE_S", 0.3)
        asleep, awake = Viewer(sink), Viewer(sink)
        wait_for(lambda: sink._view.viewers == 2)
        noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
        number = 0

        def play() -> bool:
            nonlocal number
            number += 1
            wait_for(lambda: sink.is_looking)
            sink.look(frame_of(number, noise), record_of(number))
            awake.next()
            return sink._view.viewers == 1

        wait_for(play)
        asleep.close()
        awake.close()

    def test_a_source_that_makes_colour_on_demand_shows_no_gray_frame(self, sink: WebSink) -> None:
        """Whoever begins to look between a frame's capture and its end waits for the next one."""
        views = Views(None)
        views.onlookers = [sink]
        assert not views.wanted()
        viewer = Viewer(sink)
        wait_for(lambda: sink.is_looking)
        views(frame_of(1, color=False), record_of(1))
        assert not sink._view._busy.is_set()
        assert views.wanted()
        views(frame_of(2), record_of(2))
        image = cv2.imdecode(np.frombuffer(viewer.next(), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image[5, 5].max() - image[5, 5].min() > 10
        viewer.close()

    def test_states_are_pushed(self, sink: WebSink) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=TIMEOUT_S)
        connection.request("GET", "/api/events")
        answer = connection.getresponse()
        assert answer.headers["content-type"] == "text/event-stream"
        sink.write(record_of(7, "fear"))

        def pushed() -> bool:
            line = answer.readline()
            if not line.startswith(b"data: "):
                return False
            record = json.loads(line[6:])["record"]
            return bool(record) and record["frame"] == 7

        wait_for(pushed)
        connection.close()


def _is_refused(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except OSError:
        return True
    return False


class TestLimits:
    def test_slow_heads_and_bodies_time_out(self, sink: WebSink, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge_runtime.sinks.web.http.HEAD_S", 0.3)
        monkeypatch.setattr("edge_runtime.sinks.web.http.BODY_S", 0.3)
        monkeypatch.setattr("edge_runtime.sinks.web.http.LINGER_S", 0.1)
        head = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        with socket.create_connection(("127.0.0.1", sink.port), TIMEOUT_S) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            # A byte now and then does not help.
            wait_for(lambda: _is_refused(connection, b"X"))
        assert raw(sink, b"") == b""
        assert raw(sink, head + b"abc").startswith(b"HTTP/1.1 408 ")

    def test_connections_are_bounded(self, sink: WebSink, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge_runtime.sinks.web.http.MAX_CONNECTIONS", 4)
        held = [Viewer(sink) for _ in range(4)]
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(sink, "/healthz")
        assert threading.active_count() < 20
        held[0].close()
        sink.write(record_of(1))

        def served() -> bool:
            try:
                return ask(sink, "/healthz")[0] == 200
            except (OSError, http.client.HTTPException):
                return False

        wait_for(served)
        for viewer in held[1:]:
            viewer.close()

    def test_long_heads_and_nonsense_are_refused(self, sink: WebSink) -> None:
        long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n"
        assert raw(sink, long).startswith(b"HTTP/1.1 431 ")
        for target in (b"//[", b"http://[x/", b"/?" + b"a=1&" * 500, b"*", b"/%ff%fe"):
            answer = raw(
                sink, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 200 ")), target
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /\r\n\r\n",
            b"\0" * 100,
        ):
            assert raw(sink, data + b"\r\n\r\n").startswith(b"HTTP/1.1 400 "), data
        rng = random.Random(7)
        valid = b"POST /api/predict?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        for _ in range(200):
            data = bytearray(valid)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with socket.create_connection(("127.0.0.1", sink.port), TIMEOUT_S) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        assert ask(sink, "/")[0] == 200

    def test_several_requests_on_one_connection(self, sink: WebSink) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=TIMEOUT_S)
        for path, expected in (("/healthz", 503), ("/none", 404), ("/style.css", 200), ("/api/state", 200)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == expected
            assert not answer.will_close
        connection.request("POST", "/none", b"unwanted")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404
        connection.close()
        pipelined = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2
        closing = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert raw(sink, pipelined + closing).count(b"HTTP/1.1 503 ") == 3

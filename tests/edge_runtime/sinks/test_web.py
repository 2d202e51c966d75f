"""The web sink's server: a real one on loopback, asked over real connections."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.classifier import Classifier
from edge_runtime.commands.run import Views
from edge_runtime.detectors import load_detector
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.pipeline import Pipeline
from edge_runtime.preprocess import Box, UInt8Array, to_luma
from edge_runtime.records import FaceRecord, FrameRecord
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.web import WebSettings, WebSink
from edge_runtime.sinks.web.board import Board
from edge_runtime.sinks.web.state import WatchState
from edge_runtime.sources.base import Frame

pytest.importorskip("h11", reason="needs the extra `web`")

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


@pytest.fixture
def sink() -> Iterator[WebSink]:
    sink = WebSink("127.0.0.1:0", WebSettings(max_upload_mb=1, max_upload_mpx=2))
    yield sink
    sink.close()


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


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces a size; its pixels are a few bytes of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class TestPages:
    def test_every_file_is_served_under_its_name_alone(self, sink: WebSink) -> None:
        folder = Path(sys.modules[WebSink.__module__].__file__ or "").parent / "pages"
        names = sorted(file.name for file in folder.iterdir())
        assert {"index.html", "app.js", "style.css"} <= set(names)
        for name in names:
            status, headers, body = ask(sink, "/" if name == "index.html" else f"/{name}")
            assert status == 200, name
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert b"{{" not in body or name.endswith(".js")
            again, _, nothing = ask(sink, f"/{name}" if name != "index.html" else "/",
                                    headers={"If-None-Match": headers["etag"]})  # fmt: skip
            assert (again, nothing) == (304, b"")

    def test_no_address_becomes_a_path(self, sink: WebSink) -> None:
        for path in (
            "/../__init__.py",
            "/pages/../__init__.py",
            "/%2e%2e/__init__.py",
            "/..%2f__init__.py",
            "//etc/passwd",
            "/style.css/../../__init__.py",
            "/index.html%00.css",
            "/__init__.py",
        ):
            status, _, body = ask(sink, path)
            assert status == 404, path
            assert json.loads(body) == {"error": "no such address"}

    def test_nothing_on_the_page_comes_from_elsewhere(self, sink: WebSink) -> None:
        for path in ("/", "/login", "/style.css", "/app.js", "/chart.js", "/labels.js", "/upload.js"):
            found = set(re.findall(rb"https?://[^\s\"'<>]+", ask(sink, path)[2]))
            assert found <= {b"http://www.w3.org/2000/svg"}, path

    def test_the_notice_is_escaped(self) -> None:
        sink = WebSink("127.0.0.1:0", WebSettings(notice="<b>Café & Co</b>"))
        body = ask(sink, "/")[2].decode()
        sink.close()
        assert "&lt;b&gt;Café &amp; Co&lt;/b&gt;" in body

    def test_methods(self, sink: WebSink) -> None:
        status, headers, body = ask(sink, "/", "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 1000
        status, headers, _ = ask(sink, "/api/state", "DELETE")
        assert (status, headers["allow"]) == (405, "GET")
        assert ask(sink, "/api/predict")[0] == 405


class TestFigures:
    def test_health_goes_by_fresh_frames(self) -> None:
        sink = WebSink("127.0.0.1:0", WebSettings(healthy_within_s=0.5))
        try:
            assert ask(sink, "/healthz")[0] == 503
            Player(sink).until(lambda: ask(sink, "/healthz")[0] == 200)
            wait_for(lambda: ask(sink, "/healthz")[0] == 503)
        finally:
            sink.close()

    def test_the_state_is_the_newest_record(self, sink: WebSink) -> None:
        assert ask_json(sink, "/api/state")["record"] is None
        sink.write(record_of(1, "happy"))
        newest = record_of(2, "sad", "neutral")
        sink.write(newest)
        state = ask_json(sink, "/api/state")
        assert state["record"] == newest.to_dict()
        assert (state["frames"], state["healthy"], state["viewers"]) == (2, True, 0)

    def test_metrics_are_in_the_text_format(self, sink: WebSink) -> None:
        for number in range(4):
            sink.write(record_of(number, "happy", "sad"))
        _, headers, body = ask(sink, "/metrics")
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        samples = {}
        typed: set[str] = set()
        for line in body.decode().splitlines():
            if line.startswith("# TYPE "):
                typed.add(line.split()[2])
                continue
            if line.startswith("#"):
                continue
            match = re.fullmatch(r'([a-z_0-9]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (\S+)', line)
            assert match, line
            name = match[1]
            assert name in typed or name.removesuffix("_sum").removesuffix("_count") in typed
            samples[name + (match[2] or "")] = float(match[3])
        assert samples["edge_fer_frames_total"] == 4
        assert samples["edge_fer_frames_dropped_total"] == 3
        assert samples['edge_fer_faces_total{label="happy"}'] == 4
        assert samples['edge_fer_stage_duration_seconds_sum{stage="total"}'] == pytest.approx(4 * 0.0069)
        assert samples['edge_fer_stage_duration_seconds_count{stage="total"}'] == 4
        assert samples["edge_fer_up"] == 1

    def test_the_history_is_by_second_and_of_the_largest_face(self) -> None:
        now = [100.0]
        state = WatchState(10, lambda: now[0])
        for number, labels in enumerate([("happy", "sad"), ("happy",), (), ("sad",)]):
            now[0] = 100.0 + 0.5 * number
            state.add(record_of(number, *labels))
        now[0] = 250.0
        state.add(record_of(9))
        first, second = state.history()["points"]
        assert (first["second"], second["second"]) == (0, 1)
        assert first["probabilities"]["happy"] == 0.88
        assert second["probabilities"]["sad"] == 0.88
        assert state.to_dict()["history_last"] == second
        for number in range(300):
            now[0] = 300.0 + number
            state.add(record_of(number))
        points = state.history()["points"]
        assert len(points) == 119
        assert all(point["probabilities"] is None for point in points)

    def test_the_rate_falls_when_nothing_comes(self) -> None:
        now = [0.0]
        state = WatchState(10, lambda: now[0])
        for number in range(50):
            now[0] = number * 0.04
            state.add(record_of(number))
        assert state.totals().rate_hz == pytest.approx(25, abs=0.1)
        now[0] += 60
        assert state.totals().rate_hz == 0

    def test_the_board_tells_temperature_and_throttling(self, tmp_path: Path) -> None:
        for number, (kind, value) in enumerate([("battery", 30000), ("cpu-thermal", 61250)]):
            zone = tmp_path / f"thermal_zone{number}"
            zone.mkdir()
            (zone / "type").write_text(f"{kind}\n")
            (zone / "temp").write_text(f"{value}\n")
        (tmp_path / "get_throttled").write_text("50005\n")
        state = Board(tmp_path, tmp_path / "get_throttled").read()
        assert state.temperature_c == 61.2
        assert state.throttled == (
            "under-voltage now", "throttled now", "under-voltage since boot", "throttled since boot",
        )  # fmt: skip
        nothing = Board(tmp_path / "none", tmp_path / "none").read()
        assert (nothing.temperature_c, nothing.throttled) == (None, None)

    def test_vcgencmd_is_asked_where_the_kernel_does_not_tell(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "vcgencmd"
        program.write_text("#!/bin/sh\necho throttled=0x1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert Board(tmp_path, tmp_path / "none").read().throttled == ("under-voltage now",)


class TestPredict:
    def post(self, sink: WebSink, data: bytes) -> tuple[int, Any]:
        status, _, body = ask(sink, "/api/predict", "POST", data)
        return status, json.loads(body)

    def test_as_the_pipeline_sees_it(self, sink: WebSink, portrait: UInt8Array) -> None:
        data = cv2.imencode(".png", portrait)[1].tobytes()
        status, found = self.post(sink, data)
        assert status == 200

        class Once:
            description = "once"

            def frames(self) -> Iterator[Frame]:
                yield Frame(0, 0, to_luma(portrait), portrait, name="x")

            def close(self) -> None:
                pass

        classifier = Classifier.load()
        ((_, record),) = Pipeline(Once(), load_detector("haar"), classifier).records()
        expected = record.to_dict()
        assert len(found["faces"]) == 1
        assert found["faces"] == expected["faces"]
        assert (found["width"], found["height"], found["model"]) == (640, 480, expected["model"])

    def test_while_the_camera_is_watched(self, sink: WebSink, portrait: UInt8Array) -> None:
        """Interpreters are not shared: what the pipeline computes meanwhile stays what it was."""
        data = cv2.imencode(".jpg", portrait)[1].tobytes()
        alone = self.post(sink, data)[1]["faces"]
        classifier = Classifier.load()
        crop = np.ascontiguousarray(to_luma(portrait)[100:300, 200:400])
        before = classifier.predict(crop)
        results: list[Any] = []
        uploads = [threading.Thread(target=lambda: results.append(self.post(sink, data))) for _ in range(3)]
        for upload in uploads:
            upload.start()
        while any(upload.is_alive() for upload in uploads):
            assert np.array_equal(classifier.predict(crop), before)
        assert [(status, found["faces"]) for status, found in results] == [(200, alone)] * 3

    def test_pictures_that_are_none(self, sink: WebSink, portrait: UInt8Array) -> None:
        jpeg = cv2.imencode(".jpg", portrait)[1].tobytes()
        for data, reason in (
            (b"", "empty"),
            (b"<svg onload=alert(1)>", "not a JPEG"),
            (jpeg[: len(jpeg) // 2], "truncated"),
            (b"GIF89a" + bytes(100), "not a JPEG"),
        ):
            status, answer = self.post(sink, data)
            assert status == 422
            assert reason in answer["error"]

    def test_a_decompression_bomb_is_refused_by_its_header(self, sink: WebSink) -> None:
        for width, height in ((2000, 1001), (100_000, 100_000), (2**31 - 1, 2**31 - 1)):
            status, answer = self.post(sink, png_of(width, height))
            assert status == 422
            assert "2 million allowed" in answer["error"]

    def test_too_many_bytes_are_refused_before_they_are_read(self, sink: WebSink) -> None:
        head = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        answer = raw(sink, head % 1_000_001)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"1 MB allowed" in answer
        assert raw(sink, head % 10**15).startswith(b"HTTP/1.1 413 ")
        # The answer reaches also those who send everything without a look at it.
        assert ask(sink, "/api/predict", "POST", bytes(3_000_000))[0] == 413

    def test_a_body_without_length_is_refused(self, sink: WebSink) -> None:
        head = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        assert raw(sink, head + b"\r\n").startswith(b"HTTP/1.1 411 ")
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        assert raw(sink, chunked).startswith(b"HTTP/1.1 411 ")
        for length in (b"-1", b"1e3", b"\xb2", b"5\r\nContent-Length: 6"):
            answer = raw(sink, head + b"Content-Length: " + length + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 "), length

    def test_who_asks_first_is_told_to_go_on(self, sink: WebSink) -> None:
        with socket.create_connection(("127.0.0.1", sink.port), TIMEOUT_S) as connection:
            connection.sendall(
                b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
                b"Expect: 100-continue\r\n\r\n"
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"abcd")
            assert connection.recv(1000).startswith(b"HTTP/1.1 422 ")

    def test_a_model_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        sink = WebSink("127.0.0.1:0", WebSettings(model=str(tmp_path / "none.tflite")))
        status, answer = self.post(sink, png_of(16, 16))
        sink.close()
        assert status in (422, 500)
        assert "\n" not in answer["error"]


class TestDescription:
    def test_it_is_true(self, sink: WebSink, portrait: UInt8Array) -> None:
        validators = pytest.importorskip("jsonschema", reason="needs the extra `dev`")
        document = ask_json(sink, "/openapi.json")
        assert document["openapi"].startswith("3.1")
        for schema in document["components"]["schemas"].values():
            validators.Draft202012Validator.check_schema(schema)

        def check(path: str, method: str, status: int, kind: str, body: bytes) -> None:
            content = document["paths"][path][method]["responses"][str(status)]["content"]
            assert kind in content, (path, status, kind)
            if kind == "application/json":
                schema = {**content[kind]["schema"], "components": document["components"]}
                validators.Draft202012Validator(schema).validate(json.loads(body))

        def compare(path: str, method: str, body: bytes | None = None, **headers: str) -> int:
            status, names, answer = ask(sink, path, method.upper(), body, headers)
            check(path, method, status, names["content-type"].partition(";")[0], answer)
            return status

        seen = set()
        for labels in ((), ("happy",), ("sad", "neutral")):
            for path, methods in document["paths"].items():
                if (
                    "get" in methods
                    and "stream" not in json.dumps(methods)
                    and "mixed" not in json.dumps(methods)
                ):
                    seen.add(compare(path, "get"))
            sink.write(record_of(1, *labels))
        for data in (cv2.imencode(".jpg", portrait)[1].tobytes(), b"none", bytes(1_100_000)):
            seen.add(compare("/api/predict", "post", data))
        seen.add(compare("/api/state", "get", **{"Sec-Fetch-Site": "cross-site"}))
        seen.add(compare("/api/state", "get", Host="elsewhere.example"))
        assert seen == {200, 503, 422, 413, 403, 421}

    def test_it_names_every_address(self, sink: WebSink) -> None:
        described = set(ask_json(sink, "/openapi.json")["paths"])
        served = set(sink._server._handler.__self__._routes)  # type: ignore[attr-defined]
        pages = {path for path in served if path in ("/", "/login", "/openapi.json") or "." in path[1:]}
        assert served - pages | {"/view.mjpeg"} == described

    def test_a_token_is_part_of_it(self) -> None:
        sink = WebSink("127.0.0.1:0", WebSettings(token="a token of some length"))
        _, _, body = ask(sink, "/openapi.json", headers={"Authorization": "Bearer a token of some length"})
        sink.close()
        document = json.loads(body)
        assert document["security"] == [{"token": []}, {"session": []}]
        assert "401" in document["paths"]["/api/state"]["get"]["responses"]


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


class TestLife:
    def test_closing_ends_all_and_frees_the_port(self) -> None:
        sink = WebSink("127.0.0.1:0")
        viewer = Viewer(sink)
        wait_for(lambda: sink.is_looking)
        sink.close()
        sink.close()
        sink.look(frame_of(1), record_of(1))
        sink.write(record_of(1))
        viewer.close()
        assert not sink._thread.is_alive()
        again = WebSink(f"127.0.0.1:{sink.port}")
        assert ask(again, "/")[0] == 200
        with pytest.raises(SinkError, match="cannot listen there") as failure:
            WebSink(f"127.0.0.1:{sink.port}")
        assert "\n" not in str(failure.value)
        again.close()

    def test_wrong_addresses_are_one_line(self) -> None:
        for name in (
            "web::8080",
            "web:localhost:port",
            "web:localhost:99999",
            "web:[::1",
            "web:[::1]x",
        ):
            with pytest.raises((UsageError, SinkError), match=r"HOST:PORT|no such address"):
                open_sink(name)
        with pytest.raises(UsageError, match="unknown sink"):
            open_sink("web:")

    def test_without_the_library_the_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "h11", None)
        for name in ("http", "site"):
            monkeypatch.delitem(sys.modules, f"edge_runtime.sinks.web.{name}", raising=False)
        with pytest.raises(SinkError, match=r"pip install 'edge-fer\[web\]'"):
            open_sink("web:127.0.0.1:0")

    def test_the_frame_path_loads_none_of_it(self) -> None:
        code = "import edge_runtime.commands.run, sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split())
        assert "edge_runtime.sinks" in loaded
        assert not {name for name in loaded if name == "h11" or name.startswith("edge_runtime.sinks.web")}

    def test_in_a_run_through_reload_to_its_end(self, tmp_path: Path, portrait: UInt8Array) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "edge_runtime", "run", "--source", "demo:0", "--realtime"]
        log = tmp_path / "log"
        with (
            log.open("w") as stream,
            subprocess.Popen([*command, "--sink", f"web:127.0.0.1:{port}"], stderr=stream) as process,
        ):

            def state() -> Any:
                try:
                    with socket.create_connection(("127.0.0.1", port), 5) as connection:
                        connection.sendall(
                            b"GET /api/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                        )
                        parts = b""
                        while part := connection.recv(65536):
                            parts += part
                    return json.loads(parts.partition(b"\r\n\r\n")[2])
                except (OSError, ValueError):
                    return {"record": None}

            try:
                wait_for(lambda: bool(state()["record"] and state()["record"]["faces"]))
                process.send_signal(signal.SIGHUP)
                wait_for(lambda: "configuration read again" in log.read_text())
                wait_for(lambda: state()["record"] is not None)
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0
            finally:
                process.kill()
        text = log.read_text()
        assert f"page http://127.0.0.1:{port}/" in text
        assert "Traceback" not in text

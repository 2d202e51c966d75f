"""Uploaded pictures, and whether the description of the interface is true."""

from __future__ import annotations

import json
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.classifier import Classifier
from edge_runtime.commands.run import _open_sinks
from edge_runtime.commands.settings import pipeline_settings
from edge_runtime.config import Config
from edge_runtime.detectors import load_detector
from edge_runtime.pipeline import Pipeline
from edge_runtime.preprocess import UInt8Array, to_luma
from edge_runtime.sinks.web import WebSettings, WebSink
from edge_runtime.sources.base import Frame
from tests.edge_runtime.sinks.webtools import (
    TIMEOUT_S,
    ask,
    ask_json,
    raw,
    record_of,
)

pytest.importorskip("h11", reason="needs the extra `web`")


@pytest.fixture
def sink() -> Iterator[WebSink]:
    sink = WebSink("127.0.0.1:0", WebSettings(max_upload_mb=1, max_upload_mpx=2))
    yield sink
    sink.close()


class Once:
    """A source of one picture."""

    description = "once"

    def __init__(self, image: UInt8Array) -> None:
        self._image = image

    def frames(self) -> Iterator[Frame]:
        yield Frame(0, 0, to_luma(self._image), self._image, name="x")

    def close(self) -> None:
        pass


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces a size; its pixels are a few bytes of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class TestPredict:
    def post(self, sink: WebSink, data: bytes) -> tuple[int, Any]:
        status, _, body = ask(sink, "/api/predict", "POST", data)
        return status, json.loads(body)

    def test_as_the_pipeline_sees_it(self, sink: WebSink, portrait: UInt8Array) -> None:
        data = cv2.imencode(".png", portrait)[1].tobytes()
        status, found = self.post(sink, data)
        assert status == 200

        classifier = Classifier.load()
        ((_, record),) = Pipeline(Once(portrait), load_detector("edge"), classifier).records()
        expected = record.to_dict()
        assert len(found["faces"]) == 1
        assert found["faces"] == expected["faces"]
        assert (found["width"], found["height"], found["model"]) == (640, 480, expected["model"])

    @pytest.mark.parametrize(("flip_average", "min_score", "faces"), [(True, 0.0, 1), (False, 1.0, 0)])
    def test_by_the_settings_of_the_run(
        self, portrait: UInt8Array, flip_average: bool, min_score: float, faces: int
    ) -> None:
        config = Config().override("model", flip_average=flip_average)
        config = config.override("detector", min_score=min_score)
        config = config.override("output", sinks=("web:127.0.0.1:0",))
        classifier = Classifier.load(flip_average=flip_average)
        detector = load_detector(config.detector.name)
        run = Pipeline(Once(portrait), detector, classifier, settings=pipeline_settings(config))
        ((_, record),) = run.records()
        at_end: list[Callable[[], None]] = []
        (sink,) = _open_sinks(config, at_end.append, ())
        try:
            assert isinstance(sink, WebSink)
            status, found = self.post(sink, cv2.imencode(".png", portrait)[1].tobytes())
        finally:
            for close in at_end:
                close()
        assert status == 200
        assert found["faces"] == record.to_dict()["faces"]
        assert len(found["faces"]) == faces

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

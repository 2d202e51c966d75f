"""The web sink's server: a real one on loopback, asked over real connections."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.web import WebSettings, WebSink
from edge_runtime.sinks.web.board import Board
from edge_runtime.sinks.web.state import WatchState
from edge_runtime.sources import open_source
from tests.edge_runtime.sinks.webtools import (
    Player,
    Viewer,
    ask,
    ask_json,
    frame_of,
    record_of,
    wait_for,
)

pytest.importorskip("h11", reason="needs the extra `web`")


@pytest.fixture
def sink() -> Iterator[WebSink]:
    sink = WebSink("127.0.0.1:0", WebSettings(max_upload_mb=1, max_upload_mpx=2))
    yield sink
    sink.close()


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

    def test_a_picture_name_that_is_no_utf8_is_shown(self, sink: WebSink, picture: Path) -> None:
        name = picture.rename(picture.with_name(os.fsdecode(b"b\xfcro.png")))
        (frame,) = open_source(str(name)).frames()
        sink.write(replace(record_of(1), source=frame.name))
        assert ask_json(sink, "/api/state")["record"]["source"].endswith("ro.png")

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

"""The interface against its own description, by Schemathesis (schemathesis.io) where that is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.sinks.web import WebSettings, WebSink
from tests.edge_runtime.sinks.webtools import ask, record_of

pytest.importorskip("h11", reason="needs the extra `web`")

ROOT = Path(__file__).parents[3]
TOKEN = "0123456789abcdef"
ENDLESS = ("/view.mjpeg", "/api/events")
"""Answers without an end, which Schemathesis would wait for; `test_web_stream.py` reads them."""


@pytest.fixture(params=["", TOKEN], ids=["open", "token"])
def sink(request: pytest.FixtureRequest) -> Iterator[WebSink]:
    sink = WebSink("127.0.0.1:0", WebSettings(token=request.param, detector="edge", healthy_within_s=3600))
    sink.write(record_of(1, "happy", "sad"))
    yield sink
    sink.close()


def test_every_address_is_described(sink: WebSink) -> None:
    status, _, body = ask(sink, "/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"})
    assert status == 200
    described = json.loads(body)
    assert set(described["paths"]) >= {"/api/predict", "/api/state", "/healthz", *ENDLESS}
    assert bool(described.get("security")) == (ask(sink, "/api/state")[0] == 401)


@pytest.mark.slow
def test_it_does_what_its_description_says(sink: WebSink, tmp_path: Path) -> None:
    program = shutil.which("schemathesis")
    if program is None:
        pytest.skip("needs schemathesis on the PATH (uv tool install schemathesis)")
    command = [program, "run", f"http://127.0.0.1:{sink.port}/openapi.json", "--checks", "all"]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--continue-on-failure"]
    command += [word for path in ENDLESS for word in ("--exclude-path", path)]
    command += ["--max-examples", os.environ.get("EDGE_FER_EXAMPLES", "10"), "--request-timeout", "60"]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.edge_runtime.sinks.uploads", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, check=False
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No issues found" in ended.stdout

"""The page in a real headless Chromium, driven through its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import pytest

from edge_runtime.preprocess import UInt8Array
from edge_runtime.sinks.web import WebSettings, WebSink
from tests.edge_runtime.sinks.webtools import TIMEOUT_S, Player

pytest.importorskip("h11", reason="needs the extra `web`")

SCREENSHOTS = "EDGE_FER_SCREENSHOTS"
"""Folder that takes pictures of the page, for whoever wants to look at it."""


class Chromium:
    """A headless Chromium; commands of its DevTools protocol go through two pipes."""

    def __init__(self, folder: Path, width: int = 800, height: int = 480) -> None:
        names = ("chromium", "chromium-browser", "google-chrome", "chrome")
        program = next((found for found in map(shutil.which, names) if found), None)
        if program is None:
            pytest.skip("no Chromium on this machine")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
            "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
            "--no-proxy-server",
            f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        # The browser reads from descriptor 3 and writes to 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(to_browser, from_browser),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.messages: list[dict[str, Any]] = []
        self._target = ""

    def open_tab(self) -> None:
        """A new tab; what the one before reported is forgotten."""
        self.close_tab()
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self.messages.clear()
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def close_tab(self) -> None:
        self._session = None
        if self._target:
            self.call("Target.closeTarget", targetId=self._target)
            self._target = ""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._keep(answer)

    def _keep(self, message: dict[str, Any]) -> None:
        # A closed tab may still report that its sink has gone.
        if message.get("sessionId") == self._session:
            self.messages.append(message)

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def go(self, url: str) -> None:
        """Open `url`, and wait for its document: the command itself returns when the first bytes arrive."""
        opened = self.call("Page.navigate", url=url)
        deadline = time.monotonic() + TIMEOUT_S
        while not any(is_parsed(message, opened["loaderId"]) for message in self.messages):
            self._keep(self._read(deadline))

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        return str(self.ask(f"document.querySelector({selector!r})?.textContent.trim() ?? ''"))

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def screen(self, width: int, height: int, *, dark: bool = False, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, name: str, *, whole: bool = False) -> None:
        if not os.environ.get(SCREENSHOTS):
            return
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        (Path(os.environ[SCREENSHOTS]) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the console would show in red, exceptions and blocked content included."""
        found = []
        for message in self.messages:
            parameters = message.get("params", {})
            if message.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"]))
            elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] != "verbose":
                found.append(json.dumps(parameters["entry"]))
            elif message.get("method") == "Runtime.consoleAPICalled":
                found.append(json.dumps(parameters))
        return found

    def hosts(self) -> set[str]:
        """Where the page's requests went."""
        urls = [
            message["params"]["request"]["url"]
            for message in self.messages
            if message.get("method") == "Network.requestWillBeSent"
        ]
        return {
            urlsplit(url).netloc for url in urls if urlsplit(url).scheme not in ("blob", "data", "about")
        }

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)


def is_parsed(message: dict[str, Any], loader: str) -> bool:
    """Whether Chromium says that the document of that navigation is there as a whole."""
    if message.get("method") != "Page.lifecycleEvent":
        return False
    event = message["params"]
    return bool(event["loaderId"] == loader and event["name"] == "DOMContentLoaded")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    chromium.open_tab()
    yield chromium
    chromium.close_tab()


@pytest.fixture
def outer_host() -> str:
    """An address of this machine that is not loopback, which browsers trust less."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Has the system choose the address for a way out; nothing is sent.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.fixture
def sink() -> Iterator[WebSink]:
    sink = WebSink("127.0.0.1:0")
    yield sink
    sink.close()


def address(sink: WebSink) -> str:
    return f"http://127.0.0.1:{sink.port}/"


def test_the_page_shows_what_is_seen(browser: Chromium, sink: WebSink) -> None:
    player = Player(sink)
    browser.screen(800, 480)
    browser.go(address(sink))
    player.until(lambda: browser.text("#emotion") == "nobody")
    player.until(lambda: browser.text("#emotion") == "happy", "happy")
    assert browser.text("#confidence") == "88 %"
    assert browser.text(".bar.best .label") == "happy"
    player.until(lambda: browser.text("#emotion") == "sad", "sad", "neutral")
    assert "neutral 88 %" in browser.text("#others")
    player.until(lambda: browser.text("#status") == "live", "sad")

    # The chart gets a point for each second in which somebody was seen.
    points = "Number(document.querySelector('#chart').dataset.points)"
    before = int(browser.ask(points))
    player.until(lambda: browser.ask(points) >= before + 2, "happy")
    assert "happy" in browser.ask("document.querySelector('#chart').getAttribute('aria-label')")
    drawn = "document.querySelector('#chart').toDataURL()"
    strip = browser.ask(drawn)
    player.until(lambda: browser.ask(drawn) != strip, "angry")

    # The live view is a picture of the frame's size that changes.
    wide = "document.querySelector('#view').naturalWidth"
    player.until(lambda: browser.ask(wide) == 640, "happy")
    encoded = sink._view.encoded
    player.until(lambda: sink._view.encoded > encoded + 2, "happy")

    assert browser.text("#stages tr:nth-child(2) td") == "4.10"
    assert browser.text("#backend") == "litert 2.3 threads=1"
    player.until(lambda: browser.text("#emotion") == "nobody")
    assert browser.complaints() == []
    assert browser.hosts() == {f"127.0.0.1:{sink.port}"}


def test_nothing_is_encoded_when_nobody_looks(browser: Chromium, sink: WebSink) -> None:
    player = Player(sink)
    browser.go(address(sink))
    player.until(lambda: sink._view.encoded > 2, "happy")
    browser.ask("document.querySelector('#view-toggle').click()")
    player.until(lambda: sink._view.viewers == 0, "happy")
    for _ in range(5):
        player.step("happy")
    encoded = sink._view.encoded
    for _ in range(10):
        player.step("happy")
    assert sink._view.encoded == encoded
    assert not sink.is_looking
    browser.ask("document.querySelector('#view-toggle').click()")
    player.until(lambda: sink._view.encoded > encoded, "happy")
    assert browser.complaints() == []


def test_a_view_that_broke_off_comes_back(
    browser: Chromium, sink: WebSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = Player(sink)
    browser.go(address(sink))
    player.until(lambda: browser.ask("document.querySelector('#view').naturalWidth") == 640, "happy")
    # As for a viewer who was too slow: the stream ends, the page's other connections stay.
    with monkeypatch.context() as broken:
        broken.setattr(sink._view.pictures, "after", None)
        player.until(lambda: browser.text("#view-off") == "no picture" and sink._view.viewers == 0, "happy")
    player.until(lambda: sink._view.viewers == 1, "happy")
    player.until(lambda: not browser.ask("document.querySelector('#view').hidden"), "happy")
    assert browser.text("#status") == "live"


def test_a_picture_of_ones_own(
    browser: Chromium, sink: WebSink, portrait: UInt8Array, tmp_path: Path
) -> None:
    path = tmp_path / "portrait.png"
    cv2.imwrite(str(path), portrait)
    browser.go(address(sink))
    player = Player(sink)
    player.until(lambda: browser.text("#emotion") != "")
    player.until(lambda: browser.text("#status") == "live")
    browser.choose_file("#file", path)
    player.until(lambda: "found" in browser.text("#upload-message"))
    assert browser.text("#upload-message").startswith("one face found, 640")
    assert browser.ask("document.querySelectorAll('#boxes rect').length") == 2
    assert browser.ask("document.querySelectorAll('#found .bar').length") == 7
    # What the machine would refuse for its size is shrunk by the page.
    large = tmp_path / "large.jpg"
    cv2.imwrite(str(large), cv2.resize(portrait, (5000, 3750)))
    browser.choose_file("#file", large)
    player.until(lambda: browser.text("#upload-message").startswith("one face found, 2048"))
    (tmp_path / "no.png").write_bytes(b"this is no picture")
    browser.choose_file("#file", tmp_path / "no.png")
    player.until(lambda: "not a JPEG" in browser.text("#upload-message"))
    assert browser.ask("document.querySelector('#result').hidden")
    # A refused picture is the one thing that the browser reports.
    assert all("status of 422" in text for text in browser.complaints())
    assert browser.hosts() == {f"127.0.0.1:{sink.port}"}


def test_the_login_form_lets_in_who_has_the_token(browser: Chromium) -> None:
    token = "correct horse battery"
    sink = WebSink("127.0.0.1:0", WebSettings(token=token))
    try:
        player = Player(sink)
        browser.go(address(sink))
        player.until(lambda: browser.text("button") == "Show the page")
        fill = "document.querySelector('#token').value = {!r}; document.querySelector('form').submit()"
        browser.ask(fill.format("wrong horse battery"))
        player.until(lambda: browser.text(".error") == "That is not the token.")
        browser.ask(fill.format(token))
        player.until(lambda: browser.text("#emotion") == "happy", "happy")
        assert browser.ask("document.cookie") == ""
        assert all("status of 401" in text for text in browser.complaints())
    finally:
        sink.close()


def test_the_login_form_works_from_other_machines(browser: Chromium, outer_host: str) -> None:
    token = "correct horse battery"
    sink = WebSink(f"{outer_host}:0", WebSettings(token=token))
    try:
        player = Player(sink)
        browser.go(f"http://{outer_host}:{sink.port}/")
        player.until(lambda: browser.text("button") == "Show the page")
        browser.ask(f"document.querySelector('#token').value = {token!r}")
        browser.ask("document.querySelector('form').submit()")
        player.until(lambda: browser.text("#emotion") == "happy", "happy")
    finally:
        sink.close()


def test_it_comes_back_after_a_restart(browser: Chromium) -> None:
    sink = WebSink("127.0.0.1:0")
    player = Player(sink)
    browser.go(address(sink))
    player.until(lambda: browser.text("#emotion") == "happy", "happy")
    port = sink.port
    sink.close()
    player.until(lambda: browser.text("#status") == "no connection", "happy")
    sink = WebSink(f"127.0.0.1:{port}")
    try:
        player = Player(sink)
        player.until(lambda: browser.text("#emotion") == "sad", "sad")
        player.until(lambda: sink._view.encoded > 0, "sad")
    finally:
        sink.close()


@pytest.mark.parametrize(("width", "height"), [(800, 480), (390, 844), (1280, 800)])
def test_nothing_runs_over_the_edge(
    browser: Chromium, sink: WebSink, portrait: UInt8Array, width: int, height: int
) -> None:
    player = Player(sink)
    browser.screen(width, height, dark=width == 1280, mobile=width < 500)
    browser.go(address(sink))
    player.until(
        lambda: browser.text("#status") == "live" and sink._view.encoded > 5, "happy", image=portrait
    )
    assert browser.ask("document.documentElement.scrollWidth") <= width
    bottom = "document.querySelector('#notice').getBoundingClientRect().bottom"
    if (width, height) == (800, 480):
        # The person before the screen sees it all, the notice included, without scrolling.
        assert browser.ask(bottom) <= height
    browser.screenshot(f"page-{width}x{height}", whole=width != 800)

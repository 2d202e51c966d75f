"""What a visitor sends to the web page: bytes through the real protocol and site, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import cache
from pathlib import Path
from typing import Any, cast

from edge_runtime.errors import EdgeFerError
from edge_runtime.sinks.web.access import Access
from edge_runtime.sinks.web.predictor import Predictor
from edge_runtime.sinks.web.state import WatchState
from edge_runtime.sinks.web.view import LiveView
from tests.fuzz import seeds

TOKEN = "0123456789abcdef"
MOST_BYTES, MOST_PIXELS = 20_000, 10_000


class AtOnce(Executor):
    """Works in the caller's thread, so that a case is over when it is over."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except EdgeFerError as error:
            future.set_exception(error)
        return future


class Decoder(Predictor):
    """Reads a picture as the page does; what models do with it is another matter."""

    def __init__(self) -> None:
        super().__init__("", "", "", MOST_PIXELS)

    def find(self, image: Any) -> dict[str, Any]:
        height, width = image.shape[:2]
        return {"width": width, "height": height}


class Wire:
    """A connection's other end: keeps what is sent."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.transport = self

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing is buffered here."""

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def can_write_eof(self) -> bool:
        return False


@cache
def _sites() -> tuple[Any, ...]:
    """One that is open and one that wants a token."""
    from edge_runtime.sinks.web import site

    site.WRONG_TOKEN_PAUSE_S = 0.0
    work = AtOnce()
    return tuple(
        site.Site(
            Access("127.0.0.1", token),
            WatchState(10),
            LiveView(10, cast(Any, work)),
            Decoder(),
            (work, work),
            notice="",
            max_upload_bytes=MOST_BYTES,
            max_pixels=MOST_PIXELS,
        )
        for token in ("", TOKEN)
    )


def answers(data: bytes, *, token: bool) -> bytes:
    """All that is sent back to who sends `data` and goes.

    Raises:
        Exception: whatever the page did not foresee, in the words of its own code.
    """
    from edge_runtime.sinks.web.http import HttpError, Request, Response, _Conversation

    page = _sites()[token]
    unforeseen: list[Exception] = []

    async def handler(request: Request) -> Response:
        try:
            response: Response = await page.answer(request)
        except HttpError:
            raise
        except Exception as error:
            unforeseen.append(error)
            raise
        return response

    async def talk() -> bytes:
        reader, wire = asyncio.StreamReader(), Wire()
        reader.feed_data(data)
        reader.feed_eof()
        await _Conversation(reader, cast(Any, wire), handler, page.refuse).run()
        return bytes(wire.sent)

    sent = asyncio.run(talk())
    if unforeseen:
        raise unforeseen[0]
    return sent


def http(_: Path, data: bytes) -> None:
    sent = answers(data, token=len(data) % 2 == 1)
    assert not sent or sent.startswith(b"HTTP/1.1 ")


@cache
def requests() -> list[bytes]:
    host = b"Host: 127.0.0.1:8080\r\n"
    bearer = f"Authorization: Bearer {TOKEN}\r\n".encode()
    png = seeds.pictures()[1]
    form = f"token={TOKEN}".encode()
    cookie = Access("127.0.0.1", TOKEN).new_cookie(secure=False).partition(";")[0].encode()
    browser = (
        b"Sec-Fetch-Site: same-origin\r\nOrigin: http://127.0.0.1:8080\r\nCookie: a=b; %s\r\n" % cookie
    )
    upload = b"Content-Type: image/png\r\nContent-Length: %d\r\n" % len(png)
    return [
        b"GET / HTTP/1.1\r\n" + host + browser + b'If-None-Match: "x"\r\n\r\n',
        b"GET /api/state?x=1 HTTP/1.1\r\n"
        + host
        + bearer
        + b"\r\nHEAD /metrics HTTP/1.1\r\n"
        + host
        + b"\r\n",
        b"POST /api/predict HTTP/1.1\r\n" + host + bearer + upload + b"\r\n" + png,
        b"POST /api/predict HTTP/1.1\r\n" + host + b"Expect: 100-continue\r\n" + upload + b"\r\n" + png,
        b"POST /login HTTP/1.1\r\n" + host + b"Content-Length: %d\r\n\r\n" % len(form) + form,
        b"POST /api/predict HTTP/1.1\r\n"
        + host
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET /view.mjpeg HTTP/1.0\r\n" + host + bearer + b"\r\n",
        b"GET /api/events HTTP/1.1\r\n" + host + b"Cookie: " + cookie + b"\r\n\r\n",
    ]

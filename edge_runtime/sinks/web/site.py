"""Which address answers what: the page, the live view, the state, predictions."""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from importlib import metadata, resources
from typing import Any
from urllib.parse import parse_qs

from edge_runtime.errors import EdgeFerError, SourceError
from edge_runtime.sinks.web import metrics, openapi
from edge_runtime.sinks.web.access import Access
from edge_runtime.sinks.web.board import Board
from edge_runtime.sinks.web.http import HttpError, Request, Response
from edge_runtime.sinks.web.newest import Newest
from edge_runtime.sinks.web.predictor import Predictor
from edge_runtime.sinks.web.state import WatchState
from edge_runtime.sinks.web.view import LiveView

STATE_EVERY_S = 0.25
"""Between two states that are pushed to the page."""
MAX_WAITING_PREDICTIONS = 4
WRONG_TOKEN_PAUSE_S = 1.0
LOGIN_BYTES = 4096
BOUNDARY = "edge-fer-frame"

NOTICE = (
    "A camera estimates how faces look here (happy, sad, neutral …). No picture is stored, "
    "nobody is identified."
)

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # With `no-referrer` browsers send `Origin: null` with our own login form.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
NO_STORE = ("Cache-Control", "no-store")

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
OPEN_TO_ALL = frozenset({"/healthz", "/login", "/style.css", "/favicon.svg"})
"""What somebody without the token may ask for: nothing of what the camera sees."""

Handler = Callable[[Request], Awaitable[Response]]


class Site:
    """Answers requests; lives in the server's event loop."""

    def __init__(
        self,
        access: Access,
        state: WatchState,
        view: LiveView,
        predictor: Predictor,
        helpers: tuple[Executor, Executor],
        *,
        notice: str,
        max_upload_bytes: int,
        max_pixels: int,
    ) -> None:
        """
        Args:
            helpers: where readings of the board, and predictions, are made.
        """
        self._access = access
        self._state = state
        self._view = view
        self._predictor = predictor
        self._light, self._heavy = helpers
        self._board = Board()
        self._max_upload_bytes = max_upload_bytes
        self._predictions = 0
        self._events: Newest[bytes] = Newest()
        self._listeners = 0
        self._ticker: asyncio.Task[None] | None = None
        self._pages = load_pages({"notice": notice or NOTICE, "max_upload_bytes": str(max_upload_bytes)})
        self._openapi = _json(
            openapi.document(
                metadata.version("edge-fer"), max_upload_bytes, max_pixels, needs_token=access.needs_token
            )
        )
        self._routes: dict[str, dict[str, Handler]] = {
            "/healthz": {"GET": self._healthz},
            "/metrics": {"GET": self._metrics},
            "/openapi.json": {"GET": self._describe},
            "/api/state": {"GET": self._newest},
            "/api/history": {"GET": self._history},
            "/api/events": {"GET": self._push},
            "/api/predict": {"POST": self._predict},
            "/view.mjpeg": {"GET": self._live},
            "/login": {"GET": self._login_page, "POST": self._login},
        }
        for path in self._pages:
            self._routes.setdefault(path, {"GET": self._page})

    async def answer(self, request: Request) -> Response:
        """
        Raises:
            HttpError: the request is refused.
        """
        access = self._access
        if not access.knows_host(request.headers.get("host", "")):
            raise HttpError(421, "this machine is not known by that name; add it to web.allowed_hosts")
        if access.is_from_elsewhere(request.method, request.headers):
            raise HttpError(403, "requests from other sites' pages are refused")
        if request.path not in OPEN_TO_ALL and not access.is_allowed(request.headers):
            if request.path == "/":
                return _secured(Response(303, headers=(("Location", "/login"),)))
            if "authorization" in request.headers:
                await asyncio.sleep(WRONG_TOKEN_PAUSE_S)
            raise HttpError(
                401, "give the token: Authorization: Bearer …", (("WWW-Authenticate", "Bearer"),)
            )
        methods = self._routes.get(request.path)
        if methods is None:
            raise HttpError(404, "no such address")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            raise HttpError(405, "this address takes another method", (("Allow", ", ".join(methods)),))
        return _secured(await handler(request))

    def refuse(self, error: HttpError) -> Response:
        """The response of an error, one line as JSON."""
        return _secured(
            Response(error.status, _json({"error": str(error)}), "application/json", error.headers)
        )

    async def _page(self, request: Request) -> Response:
        content_type, body, tag = self._pages[request.path]
        headers = (("ETag", tag), ("Cache-Control", "no-cache"))
        if request.headers.get("if-none-match") == tag:
            return Response(304, b"", content_type, headers)
        return Response(200, body, content_type, headers)

    async def _login_page(self, request: Request) -> Response:
        content_type, body, _ = self._pages["/login.html"]
        return Response(200, body.replace(b"<!-- refused -->", b""), content_type)

    async def _login(self, request: Request) -> Response:
        body = await request.read_body(LOGIN_BYTES)
        try:
            fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=4)
        except ValueError:
            raise HttpError(400, "the form has fields that it should not have") from None
        given = fields.get("token", [""])[0].strip()
        if self._access.needs_token and not self._access.is_token(given):
            await asyncio.sleep(WRONG_TOKEN_PAUSE_S)
            content_type, page, _ = self._pages["/login.html"]
            refused = b'<p class="error" role="alert">That is not the token.</p>'
            return Response(401, page.replace(b"<!-- refused -->", refused), content_type)
        secure = request.headers.get("x-forwarded-proto", "").lower() == "https"
        cookie = self._access.new_cookie(secure=secure)
        return Response(303, headers=(("Location", "/"), ("Set-Cookie", cookie)))

    async def _healthz(self, request: Request) -> Response:
        if self._state.is_healthy():
            return Response(200, b"ok\n")
        return Response(503, b"no frame was processed lately\n")

    async def _metrics(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        board = await loop.run_in_executor(self._light, self._board.read)
        text = metrics.to_text(
            self._state.totals(), board, self._view.viewers, healthy=self._state.is_healthy()
        )
        return Response(200, text.encode(), metrics.CONTENT_TYPE)

    async def _describe(self, request: Request) -> Response:
        return Response(200, self._openapi, "application/json")

    async def _newest(self, request: Request) -> Response:
        return Response(200, await self._state_json(), "application/json")

    async def _history(self, request: Request) -> Response:
        return Response(200, _json(self._state.history()), "application/json")

    async def _state_json(self) -> bytes:
        loop = asyncio.get_running_loop()
        board = await loop.run_in_executor(self._light, self._board.read)
        document = {**self._state.to_dict(), "board": board.to_dict(), "viewers": self._view.viewers}
        return _json(document)

    async def _push(self, request: Request) -> Response:
        async def states() -> AsyncGenerator[bytes, None]:
            self._listeners += 1
            try:
                if self._ticker is None or self._ticker.done():
                    self._ticker = asyncio.create_task(self._tick())
                yield b"retry: 1000\n\n"
                serial = self._events.serial
                while True:
                    serial, document = await self._events.after(serial)
                    yield b"data: " + document + b"\n\n"
            finally:
                self._listeners -= 1

        return Response(200, content_type="text/event-stream", stream=states())

    async def _tick(self) -> None:
        """One state for all who listen, as long as somebody does."""
        while self._listeners:
            self._events.put(await self._state_json())
            await asyncio.sleep(STATE_EVERY_S)

    async def _live(self, request: Request) -> Response:
        async def pictures() -> AsyncGenerator[bytes, None]:
            with self._view.viewer():
                yield f"--{BOUNDARY}\r\n".encode()
                serial = self._view.pictures.serial
                while True:
                    serial, jpeg = await self._view.pictures.after(serial)
                    # The boundary after a picture, not before the next, has browsers show it at once.
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    yield head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()

        return Response(
            200, content_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}", stream=pictures()
        )

    async def _predict(self, request: Request) -> Response:
        if self._predictions >= MAX_WAITING_PREDICTIONS:
            raise HttpError(429, "too many pictures wait already; try again later", (("Retry-After", "5"),))
        self._predictions += 1
        try:
            data = await request.read_body(self._max_upload_bytes)
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._heavy, self._predictor.predict, data)
        except SourceError as error:
            raise HttpError(422, str(error)) from None
        except EdgeFerError as error:
            raise HttpError(500, str(error)) from None
        finally:
            self._predictions -= 1
        return Response(200, _json(found), "application/json")


def load_pages(values: Mapping[str, str]) -> Mapping[str, tuple[str, bytes, str]]:
    """Content type, bytes and ETag of each static file by its address; pages with `{{…}}` filled in.

    All of them are read here, so that an address never becomes a path.
    """
    found = {}
    for file in (resources.files(__package__) / "pages").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix not in TYPES:
            continue
        body = file.read_bytes()
        if suffix == ".html":
            for name, value in values.items():
                body = body.replace(f"{{{{{name}}}}}".encode(), html.escape(value).encode())
        address = "/" if file.name == "index.html" else f"/{file.name}"
        found[address] = (TYPES[suffix], body, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
    return found


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _secured(response: Response) -> Response:
    cached = any(name == "Cache-Control" for name, _ in response.headers)
    extra = SECURITY_HEADERS if cached else (*SECURITY_HEADERS, NO_STORE)
    return Response(
        response.status,
        response.body,
        response.content_type,
        (*response.headers, *extra),
        response.stream,
    )

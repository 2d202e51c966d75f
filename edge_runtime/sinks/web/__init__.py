"""Sink `web:HOST:PORT`: a page for who stands before the camera and who installs it, and an interface.

Why h11 on asyncio and neither Flask nor http.server:

- Flask with waitress is eight packages of 2.9 MB that add 20 MB to the process's memory, for ten fixed
  addresses and five files; h11 is one of 0.1 MB and comes to 7 MB with asyncio (Python 3.11, x86-64).
- waitress gives each stream a thread, queues what a slow viewer has not taken, and moves long queues and
  long uploads to files: the view would lag, and pictures would touch the disk. Here one thread serves
  everybody, viewers get the newest picture or none, and nothing leaves memory.
- http.server's parser is, by its own documentation, not for production, and a slow visitor holds one of
  its threads. Parsing HTTP is left to h11, which does nothing else and which uvicorn and httpx rest on.

Nothing below this package is imported unless the sink is used.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

from edge_runtime.errors import SinkError
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.web.access import Access, parse_address, read_token
from edge_runtime.sinks.web.predictor import Predictor, step_back
from edge_runtime.sinks.web.state import WatchState
from edge_runtime.sinks.web.view import LiveView
from edge_runtime.sources.base import Frame

log = logging.getLogger(__name__)

CLOSE_WAIT_S = 3.0


@dataclass(frozen=True)
class WebSettings:
    """How the page is served; the keys of the section [web], and what reads uploaded pictures."""

    token_file: str = ""
    token: str = ""
    allowed_hosts: tuple[str, ...] = ()
    notice: str = ""
    view_rate_hz: float = 10.0
    max_upload_mb: float = 8.0
    max_upload_mpx: float = 16.0
    healthy_within_s: float = 10.0
    model: str = "edge-fer-small"
    backend: str = "auto"
    detector: str = "edge"
    flip_average: bool = False
    min_score: float = 0.0


class WebSink:
    """A server in a thread of its own; it never holds up the camera."""

    def __init__(self, address: str, settings: WebSettings | None = None) -> None:
        """Listen and begin to serve.

        Args:
            address: HOST:PORT; port 0 takes a free one, see `port`.

        Raises:
            UsageError, SinkError: as `access_of`, or the address is taken.
        """
        settings = settings or WebSettings()
        host, port, access = access_of(address, settings)
        from edge_runtime.sinks.web.http import HttpServer
        from edge_runtime.sinks.web.site import Site

        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self.description = f"page http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        self._closed = False
        self._state = WatchState(settings.healthy_within_s)
        self._light = ThreadPoolExecutor(1, "web-view", step_back)
        self._heavy = ThreadPoolExecutor(1, "web-predict", step_back)
        self._view = LiveView(settings.view_rate_hz, self._light)
        max_pixels = round(settings.max_upload_mpx * 1e6)
        predictor = Predictor(
            settings.model,
            settings.backend,
            settings.detector,
            max_pixels,
            flip_average=settings.flip_average,
            min_score=settings.min_score,
        )
        site = Site(
            access,
            self._state,
            self._view,
            predictor,
            (self._light, self._heavy),
            notice=settings.notice,
            max_upload_bytes=round(settings.max_upload_mb * 1e6),
            max_pixels=max_pixels,
        )
        self._server = HttpServer(site.answer, site.refuse)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()

    @property
    def is_looking(self) -> bool:
        """Whether the next frame's picture is wanted."""
        return self._view.is_looking

    def look(self, frame: Frame, record: FrameRecord) -> None:
        """Have the frame shown to those who look."""
        self._view.look(frame, record)

    def write(self, record: FrameRecord) -> None:
        """Keep the newest record; does not raise."""
        self._state.add(record)

    def close(self) -> None:
        """End all connections and give the port back; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSE_WAIT_S)
        self._listener.close()
        self._light.shutdown(wait=False, cancel_futures=True)
        self._heavy.shutdown(wait=False, cancel_futures=True)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._server.run(self._listener, self._stop))
        except Exception:
            log.exception("the web page's server has ended")
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


def access_of(address: str, settings: WebSettings) -> tuple[str, int, Access]:
    """Where to listen and who may see the page, before anybody listens.

    Raises:
        UsageError: a malformed address, or one that other machines reach and no token.
        SinkError: h11 is not installed, or the token cannot be read.
    """
    if find_spec("h11") is None:
        raise SinkError("sink 'web' needs h11. Install: pip install 'edge-fer[web]'")
    host, port = parse_address(address)
    return host, port, Access(host, read_token(settings.token, settings.token_file), settings.allowed_hosts)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SinkError(f"web:{host}:{port}: no such address ({error.strerror or error})") from None
    try:
        # A restart must not wait for the system to forget the connections before.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SinkError(
            f"web:{host}:{port}: cannot listen there ({error.strerror}); give another port, "
            "or stop the program that has it"
        ) from None
    return listener

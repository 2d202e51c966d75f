"""HTTP/1.1 for a handful of visitors: h11 reads and writes the protocol, asyncio the sockets.

One thread serves everybody, so a slow visitor costs a socket and no thread. Every step has a time limit,
every size a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import h11

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 96
"""In all; further ones are closed at once. Twenty visitors keep three each."""
MAX_PER_ADDRESS = 48
"""Of one other machine."""
MAX_HEAD_BYTES = 16 << 10
HEAD_S = 8.0
"""From the connection's start, or the response before, to the end of the request's head."""
BODY_S = 30.0
"""For a whole upload."""
WRITE_S = 10.0
"""For a response, or for one picture of a stream; who takes longer is gone."""
LINGER_S = 1.0
READ_BYTES = 32 << 10
SEND_BUFFER_BYTES = 256 << 10
"""The kernel's, per connection: what a stream may be behind."""


class HttpError(Exception):
    """Ends a request with a status and one line."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True)
class Response:
    """What is sent back; a `stream` is sent part by part until it ends or the visitor leaves."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    stream: AsyncGenerator[bytes, None] | None = None


@dataclass(frozen=True)
class Request:
    """A request's head, and a way to its body."""

    method: str
    path: str
    """As it was sent, without what follows a question mark."""
    headers: Mapping[str, str]
    """Names in small letters; the last of several."""
    read_body: Callable[[int], Awaitable[bytes]] = field(repr=False)
    """Called with the most bytes that are taken; raises HttpError before reading where it is more."""


Handler = Callable[[Request], Awaitable[Response]]
Refused = Callable[[HttpError], Response]


class HttpServer:
    """Serves `handler` on a listening socket."""

    def __init__(self, handler: Handler, refused: Refused) -> None:
        """
        Args:
            handler: answers a request, or raises HttpError.
            refused: makes the response of an error.
        """
        self._handler = handler
        self._refused = refused
        self._open = 0
        self._by_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        server = await asyncio.start_server(self._connected, sock=listener, limit=READ_BYTES)
        try:
            await stop.wait()
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        near = address.startswith("127.") or address == "::1"
        if self._open >= MAX_CONNECTIONS or (not near and self._by_address[address] >= MAX_PER_ADDRESS):
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open += 1
        self._by_address[address] += 1
        try:
            await _Conversation(reader, writer, self._handler, self._refused).run()
        except (TimeoutError, OSError, h11.LocalProtocolError):
            # Too slow, or gone: nobody is left to be told.
            pass
        except asyncio.CancelledError:
            # The server stops; asyncio's own callback would log the cancellation.
            pass
        except Exception:
            log.exception("the web page's server met an error of its own")
        finally:
            self._tasks.discard(task)
            self._open -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            writer.transport.abort()


class _Conversation:
    """One connection: requests one after the other."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        refused: Refused,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._refused = refused
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        # drain() returns when the kernel has taken everything: that is what paces the streams.
        writer.transport.set_write_buffer_limits(high=0)

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(HEAD_S):
                    event = await self._next()
            except h11.RemoteProtocolError as error:
                if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    refusal = HttpError(error.error_status_hint, "not a request of HTTP/1.1")
                    await self._send(self._refused(refusal), "GET")
                    await self._linger()
                return
            if not isinstance(event, h11.Request):
                return
            method = event.method.decode("ascii")
            try:
                response = await self._handler(self._request(event))
            except HttpError as error:
                response = self._refused(error)
            except OSError:
                raise
            except Exception:
                log.exception("the web page met an error of its own at %s", event.target.decode("latin-1"))
                response = self._refused(HttpError(500, "an error of edge-fer's own; its log says more"))
            self._settle()
            await self._send(response, method)
            if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
                await self._linger()
                return
            self._protocol.start_next_cycle()

    async def _next(self) -> h11.Event | type[h11.PAUSED] | type[h11.NEED_DATA]:
        while True:
            event = self._protocol.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._protocol.they_are_waiting_for_100_continue:
                await self._write(
                    self._protocol.send(h11.InformationalResponse(status_code=100, headers=[]))
                )
            self._protocol.receive_data(await self._reader.read(READ_BYTES))

    def _request(self, event: h11.Request) -> Request:
        path = event.target.decode("ascii", "replace").partition("?")[0]
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        return Request(event.method.decode("ascii"), path, headers, self._body_reader(headers))

    def _body_reader(self, headers: Mapping[str, str]) -> Callable[[int], Awaitable[bytes]]:
        async def read(most: int) -> bytes:
            length = headers.get("content-length")
            if length is None or not length.isdigit():
                raise HttpError(411, "say how long the body is: Content-Length")
            if int(length) > most:
                raise HttpError(413, f"more than the {most / 1e6:g} MB allowed; give a smaller picture")
            parts = bytearray()
            try:
                async with asyncio.timeout(BODY_S):
                    while True:
                        event = await self._next()
                        if isinstance(event, h11.EndOfMessage):
                            return bytes(parts)
                        if not isinstance(event, h11.Data):
                            raise HttpError(400, "the body ended early")
                        parts += event.data
            except h11.RemoteProtocolError:
                raise HttpError(400, "the body ended early") from None
            except TimeoutError:
                raise HttpError(408, "the body came too slowly") from None

        return read

    async def _send(self, response: Response, method: str) -> None:
        headers = [("Content-Type", response.content_type), *response.headers]
        whole = response.stream is None
        if whole:
            headers.append(("Content-Length", str(len(response.body))))
        if not whole or self._protocol.their_state is not h11.DONE:
            headers.append(("Connection", "close"))
        head = self._protocol.send(
            h11.Response(
                status_code=response.status, reason=HTTPStatus(response.status).phrase, headers=headers
            )
        )
        if whole:
            body = b"" if method == "HEAD" else self._protocol.send(h11.Data(data=response.body))
            await self._write(
                (head or b"") + (body or b"") + (self._protocol.send(h11.EndOfMessage()) or b"")
            )
            return
        assert response.stream is not None
        await self._write(head)
        if method != "HEAD":
            await self._stream(response.stream)

    async def _stream(self, parts: AsyncGenerator[bytes, None]) -> None:
        """Send parts until the source ends or the visitor leaves, whichever comes first."""
        gone = asyncio.ensure_future(self._reader.read(1))
        part = asyncio.ensure_future(anext(parts))
        try:
            while True:
                await asyncio.wait((gone, part), return_when=asyncio.FIRST_COMPLETED)
                if gone.done() or part.exception() is not None:
                    return
                await self._write(self._protocol.send(h11.Data(data=part.result())))
                part = asyncio.ensure_future(anext(parts))
        finally:
            gone.cancel()
            part.cancel()
            await asyncio.gather(gone, part, return_exceptions=True)
            await parts.aclose()

    async def _write(self, data: bytes | None) -> None:
        async with asyncio.timeout(WRITE_S):
            self._writer.write(data or b"")
            await self._writer.drain()

    def _settle(self) -> None:
        """Take in what has come of a body that nobody read; its end, mostly."""
        with contextlib.suppress(h11.RemoteProtocolError):
            while self._protocol.their_state is h11.SEND_BODY:
                if self._protocol.next_event() is h11.NEED_DATA:
                    return

    async def _linger(self) -> None:
        """Let the visitor read the answer before what it still sends is met by a reset."""
        with contextlib.suppress(OSError, TimeoutError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(LINGER_S):
                while await self._reader.read(READ_BYTES):
                    pass

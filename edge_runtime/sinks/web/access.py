"""Who may see the page: token, cookie, host names and where a request comes from.

Standard library alone. Three different attackers are kept apart: somebody on the network (token), another
web page in the visitor's browser (Sec-Fetch-Site and Origin), and a name that an attacker's DNS server
points at this machine (Host).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.numbers import whole_number

TOKEN_VARIABLE = "EDGE_FER_WEB_TOKEN"
COOKIE = "edge_fer_session"
MIN_TOKEN_CHARACTERS = 16
SESSION_S = 30 * 24 * 3600


def parse_address(address: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`, `[IPV6]:PORT` or `HOST`; the port is 8080 where none is given.

    Raises:
        UsageError: malformed.
    """
    host, port = address, ""
    if address.startswith("["):
        matched = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::(\d+))?", address)
        host, port = (matched[1], matched[2] or "") if matched else ("", "")
    elif ":" in address:
        host, _, port = address.rpartition(":")
    number = whole_number(port or "8080")
    if not host or number is None or number > 65535:
        raise UsageError(f"web:{address}: give web:HOST:PORT, e.g. web:127.0.0.1:8080")
    return host, number


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(token: str, token_file: str, environment: Mapping[str, str] = os.environ) -> str:
    """The token of the file, the configuration or the environment, in this order; empty: none.

    Raises:
        SinkError: the file cannot be read.
        UsageError: too short, or with characters that no header can carry.
    """
    if token_file:
        try:
            lines = Path(token_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SinkError(f"{token_file}: cannot read the web token ({error})") from None
        found = lines[0].strip() if lines else ""
        if not found:
            raise UsageError(f"{token_file}: no token in its first line; write one: openssl rand -hex 24")
    else:
        found = token or environment.get(TOKEN_VARIABLE, "")
    if found and (len(found) < MIN_TOKEN_CHARACTERS or not found.isascii() or not found.isprintable()):
        raise UsageError(
            f"the web token must be at least {MIN_TOKEN_CHARACTERS} ASCII characters; "
            "make one: openssl rand -hex 24"
        )
    return found


class Access:
    """Decides about requests by their headers alone."""

    def __init__(
        self,
        host: str,
        token: str,
        allowed_hosts: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            host: address that is listened on.
            token: what visitors must give; empty lets everybody in, on loopback alone.
            allowed_hosts: further names that requests may ask for.
            clock: seconds since 1970.

        Raises:
            UsageError: reachable from elsewhere and no token.
        """
        self._loopback = is_loopback(host)
        if not self._loopback and not token:
            raise UsageError(
                f"web:{host} can be reached from other machines and needs a token: set web.token_file or "
                f"{TOKEN_VARIABLE}, or listen on 127.0.0.1"
            )
        self._token = token.encode()
        self._clock = clock
        names = {"localhost", host.lower(), *(name.lower() for name in allowed_hosts)}
        if not self._loopback:
            own = socket.gethostname().lower()
            names |= {own, f"{own}.local"}
        self._names = names

    @property
    def needs_token(self) -> bool:
        return bool(self._token)

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this machine.

        An address is no name that somebody else's DNS server could have answered for, so addresses are
        let through: any where other machines may come, those of loopback otherwise.
        """
        name = _without_port(header).lower().rstrip(".")
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback

    def is_from_elsewhere(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether another site's page sent the request: its pictures, forms and scripts are refused.

        Browsers say so in Sec-Fetch-Site, older ones in Origin for whatever changes something. A link from
        elsewhere to a page is no harm.
        """
        site = headers.get("sec-fetch-site")
        if site is not None:
            if site in ("same-origin", "none"):
                return False
            return method != "GET" or headers.get("sec-fetch-mode") != "navigate"
        origin = headers.get("origin")
        if origin is None:
            return False
        return origin.partition("://")[2].lower() != headers.get("host", "").lower()

    def is_token(self, given: str) -> bool:
        """Compare in a time that does not depend on where they differ."""
        return hmac.compare_digest(given.encode(errors="replace"), self._token)

    def is_allowed(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the token or a session's cookie, or none is needed."""
        if not self._token:
            return True
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(credentials.strip()):
            return True
        return any(map(self._is_session, _sessions(headers)))

    def new_cookie(self, *, secure: bool) -> str:
        """A Set-Cookie header for somebody who has given the token.

        The cookie says until when it is good, signed with the token: nothing is kept, sessions outlive a
        restart, and a new token ends them all.
        """
        until = str(int(self._clock()) + SESSION_S)
        tail = "; Secure" if secure else ""
        value = f"{until}.{self._signature(until)}"
        return f"{COOKIE}={value}; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict{tail}"

    def _is_session(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._signature(until).encode()):
            return False
        return int(until) > self._clock()

    def _signature(self, until: str) -> str:
        message = f"edge-fer session {until}".encode(errors="replace")
        return hmac.new(self._token, message, hashlib.sha256).hexdigest()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _sessions(headers: Mapping[str, str]) -> Iterator[str]:
    """The values under our cookie's name.

    All ports of a host share their cookies, so those of other services stand beside ours, in any form.
    """
    for cookie in headers.get("cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == COOKIE:
            yield value

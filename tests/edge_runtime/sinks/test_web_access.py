"""Who is let in: tokens, sessions, host names, other sites' pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.web import WebSettings, WebSink
from edge_runtime.sinks.web.access import SESSION_S, TOKEN_VARIABLE, Access, parse_address, read_token
from tests.edge_runtime.sinks.webtools import ask, record_of

pytest.importorskip("h11", reason="needs the extra `web`")

TOKEN = "0123456789abcdef-of-a-kiosk"


@pytest.fixture
def guarded() -> Iterator[WebSink]:
    """Reachable from elsewhere, so with a token; asked here through loopback all the same."""
    sink = WebSink("0.0.0.0:0", WebSettings(token=TOKEN))
    sink.write(record_of(1, "happy"))
    yield sink
    sink.close()


def test_other_machines_need_a_token() -> None:
    for address in ("0.0.0.0:0", "[::]:0", "192.168.1.5:0"):
        with pytest.raises(UsageError, match="needs a token"):
            open_sink(f"web:{address}")


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\nsecond line\n")
    environment = {TOKEN_VARIABLE: "from-the-environment"}
    assert read_token("", str(path), environment) == TOKEN
    assert read_token("from-the-configuration", "", environment) == "from-the-configuration"
    assert read_token("", "", environment) == "from-the-environment"
    assert read_token("", "", {}) == ""


def test_tokens_that_protect_nothing_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(UsageError, match="no token in its first line"):
        read_token("", str(empty), {})
    with pytest.raises(SinkError, match="cannot read the web token"):
        read_token("", str(tmp_path / "none"), {})
    for token in ("short", "a" * 15, "ümlaut" * 5, "with\nnewline-and-more"):
        with pytest.raises(UsageError, match="at least 16 ASCII characters"):
            read_token(token, "", {})


def test_nothing_seen_is_shown_without_the_token(guarded: WebSink) -> None:
    for path in ("/api/state", "/api/history", "/metrics", "/view.mjpeg", "/api/events", "/openapi.json"):
        status, headers, body = ask(guarded, path)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert b"happy" not in body
    assert ask(guarded, "/api/predict", "POST", b"x")[0] == 401
    status, headers, _ = ask(guarded, "/")
    assert (status, headers["location"]) == (303, "/login")
    assert ask(guarded, "/login")[0] == 200
    assert ask(guarded, "/healthz")[2] == b"ok\n"


def test_bearer(guarded: WebSink) -> None:
    assert ask(guarded, "/api/state", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert ask(guarded, "/api/state", headers={"authorization": f"bearer {TOKEN}"})[0] == 200
    for given in (
        f"Bearer {TOKEN[:-1]}",
        "Bearer",
        "Basic x",
        f"Bearer {TOKEN}é".encode().decode("latin-1"),
    ):
        assert ask(guarded, "/api/state", headers={"Authorization": given})[0] == 401


def test_the_login_form_sets_a_cookie_that_scripts_cannot_read(guarded: WebSink) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, body = ask(guarded, "/login", "POST", b"token=wrong", form)
    assert status == 401
    assert "set-cookie" not in headers
    assert b"That is not the token" in body
    status, headers, _ = ask(guarded, "/login", "POST", f"token={TOKEN}".encode(), form)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "; HttpOnly" in cookie
    assert "; SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    value = cookie.partition(";")[0]
    assert ask(guarded, "/api/state", headers={"Cookie": f"theme=dark; {value}"})[0] == 200
    assert ask(guarded, "/", headers={"Cookie": value})[0] == 200
    for forged in (
        value[:-1],
        value.replace("=1", "=2", 1).replace("=2", "=9", 1),
        "edge_fer_session=",
        "x;;=,",
    ):
        assert ask(guarded, "/api/state", headers={"Cookie": forged})[0] == 401
    _, headers, _ = ask(
        guarded, "/login", "POST", f"token={TOKEN}".encode(), {**form, "X-Forwarded-Proto": "https"}
    )
    assert headers["set-cookie"].endswith("; Secure")
    assert ask(guarded, "/login", "POST", b"token=" + b"x" * 5000, form)[0] == 413
    assert ask(guarded, "/login", "POST", b"a=1&" * 100, form)[0] == 400


@pytest.mark.parametrize(
    "others",
    ['prefs={"a":1}; {}', "n=a b; {}", "{}; caf\xe9=1", "=; flag;{}", "edge_fer_session=1.another; {}"],
)
def test_cookies_of_other_services_leave_the_session_alone(guarded: WebSink, others: str) -> None:
    session = Access("0.0.0.0", TOKEN).new_cookie(secure=False).partition(";")[0]
    cookie = others.replace("{}", session)
    assert ask(guarded, "/api/state", headers={"Cookie": cookie})[0] == 200
    assert ask(guarded, "/api/state", headers={"Cookie": cookie.replace(session, "x=1")})[0] == 401


def test_sessions_end_with_their_time_and_with_the_token() -> None:
    now = [1_800_000_000.0]
    access = Access("0.0.0.0", TOKEN, clock=lambda: now[0])
    headers = {"cookie": access.new_cookie(secure=False).partition(";")[0]}
    assert access.is_allowed(headers)
    assert Access("0.0.0.0", TOKEN, clock=lambda: now[0]).is_allowed(headers)
    assert not Access("0.0.0.0", TOKEN + "!", clock=lambda: now[0]).is_allowed(headers)
    now[0] += SESSION_S + 1
    assert not access.is_allowed(headers)


@pytest.mark.parametrize(
    ("host", "allowed", "header", "known"),
    [
        ("127.0.0.1", (), "127.0.0.1:8080", True),
        ("127.0.0.1", (), "localhost:8080", True),
        ("127.0.0.1", (), "LOCALHOST", True),
        ("::1", (), "[::1]:8080", True),
        ("127.0.0.1", (), "evil.example", False),
        ("127.0.0.1", (), "127.0.0.1.evil.example", False),
        ("127.0.0.1", (), "192.168.1.5", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", ("kiosk.example",), "Kiosk.example:443", True),
        ("0.0.0.0", (), "192.168.1.5:8080", True),
        ("0.0.0.0", (), "[fe80::1]:8080", True),
        ("0.0.0.0", (), "evil.example:8080", False),
    ],
)
def test_host_headers(host: str, allowed: tuple[str, ...], header: str, known: bool) -> None:
    assert Access(host, TOKEN, allowed).knows_host(header) is known


def test_a_name_that_was_pointed_here_is_refused(guarded: WebSink) -> None:
    headers = {"Host": "rebound.example", "Authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, "/api/state", headers=headers)[0] == 421
    assert ask(guarded, "/healthz", headers=headers)[0] == 421


@pytest.mark.parametrize(
    ("method", "headers", "elsewhere"),
    [
        ("POST", {"sec-fetch-site": "same-origin"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, False),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, True),
        ("POST", {"origin": "http://evil.example", "host": "localhost:8080"}, True),
        ("POST", {"origin": "null", "host": "localhost:8080"}, True),
        ("POST", {"origin": "http://localhost:9090", "host": "localhost:8080"}, True),
        ("POST", {"origin": "http://localhost:8080", "host": "localhost:8080"}, False),
        ("POST", {"host": "localhost:8080"}, False),
    ],
)
def test_other_sites_pages(method: str, headers: dict[str, str], elsewhere: bool) -> None:
    assert Access("127.0.0.1", "").is_from_elsewhere(method, headers) is elsewhere


def test_browsers_are_told_to_say_where_the_login_form_comes_from(guarded: WebSink) -> None:
    """Where they keep it to themselves they send the Origin `null`, as somebody else's sandbox does."""
    for path in ("/login", "/"):
        assert ask(guarded, path)[1]["referrer-policy"] == "same-origin"


def test_other_sites_posts_do_not_get_through(guarded: WebSink) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}
    assert ask(guarded, "/api/predict", "POST", b"x", headers)[0] == 403
    assert (
        ask(guarded, "/login", "POST", f"token={TOKEN}".encode(), {"Sec-Fetch-Site": "cross-site"})[0]
        == 403
    )


def test_addresses() -> None:
    assert parse_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert parse_address("localhost") == ("localhost", 8080)
    assert parse_address("[::1]:81") == ("::1", 81)
    assert parse_address("[::1]") == ("::1", 8080)

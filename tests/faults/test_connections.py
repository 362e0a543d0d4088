"""Connections that are slow, endless, many, or lie about where they come from, against a real socket."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from gateway.serving.server import bind, server_config
from gateway.settings import Settings, load_settings

QUICK = {"header_timeout_seconds": 0.4, "body_timeout_seconds": 0.4, "idle_timeout_seconds": 0.4}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Tells who called; `/read` reads the whole body first, `/large` answers with a lot."""
    if scope["type"] != "http":
        return
    taken = 0
    more = scope["path"] == "/read"
    while more:
        message = await receive()
        taken += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(1.0)
    said = {"client": (scope["client"] or ("",))[0], "scheme": scope["scheme"], "taken": taken}
    said["headers"] = [name.decode() for name, _ in scope["headers"]]
    body = b"x" * 50_000_000 if scope["path"] == "/large" else json.dumps(said).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(**changes: Any) -> Iterator[tuple[str, int]]:
    """Our server around `app`, on a free port."""
    settings = load_settings(None, changes, environ={})
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(server_config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(10)
    listening.close()


def spoken(address: tuple[str, int], *pieces: bytes, timeout: float = 5) -> bytes:
    """What comes back until the server closes; b"?" at the end if it does not."""
    with socket.create_connection(address, timeout) as connection:
        got = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
        try:
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            pass
        except TimeoutError:
            got += b"?"
        return got


CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


# case S10
@pytest.mark.parametrize(
    ("piece", "status"),
    [
        (b"", b""),
        (b"GET / HT", b"408"),
        (HEAD + b"X-Slow: ", b"408"),
        (b"\r\n\r\n", b"408"),
        (b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", b"408"),
        (b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", b"408"),
        (HEAD + b"\r\n", b"200"),
        (HEAD + b"\r\n" + HEAD, b"200"),
        (HEAD + b"Content-Length: 10\r\n\r\nabc", b"200"),
        (HEAD + b"\r\n\r\n", b"200"),
    ],
    ids=range(10),
)
def test_whoever_says_nothing_more_is_not_waited_for(piece: bytes, status: bytes) -> None:
    with serving(intake={**QUICK, "body_timeout_seconds": 0.1}) as address:
        began = time.monotonic()
        got = spoken(address, piece, timeout=15)
        assert not got.endswith(b"?"), got
        assert got[9:12] == status
        assert time.monotonic() - began < 14


# case S10
def test_half_requests_do_not_stay_open() -> None:
    with serving(intake=QUICK) as address:
        half = [socket.create_connection(address, 5) for _ in range(100)]
        for each in half:
            each.sendall(b"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-")
        assert all(each.recv(100)[9:12] == b"408" for each in half)
        assert all(each.recv(1000) == b"" for each in half)


# case S10
def test_a_header_that_drips_has_one_time_for_all_of_it() -> None:
    with serving(intake=QUICK) as address, socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD)
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100:
                connection.sendall(b"a")
                time.sleep(0.05)
                sent += 1
        assert sent < 60


# case S10
@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"X-A: ", *[b"a" * 65536] * 400],
        [b"GET /", *[b"a" * 65536] * 400],
        [HEAD, *[b"X-A: b\r\n" * 8000] * 400],
        [b"\r\n" * 30_000] * 400,
        [HEAD + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n"],
        [b"GET /?" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
    ],
    ids=["a header", "an address", "headers", "empty lines", "a whole header", "a whole address"],
)
def test_an_endless_header_is_cut_off(pieces: list[bytes]) -> None:
    with serving() as address:
        got = spoken(address, *pieces)
        assert got[9:12] in (b"431", b""), got  # what is still under way may reset the connection before it is read
        assert not got.endswith(b"?")


def test_an_endless_trailer_is_cut_off_and_is_no_header() -> None:
    chunked = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    with serving(intake=QUICK) as address:
        got = spoken(address, chunked + b"X-Late: 1\r\n\r\n")
        assert got[9:12] == b"200"
        assert b"x-late" not in got
        got = spoken(address, chunked + b"X-Late: 1\r\n" * 10_000)
        assert got[9:12] in (b"431", b"")
        assert not got.endswith(b"?")


def test_a_body_in_crumbs_is_cut_off() -> None:
    with serving() as address:
        crumbs = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 100_000
        assert spoken(address, crumbs)[9:12] in (b"400", b"")
        pieces = b"POST /read HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        got = spoken(address, pieces + (b"400\r\n" + b"a" * 1024 + b"\r\n") * 2000 + b"0\r\n\r\n")
        assert got[9:12] == b"200"
        assert b'"taken": 2048000' in got


def test_requests_that_wait_behind_one_another_are_few() -> None:
    with serving() as address:
        got = spoken(address, (b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") * 5000)
        assert got.count(b"200 OK") <= 1
        got = spoken(address, (HEAD + b"\r\n") * 4 + CLOSE + b"\r\n")
        assert got.count(b"200 OK") == 5


def test_a_body_nobody_reads_is_thrown_away_within_bounds() -> None:
    with serving(max_upload_bytes=100_000) as address:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
        got = spoken(address, head, *[b"a" * 65536] * 1000)
        assert not got.endswith(b"?")
        small = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n" + b"a" * 150_000
        got = spoken(address, small, CLOSE, b"\r\n")
        assert got.count(b"200 OK") == 2


def test_an_answer_nobody_reads_is_given_up() -> None:
    with serving(intake=QUICK) as address, socket.create_connection(address, 5) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2.0)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                got += len(piece)
        assert got < 50_000_000


def test_an_answer_that_takes_longer_than_any_timeout_arrives() -> None:
    with serving(intake=QUICK) as address:
        slow = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert spoken(address, slow)[9:12] == b"200"
        two = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + CLOSE + b"\r\n"
        assert spoken(address, two).count(b"200 OK") == 2


# case S10
def test_one_address_holds_only_so_many_connections() -> None:
    with serving(intake={"connections_per_address": 20}) as address:
        held = [socket.create_connection(address, 5) for _ in range(20)]
        for each in held:
            each.sendall(HEAD)
        assert spoken(address, CLOSE + b"\r\n")[9:12] in (b"503", b"")
        for each in held:
            each.close()
        time.sleep(0.2)
        assert spoken(address, CLOSE + b"\r\n")[9:12] == b"200"


def test_a_trusted_proxy_may_hold_more() -> None:
    with serving(intake={"connections_per_address": 2}, trusted_proxies=["127.0.0.0/8"]) as address:
        held = [socket.create_connection(address, 5) for _ in range(10)]
        assert spoken(address, CLOSE + b"\r\n")[9:12] == b"200"
        for each in held:
            each.close()


# case S13
@pytest.mark.parametrize(
    ("trusted", "client", "scheme"),
    [
        ((), "127.0.0.1", "http"),
        (("10.0.0.0/8",), "127.0.0.1", "http"),
        (("127.0.0.1",), "192.0.2.7", "https"),
        (("127.0.0.0/8", "192.0.2.0/24"), "198.51.100.3", "https"),
    ],
)
def test_a_forwarded_address_counts_only_from_a_named_proxy(
    trusted: tuple[str, ...], client: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own variable
    forwarded = b"X-Forwarded-For: 198.51.100.3, 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\n"
    with serving(trusted_proxies=trusted) as address:
        said = json.loads(spoken(address, CLOSE + forwarded + b"\r\n").partition(b"\r\n\r\n")[2])
    assert (said["client"], said["scheme"]) == (client, scheme)


def test_a_proxy_that_is_no_address_is_refused_at_start() -> None:
    for wrong in ("*", "proxy.example", "10.0.0.1/8"):
        with pytest.raises(ValueError, match="trusted_proxies"):
            Settings(trusted_proxies=(wrong,))

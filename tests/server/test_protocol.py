"""The short way of the machine doors writes what the usual one writes, and leaves to that one what it cannot do."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from tocsin.server.main import configured
from tocsin.server.protocol import Connection, connection_of, lines
from tocsin.server.shell import SECURITY

from .conftest import Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    App = Callable[[Any, Any, Any], Awaitable[None]]

HEAD = b"POST /v1/events HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n%b\r\n"


def in_a_loop(waiting: Coroutine[Any, Any, Any]) -> Any:
    """Run it in a loop of its own, in a thread of its own: a browser test of this process may have left one here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, waiting).result(30)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


def connected(app: App) -> tuple[Connection, Wire]:
    """Return a connection to an app, served as ours is, and its wire; in a running loop."""
    config = configured(cast("Any", app), "127.0.0.1", 0)
    config.load()
    state, wire = ServerState(), Wire()
    state.default_headers = [(b"date", b"today")]
    connection = Connection(config, state, {"mine": 1})
    connection.connection_made(wire)
    return connection, wire


async def turns(n: int = 8) -> None:
    """Let the loop turn."""
    for _ in range(n):
        await asyncio.sleep(0)


def answering(status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, short: bool, said: list[bool]) -> App:
    """Return an app that answers so, the short way or the usual one; what the short way said is kept."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connection = connection_of(scope)
        if short and connection is not None:
            said.append(connection.answer(scope, status, lines(headers), body))
            if said[-1]:
                return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def asked(app: App, *pieces: bytes) -> Wire:
    """Return the wire after these bytes have come."""

    async def run() -> Wire:
        connection, wire = connected(app)
        for piece in pieces:
            connection.data_received(piece)
            await turns()
        return wire

    return in_a_loop(run())


NAMES = st.from_regex(rb"[a-z][a-z0-9-]{0,12}", fullmatch=True).filter(
    lambda name: name not in (b"content-length", b"connection", b"transfer-encoding")
)
VALUES = st.from_regex(rb"[\x20-\x7e]{0,40}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.binary(max_size=200), st.sampled_from([200, 202]))
def test_both_ways_write_the_same_bytes(headers: list[tuple[bytes, bytes]], body: bytes, status: int) -> None:
    """Status line, date, headers in their order, body."""
    headers = [*headers, (b"content-length", b"%d" % len(body)), *SECURITY]
    said: list[bool] = []
    short, usual = (
        asked(answering(status, headers, body, short=way, said=said), HEAD % (2, b"") + b"{}") for way in (True, False)
    )
    assert said == [True]
    assert short.written == usual.written
    assert short.written.endswith(b"\r\n\r\n" + body)


def test_a_connection_is_used_again_and_one_that_ends_is_closed() -> None:
    """The short way keeps a connection open; where the caller ends it the usual one answers and closes."""
    said: list[bool] = []
    app = answering(200, [(b"content-length", b"2")], b"ok", short=True, said=said)
    once = HEAD % (2, b"") + b"{}"
    wire = asked(app, once, once, HEAD % (2, b"connection: close\r\n") + b"{}")
    assert said == [True, True, False]
    assert wire.written.count(b"HTTP/1.1 200 OK") == 3
    assert wire.written.count(b"connection: close") == 1
    assert wire.closed


def test_requests_that_come_together_are_answered_in_their_order() -> None:
    """Each by its own answer, though the connection has read on."""
    said: list[bool] = []
    bodies = iter([b"1", b"2", b"3"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(200, [(b"content-length", b"1")], next(bodies), short=True, said=said)(scope, receive, send)

    wire = asked(app, (HEAD % (2, b"") + b"{}") * 3)
    assert said == [False, False, True]
    assert [answer[-1:] for answer in wire.written.split(b"HTTP/1.1 200 OK")[1:]] == [b"1", b"2", b"3"]


def test_who_reads_slowly_or_is_gone_gets_nothing_the_short_way() -> None:
    """The usual way waits for the one and is silent to the other; nobody is answered twice."""

    async def run() -> None:
        said: list[bool] = []
        app = answering(200, [(b"content-length", b"2")], b"ok", short=True, said=said)
        connection, wire = connected(app)
        connection.data_received(HEAD % (2, b"") + b"{}")
        connection.pause_writing()
        await turns()
        assert said == [False] and wire.written == b""
        connection.resume_writing()
        await turns()
        assert wire.written.endswith(b"\r\n\r\nok")
        answered = cast("Any", connection.scope)
        assert not connection.answer(answered, 200, b"", b"ok")
        connection.data_received(HEAD % (2, b""))
        asked_last = cast("Any", connection.scope)
        connection.connection_lost(None)
        assert not connection.answer(asked_last, 200, b"", b"ok")
        assert connection.body(asked_last) is None
        await turns()
        assert wire.written.count(b"HTTP/1.1") == 1

    in_a_loop(run())


@pytest.mark.parametrize("cut", [0, 1, 7, 15])
def test_a_body_is_there_once_it_is_whole(cut: int) -> None:
    """Until its last byte has come there is none; ``receive`` gives the same afterwards."""
    body = b"0123456789abcdef"
    seen: list[bytes | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connection = connection_of(scope)
        assert connection is not None
        seen.append(connection.body(scope))
        received = b""
        while True:
            message = await receive()
            received += message["body"]
            if not message["more_body"]:
                break
        seen.append(received)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    head = HEAD % (len(body), b"")
    asked(app, head + body)
    assert seen == [body, body]
    seen.clear()
    asked(app, head + body[:cut], body[cut:])
    assert seen == [None, body]


def test_a_connection_that_ended_holds_nothing() -> None:
    """It is freed with its last reference: a server of many short connections needs no collector."""

    async def run() -> weakref.ref[Connection]:
        said: list[bool] = []
        app = answering(200, [(b"content-length", b"2")], b"ok", short=True, said=said)
        connection, _ = connected(app)
        connection.data_received(HEAD % (2, b"") + b"{}")
        await turns()
        assert said == [True]
        connection.connection_lost(None)
        await turns()
        return weakref.ref(connection)

    gc.collect()
    gc.disable()
    try:
        assert in_a_loop(run())() is None
    finally:
        gc.enable()


def test_the_doors_take_requests_one_by_one_and_together(site: Site) -> None:
    """Over a real socket: a body in pieces, two requests in one, a caller who asks first whether to send."""
    host, port = site.url.removeprefix("http://").split(":")
    key = site.key().encode()

    def request(number: int, more: bytes = b"") -> tuple[bytes, bytes]:
        body = b'{"id":"together-%d","source":"t","type":"x.y","data":{}}' % number
        return (
            b"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n%b\r\n" % (key, len(body), more)
        ), body

    with socket.create_connection((host, int(port)), 20) as line:
        first, second = b"".join(request(1)), b"".join(request(2))
        line.sendall(first[:-5])
        line.sendall(first[-5:])
        assert taken(line, 1)
        line.sendall(second + b"".join(request(3)))
        assert taken(line, 2)
        head, body = request(4, b"expect: 100-continue\r\n")
        line.sendall(head)
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(body)
        assert taken(line, 1)


def taken(line: socket.socket, answers: int) -> bool:
    """Return whether so many answers come, each saying that one event was accepted."""
    heard = b""
    while heard.count(b'"accepted":1') < answers:
        piece = line.recv(65536)
        if not piece:
            return False
        heard += piece
    return heard.count(b"HTTP/1.1 202 Accepted\r\n") == heard.count(b"x-content-type-options: nosniff") == answers

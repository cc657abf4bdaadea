"""The short way of the machine doors writes what the usual one writes, and leaves to that one what it cannot do."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tocsin.server.main import configured
from tocsin.server.protocol import Connection, connection_of, lines
from tocsin.server.shell import SECURITY

from .conftest import Site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    App = Callable[[Any, Any, Any], Awaitable[None]]
    P = TypeVar("P", bound=HttpToolsProtocol)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
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
    """Return a connection to an app and its wire; in a running loop."""
    return joined(Connection, app)


def joined(kind: type[P], app: App) -> tuple[P, Wire]:
    """Return a connection of a kind to an app, served as ours is, and its wire; in a running loop."""
    config = configured(cast("Any", app), "127.0.0.1", 0)
    config.load()
    state, wire = ServerState(), Wire()
    state.default_headers = [(b"date", b"today")]
    connection = kind(config, state, {"mine": 1})
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


def asked(app: App, *pieces: bytes, kind: type[HttpToolsProtocol] = Connection) -> Wire:
    """Return the wire after these bytes have come; none come once it is closed."""

    async def run() -> Wire:
        connection, wire = joined(kind, app)
        for piece in pieces:
            if not wire.closed:
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


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
@pytest.mark.parametrize("takes", [True, False])
def test_a_connection_that_ended_holds_nothing(takes: bool, error: Exception | None) -> None:
    """It is freed with its last reference: a server of many short connections needs no collector."""

    async def run() -> weakref.ref[Connection]:
        said: list[bool] = []
        app = answering(200, [(b"content-length", b"2")], b"ok", short=True, said=said)
        taker = Taker(takes=True)
        connection, _ = connected(taker if takes else app)
        connection.data_received(HEAD % (2, b"") + b"{}")
        await turns()
        assert said == [True] or taker.taken
        connection.connection_lost(error)
        await turns()
        return weakref.ref(connection)

    gc.collect()
    gc.disable()
    try:
        assert in_a_loop(run())() is None
    finally:
        gc.enable()


class Taker:
    """An app that takes whole requests, or would: by path it answers at once or by a task, leaves them, or fails."""

    def __init__(self, takes: bool) -> None:
        self.seen: list[bytes] = []
        self.taken = 0
        if takes:
            self.take = self._take

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        connection = connection_of(scope)
        body = None if connection is None else connection.body(scope)
        if body is None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
        await asyncio.sleep(0)
        await self._answer(self._seen(scope, body), scope, receive, send)

    def _seen(self, scope: Any, body: bytes) -> bytes:
        self.seen.append(b"%s %b" % (scope["path"].encode(), body))
        if scope["path"] == "/fails":
            raise ValueError("as it should")
        return self.seen[-1]

    async def _answer(self, body: bytes, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    def _take(self, connection: Connection, cycle: RequestResponseCycle) -> bool:
        if cycle.scope["path"] == "/left" or cycle.scope["method"] == "HEAD":
            return False
        self.taken += 1
        body = self._seen(cycle.scope, bytes(cycle.body))
        asyncio.get_running_loop().call_soon(self._told, connection, cycle, body)
        return True

    def _told(self, connection: Connection, cycle: RequestResponseCycle, body: bytes) -> None:
        head = b"content-length: %d\r\n" % len(body)
        if cycle.scope["path"] == "/task" or not connection.answer(cycle.scope, 200, head, body):
            connection.run(cycle, partial(self._answer, body))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request as callers may write it, rarely a broken one."""
    method = draw(st.sampled_from([b"POST", b"POST", b"POST", b"GET", b"HEAD"]))
    path = draw(st.sampled_from([b"/taken", b"/taken", b"/taken?x=%20", b"/task", b"/left", b"/fails", b"/%74aken"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    more = draw(
        st.lists(
            st.sampled_from(
                [
                    b"connection: close",
                    b"connection: keep-alive",
                    b"Expect: 100-continue",
                    b"connection: upgrade\r\nupgrade: h2c",
                    b"connection: upgrade\r\nupgrade: websocket",
                    b"Accept: */*",
                    b"broken",
                ]
            ),
            max_size=2,
        )
    )
    body = draw(st.binary(max_size=40)) if method == b"POST" else b""
    if body and draw(st.booleans()):
        more.append(b"transfer-encoding: chunked")
        end = draw(st.sampled_from([b"0\r\n\r\n", b"0\r\n\r\n", b"no number\r\n"]))
        body = b"%x\r\n%b\r\n%b" % (len(body), body, end)
    elif body:
        more.append(b"content-length: %d" % len(body))
    return b"%b %b HTTP/%b\r\n%b\r\n\r\n%b" % (method, path, version, b"\r\n".join([b"host: here", *more]), body)


@given(st.data())
def test_what_an_app_takes_is_answered_with_the_bytes_of_uvicorn(data: st.DataObject) -> None:
    """One by one, together or in pieces, whatever version, headers and order: the same bytes, the same end."""
    stream = b"".join(data.draw(st.lists(requests(), min_size=1, max_size=4)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)]) if a < b]
    taking, leaving, other = Taker(takes=True), Taker(takes=False), Taker(takes=False)
    found, usual = asked(taking, *pieces), asked(leaving, *pieces)
    assert (found.written, found.closed, taking.seen) == (usual.written, usual.closed, leaving.seen)
    theirs = asked(other, *pieces, kind=HttpToolsProtocol)
    # Who has sent the body already is not told to: uvicorn would.
    assert found.written.replace(CONTINUE, b"") == theirs.written.replace(CONTINUE, b"")
    assert (found.closed, taking.seen) == (theirs.closed, other.seen)


def test_a_whole_request_is_taken_and_any_other_is_not() -> None:
    """Alone, and with its body; one of several under way, or one in pieces, has a task."""
    app = Taker(takes=True)
    once = (HEAD % (2, b"") + b"{}").replace(b"/v1/events", b"/taken")
    asked(app, once, once)
    assert app.taken == 2
    asked(app, once[:-1], once[-1:])
    assert app.taken == 2
    asked(app, once + once)
    assert (app.taken, len(app.seen)) == (3, 5)


def test_requests_that_are_taken_are_limited_and_end_with_the_server_as_all_are() -> None:
    """A limit of requests under way holds; a server that stops answers what was taken, then the connection ends."""
    once = (HEAD % (2, b"") + b"{}").replace(b"/v1/events", b"/taken")

    async def run() -> None:
        app = Taker(takes=True)
        connection, wire = connected(app)
        connection.data_received(once)
        connection.shutdown()
        assert wire.written == b""
        await turns()
        assert app.taken == 1
        assert wire.closed and wire.written.endswith(b"connection: close\r\n\r\n/taken {}")
        config = configured(cast("Any", app), "127.0.0.1", 0)
        config.limit_concurrency = 1
        config.load()
        limited, wire = Connection(config, ServerState(), {}), Wire()
        limited.connection_made(wire)
        limited.data_received(once)
        await turns()
        assert app.taken == 1 and wire.written.startswith(b"HTTP/1.1 503 ")

    in_a_loop(run())


class Timer:
    """A call that is due."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The loop of a connection with a clock that is moved on."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def create_task(self, waiting: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.get_running_loop().create_task(waiting)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        self._timers.append(Timer(self.now + seconds, call))
        return self._timers[-1]

    def move(self, seconds: int) -> None:
        until = self.now + seconds
        while due := [one for one in self._timers if one.due <= until and not one.cancelled]:
            first = min(due, key=lambda one: one.due)
            self._timers.remove(first)
            self.now = first.due
            first.call()
        self.now = until


@given(st.lists(st.tuples(st.sampled_from(["whole", "begun", "nothing", "two"]), st.integers(0, 90)), max_size=8))
def test_an_idle_connection_ends_when_uvicorn_would_end_it(steps: list[tuple[str, int]]) -> None:
    """75 s after its last answer, at no other time; a request that has begun holds it open."""
    whole = (HEAD % (2, b"") + b"{}").replace(b"/v1/events", b"/taken")
    sent = {"whole": whole, "begun": whole[:9], "nothing": b"", "two": whole + whole}

    async def run(app: Taker, kind: type[HttpToolsProtocol]) -> list[tuple[bool, int]]:
        connection, wire = joined(kind, app)
        clock = Clock()
        connection.loop = cast("Any", clock)
        seen = []
        for step, seconds in steps:
            if sent[step] and not wire.closed:
                connection.data_received(sent[step])
                await turns()
            clock.move(seconds)
            seen.append((wire.closed, wire.written.count(b"HTTP/1.1 ")))
        return seen

    assert in_a_loop(run(Taker(takes=True), Connection)) == in_a_loop(run(Taker(takes=False), HttpToolsProtocol))


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

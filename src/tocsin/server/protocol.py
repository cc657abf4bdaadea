"""Uvicorn's protocol with a shorter way for the machine doors: the whole body at once, the whole answer in one write.

An answer by ``send`` is two messages, and each name and value of its headers is matched against a pattern: with the
security headers that takes longer than reading the request did. A body by ``receive`` is waited for even where it is
there. Both ways lead to the same bytes; whoever finds no connection in a scope takes the usual one.

An app that has ``take`` may answer a whole request without a task of its own; see ``Taking``.

References: ASGI 3.0, "Lifespan State" (the state of a scope is the server's to fill); uvicorn's httptools protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from uvicorn._types import HTTPScope
    from uvicorn.config import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from tocsin.server.bodies import Receive, Scope, Send

    App = Callable[[Any, Any, Any], Awaitable[None]]

CONNECTION = "tocsin.connection"


class Taking(Protocol):
    """An app that answers some requests without a task: what takes no time of its own needs none."""

    def take(self, connection: Connection, cycle: RequestResponseCycle) -> bool:
        """Take a request whose body is whole (``cycle.body``); False where it goes the usual way, as if not asked.

        Who takes it gives the answer later, not at once: by ``Connection.answer``, and where that refuses, or for any
        other answer, by ``Connection.run``.
        """


class Connection(HttpToolsProtocol):
    """One connection of a caller; the state of each of its requests holds it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # A limit of requests under way counts their tasks.
        taking: Taking | None = self.app if self.limit_concurrency is None and hasattr(self.app, "take") else None
        self._taking = taking
        self._fresh: RequestResponseCycle | None = None
        """A request that came with what is read just now."""
        self._idle_since: float | None = None
        """Since when there is no request, of the loop's clock. One timer stays over many requests: to make and to
        cancel one for each takes as long as to read the request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin as uvicorn does."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION: self}

    def connection_lost(self, exc: Exception | None) -> None:
        """End as uvicorn does, and let go of itself: no collector is needed to free it."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.app_state = {}
        if self.scope:
            self.scope["state"].pop(CONNECTION, None)

    def data_received(self, data: bytes) -> None:
        """Read as uvicorn does; a request begins when all that came with its head is read."""
        super().data_received(data)
        if self._fresh is not None:
            self._begin()

    def on_response_complete(self) -> None:
        """Go on as uvicorn does: with the next request that has come, else idle until there is one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            self._begin()
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been idle for so long; look again where it has not."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_in(left)
        else:
            super().timeout_keep_alive_handler()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _look_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: App) -> None:
        if self._taking is not None and app is self.app:
            self._fresh = cycle
        else:
            self.run(cycle, app)

    def _begin(self) -> None:
        cycle, self._fresh = self._fresh, None
        if cycle is None:
            return
        # Where reading has paused, the usual way lets it go on.
        whole = not cycle.more_body and not self.flow.read_paused
        try:
            if whole and self._taking is not None and self._taking.take(self, cycle):
                return
        except Exception as error:
            self.fail(cycle, error)
        else:
            self.run(cycle, self.app)

    def run(self, cycle: RequestResponseCycle, app: App) -> None:
        """Have an app answer a request in a task of its own."""
        super()._start_asgi_task(cycle, app)

    def fail(self, cycle: RequestResponseCycle, error: Exception) -> None:
        """Answer a request as uvicorn does when the app raises: logged, 500, the connection ends."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise error

        self.run(cycle, app)

    def body(self, scope: Scope) -> bytes | None:
        """Return the body of a request as it came where all of it is there, else None; nothing is taken from it."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.more_body or cycle.disconnected or self.flow.read_paused:
            return None
        return bytes(cycle.body)

    def answer(self, scope: Scope | HTTPScope, status: int, head: bytes, body: bytes) -> bool:
        r"""Give the whole answer to a request that is not HEAD; False where it has to go by ``send``.

        ``head`` is lines ``name: value\r\n``, written as they are: content-length among them, no value of a caller.
        Refused while a later request of the connection is read, and to who reads slowly, hung up or ends the
        connection.
        """
        cycle = self.cycle
        if cycle.scope is not scope or cycle.response_started or not cycle.keep_alive:
            return False
        if cycle.disconnected or self.flow.write_paused:
            return False
        parts = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (head, b"\r\n", body)
        cycle.response_started = cycle.response_complete = True
        # What uvicorn does at the end of a task: the cycle must not hold the connection that holds it.
        cycle.on_response = _nothing
        cycle.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))
        cycle.message_event.set()
        self.on_response_complete()
        return True


def _nothing() -> None:
    """Do nothing: uvicorn's ``on_response`` of a request that is answered."""


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection that a request came over, or None under another server."""
    state: dict[str, Any] | None = scope.get("state")
    return None if state is None else state.get(CONNECTION)


def lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are written."""
    return b"".join([b"%b: %b\r\n" % one for one in headers])

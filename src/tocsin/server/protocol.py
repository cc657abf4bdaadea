"""Uvicorn's protocol with a shorter way for the machine doors: the whole body at once, the whole answer in one write.

An answer by ``send`` is two messages, and each name and value of its headers is matched against a pattern: with the
security headers that takes longer than reading the request did. A body by ``receive`` is waited for even where it is
there. Both ways lead to the same bytes; whoever finds no connection in a scope takes the usual one.

References: ASGI 3.0, "Lifespan State" (the state of a scope is the server's to fill); uvicorn's httptools protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from tocsin.server.bodies import Scope

CONNECTION = "tocsin.connection"


class Connection(HttpToolsProtocol):
    """One connection of a caller; the state of each of its requests holds it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin as uvicorn does."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION: self}

    def connection_lost(self, exc: Exception | None) -> None:
        """End as uvicorn does, and let go of itself: no collector is needed to free it."""
        super().connection_lost(exc)
        self.app_state = {}
        if self.scope:
            self.scope["state"].pop(CONNECTION, None)

    def body(self, scope: Scope) -> bytes | None:
        """Return the body of a request as it came where all of it is there, else None; nothing is taken from it."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.more_body or cycle.disconnected or self.flow.read_paused:
            return None
        return bytes(cycle.body)

    def answer(self, scope: Scope, status: int, head: bytes, body: bytes) -> bool:
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
        cycle.waiting_for_100_continue = False
        self.transport.write(b"".join(parts))
        cycle.message_event.set()
        self.on_response_complete()
        return True


def connection_of(scope: Scope) -> Connection | None:
    """Return the connection that a request came over, or None under another server."""
    state: dict[str, Any] | None = scope.get("state")
    return None if state is None else state.get(CONNECTION)


def lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are written."""
    return b"".join([b"%b: %b\r\n" % one for one in headers])

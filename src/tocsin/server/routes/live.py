"""Live: server-sent events that say what changed; the reader fetches it. Never a source of truth.

Reference: HTML Living Standard, 9.2 Server-sent events.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from tocsin.server import shapes
from tocsin.server.access import COOKIE, bearer
from tocsin.server.problems import Refusal
from tocsin.server.replies import doc, house

if TYPE_CHECKING:
    from tocsin.server.accounts import Accounts

router = APIRouter(tags=["live"])

HEARTBEAT_S = 15.0
MOST_PENDING = 1000
MOST_LISTENERS = 200


class Mailbox:
    """Notices for one listener: a newer one of the same thing replaces the older, so none can fall behind."""

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self.closed = False

    def __call__(self, notice: dict[str, Any]) -> None:
        """Take a notice from any thread."""
        self._loop.call_soon_threadsafe(self._put, notice)

    def _put(self, notice: dict[str, Any]) -> None:
        key = (str(notice["topic"]), str(notice["id"]))
        self._pending[key] = notice
        self._pending.move_to_end(key)
        while len(self._pending) > MOST_PENDING:
            self._pending.popitem(last=False)
        self._wake.set()

    def close(self) -> None:
        """End the stream after what is pending."""
        self.closed = True
        self._wake.set()

    async def take(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return what is pending, after waiting for it at most so long."""
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return []
        self._wake.clear()
        found = list(self._pending.values())
        self._pending.clear()
        return found


@router.get("/v1/live", **doc(shapes.Notice))
async def live(request: Request) -> StreamingResponse:
    """Stream notices; each ``data:`` is one, a comment every 15 seconds keeps the line open."""
    mailboxes: set[Mailbox] = request.app.state.mailboxes
    if len(mailboxes) >= MOST_LISTENERS:
        raise Refusal(503, "unavailable", "too many listeners", headers={"retry-after": "30"})
    mailbox = Mailbox()
    mailboxes.add(mailbox)
    leave = house(request).live.subscribe(mailbox)
    accounts = cast("Accounts", request.app.state.accounts)
    if request.state.session is not None:
        still: Callable[[str], object] = accounts.session
        token = request.cookies.get(COOKIE, "")
    else:
        still = accounts.key
        token = bearer(request.headers["authorization"])

    async def stream() -> AsyncIterator[bytes]:
        checked = time.monotonic()
        try:
            yield b"retry: 2000\n\n"
            while not mailbox.closed:
                notices = await mailbox.take(HEARTBEAT_S)
                if not notices or time.monotonic() - checked >= HEARTBEAT_S:
                    # A stream must not outlive the session or key that opened it.
                    if await asyncio.to_thread(still, token) is None:
                        return
                    checked = time.monotonic()
                    yield b": still here\n\n"
                for notice in notices:
                    yield b"data: " + msgspec.json.encode(notice) + b"\n\n"
        finally:
            leave()
            mailboxes.discard(mailbox)

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

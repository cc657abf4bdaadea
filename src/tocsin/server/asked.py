"""Callers who wait for a verdict in the server's loop: how they are gathered, and what ends their patience."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from tocsin.errors import BadEvent, Retryable
from tocsin.runtime.verdicts import LineJob, build
from tocsin.server.bodies import parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.app import Tocsin
    from tocsin.core.events import Event
    from tocsin.core.signal import Verdict
    from tocsin.runtime.verdicts import VerdictJob

SOONEST_S = 0.001
"""A timer is not set shorter."""
GATHER_S = 0.001
"""So long callers are gathered at most while each turn of the loop brings another: turns are long beside a stream."""
MOST_TOGETHER = 64


class Asked(LineJob):
    """A caller in the loop; ``reply`` is done with the verdict, or with None when the deadline has passed.

    It ends with BadEvent or Retryable where the line is not accepted; ``document`` is what could be read of it then.
    """

    def __init__(
        self,
        line: bytes,
        shop: str,
        strict: bool,
        read: Callable[[LineJob], Event],
        deadline: float,
        replies: Replies,
    ) -> None:
        super().__init__(line, shop, strict, read, deadline)
        self._replies = replies
        self.reply: asyncio.Future[Verdict | None] = replies.wait_for(self)

    def told(self) -> None:
        """Bring the answer into the loop."""
        self._replies.bring(self)

    def refuse(self, document: Any, error: BadEvent | Retryable) -> None:
        """Tell the caller, where it still waits; in the loop's thread."""
        self.document = document
        if not self.reply.done():
            self.reply.set_exception(error)

    def hand_over(self) -> None:
        """Answer the caller, where it still waits; in the loop's thread."""
        if not self.reply.done():
            self.reply.set_result(self.verdict)


class Replies:
    """All who wait in one loop. Answers that come together from another thread wake the loop once.

    One timer stands for all deadlines: that of the next one.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._ready: deque[Asked] = deque()
        self._woken = False
        self._deadlines: list[tuple[float, int, Asked]] = []
        self._number = count()
        self._timer: asyncio.TimerHandle | None = None

    def wait_for(self, job: Asked) -> asyncio.Future[Verdict | None]:
        """Return a job's reply, and give it up at its deadline; in the loop's thread."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._thread = loop, threading.get_ident()
            self._deadlines, self._timer, self._woken = [], None, False
        waits = self._deadlines
        heapq.heappush(waits, (job.deadline, next(self._number), job))
        if self._timer is None or waits[0][2] is job:
            self._set(loop)
        return loop.create_future()

    def bring(self, job: Asked) -> None:
        """Hand over a job's answer; from any thread."""
        if threading.get_ident() == self._thread:
            job.hand_over()
            return
        self._ready.append(job)
        if self._woken or self._loop is None:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop has ended, and with it everyone who waited in it.
            self._ready.clear()

    def _deliver(self) -> None:
        # First: what is appended from now on wakes the loop again.
        self._woken = False
        while self._ready:
            self._ready.popleft().hand_over()

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        left = self._deadlines[0][0] - time.perf_counter()
        self._timer = loop.call_later(max(SOONEST_S, left), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up those whose deadline has passed: unless the answer is on its way, the caller gets the fall-back."""
        waits, now, self._timer = self._deadlines, time.perf_counter(), None
        while waits and (waits[0][0] <= now or waits[0][2].reply.done()):
            job = heapq.heappop(waits)[2]
            if not job.reply.done() and job.give_up():
                job.reply.set_result(None)
        if waits:
            self._set(loop)


class Callers:
    """All who ask one house over one loop: those who come while others are read are answered in one cycle."""

    def __init__(self, tocsin: Tocsin) -> None:
        self._tocsin = tocsin
        self._deadline_s = tocsin.settings.verdict_deadline_ms / 1000
        self._asked: list[Asked] = []
        self._replies = Replies()

    def ask(self, line: bytes, shop: str, strict: bool, began: float) -> Asked:
        """Take a caller's event as JSON; ``began``, of ``time.perf_counter``, is when its patience began."""
        job = Asked(line, shop, strict, self._read, began + self._deadline_s, self._replies)
        if not self._asked:
            self._gather(job.reply.get_loop(), 0, time.perf_counter() + GATHER_S)
        self._asked.append(job)
        return job

    async def answer(self, job: Asked) -> Verdict:
        """Return what the host says in time, or the configured fall-back; the record says which it was.

        BadEvent or Retryable where the event was not accepted.
        """
        verdict = await job.reply
        if verdict is None:
            host = self._tocsin.host
            verdict = build(job.event, None, mode=host.verdict_mode, fallback=host.fallback, late=True)
        return verdict

    def _read(self, job: LineJob) -> Event:
        """Return the event of a caller, through the plain door."""
        job.document = parsed(job.line, self._tocsin.settings.max_event_bytes)
        return self._tocsin.door.admit(
            job.document,
            now=self._tocsin.clock.now(),
            live=not self._tocsin.clock.data,
            shop=job.shop or None,
            size=len(job.line),
            strict=job.strict,
        )

    def _gather(self, loop: asyncio.AbstractEventLoop, known: int, until: float) -> None:
        """Ask for all who came, once a turn of the loop has brought nobody else: a cycle costs more than its rows."""
        came = len(self._asked)
        if came and (came == known or came >= MOST_TOGETHER or time.perf_counter() > until):
            self._ask()
        else:
            loop.call_soon(self._gather, loop, came, until)

    def _ask(self) -> None:
        """Let the fold answer all who have asked since: here where it is free, else in its own thread."""
        jobs, self._asked = self._asked, []
        host = self._tocsin.host
        if host.asks is not None:
            host.asks.put(jobs)
            host.ask_rows()
            return
        known: list[VerdictJob] = []
        for job in jobs:
            try:
                job.event  # noqa: B018  read here: it may be refused
            except (BadEvent, Retryable) as error:
                job.refuse(job.document, error)
            else:
                known.append(job)
        if known and not host.answer_here(known):
            for one in known:
                host.ask(one)

"""Callers who wait for a verdict in the server's loop: how they are gathered, and what ends their patience."""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import insort
from collections import deque
from operator import attrgetter
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
_BY_DEADLINE = attrgetter("deadline")


class Asked(LineJob):
    """A caller in the loop; ``tell`` is called with it once, in the loop's thread, when it is known what it hears.

    ``Callers.verdict`` says then what that is. ``document`` is what could be read of a line that was not accepted.
    """

    __slots__ = ("_replies", "_tell", "error", "over")

    def __init__(
        self,
        line: bytes,
        shop: str,
        strict: bool,
        read: Callable[[LineJob], Event],
        deadline: float,
        replies: Replies,
        tell: Callable[[Asked], None],
    ) -> None:
        super().__init__(line, shop, strict, read, deadline)
        self._replies = replies
        self._tell = tell
        self.error: BadEvent | Retryable | None = None
        """Why the line was not accepted."""
        self.over = False
        """Whether the caller has been told."""

    def told(self) -> None:
        """Bring the answer into the loop."""
        self._replies.bring(self)

    def refuse(self, document: Any, error: BadEvent | Retryable) -> None:
        """Bring the refusal into the loop."""
        self.document, self.error = document, error
        self._replies.bring(self)

    def hand_over(self) -> None:
        """Tell the caller, unless it has been told; in the loop's thread."""
        if not self.over:
            self.over = True
            self._tell(self)


class Replies:
    """All who wait in one loop. Answers that come together wake the loop once.

    One timer stands for all deadlines: that of the next one, or an earlier one that nobody waits for any more.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._ready: deque[Asked] = deque()
        self._woken = False
        self._waits: deque[Asked] = deque()
        """By deadline; whoever has been told leaves when it is the first."""
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def wait_for(self, job: Asked) -> None:
        """Give a job up at its deadline unless it has been told before; in the loop's thread."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._thread = loop, threading.get_ident()
            self._waits, self._timer, self._woken = deque(), None, False
        waits = self._waits
        while waits and waits[0].over:
            waits.popleft()
        if not waits or waits[-1].deadline <= job.deadline:
            waits.append(job)
        else:
            # Its patience began before that of others: its body came slowly.
            insort(waits, job, key=_BY_DEADLINE)
        if self._timer is None or job.deadline < self._due:
            self._set(loop, job.deadline)

    def bring(self, job: Asked) -> None:
        """Have a caller told in the loop; from any thread."""
        self._ready.append(job)
        if self._woken or self._loop is None:
            return
        self._woken = True
        here = threading.get_ident() == self._thread
        try:
            (self._loop.call_soon if here else self._loop.call_soon_threadsafe)(self._deliver)
        except RuntimeError:
            # The loop has ended, and with it everyone who waited in it.
            self._ready.clear()

    def _deliver(self) -> None:
        # First: what is appended from now on wakes the loop again.
        self._woken = False
        while self._ready:
            self._ready.popleft().hand_over()

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = loop.call_later(max(SOONEST_S, due - time.perf_counter()), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up those whose deadline has passed: unless the answer is on its way, the caller gets the fall-back."""
        waits, now, self._timer = self._waits, time.perf_counter(), None
        while waits and (waits[0].over or waits[0].deadline <= now):
            job = waits.popleft()
            if not job.over and job.give_up():
                job.hand_over()
        if waits:
            self._set(loop, waits[0].deadline)


class Callers:
    """All who ask one house over one loop: those who come while others are read are answered in one cycle."""

    def __init__(self, tocsin: Tocsin) -> None:
        self._tocsin = tocsin
        self._deadline_s = tocsin.settings.verdict_deadline_ms / 1000
        self._asked: list[Asked] = []
        self._replies = Replies()

    def ask(self, line: bytes, shop: str, strict: bool, began: float, tell: Callable[[Asked], None]) -> None:
        """Take a caller's event as JSON; ``began``, of ``time.perf_counter``, is when its patience began.

        ``tell`` is called with what was asked as soon as ``verdict`` has something to say of it, never at once. It must
        not raise: others are told after it.
        """
        job = Asked(line, shop, strict, self._read, began + self._deadline_s, self._replies, tell)
        self._replies.wait_for(job)
        if not self._asked:
            self._gather(asyncio.get_running_loop(), 0, time.perf_counter() + GATHER_S)
        self._asked.append(job)

    def verdict(self, job: Asked) -> Verdict:
        """Return what the host said in time, or the configured fall-back; the record says which it was.

        BadEvent or Retryable where the event was not accepted.
        """
        if job.error is not None:
            raise job.error
        if job.late or job.verdict is None:
            host = self._tocsin.host
            return build(job.event, None, mode=host.verdict_mode, fallback=host.fallback, late=True)
        return job.verdict

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

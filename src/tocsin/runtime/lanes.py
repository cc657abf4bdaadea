"""Lanes: what waits for the host. Callers who wait for a verdict overtake; the rest keeps its order."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import Event
from tocsin.errors import Retryable
from tocsin.runtime.promises import promise
from tocsin.runtime.verdicts import VerdictJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.runtime.asklane import AskLane
    from tocsin.runtime.widelane import WideLane

LATELY_S = 1.0
"""So long after a caller the wide lane keeps its cycles short."""
BESIDE_A_CALLER = 256
"""At most so many other events share a cycle with a caller who waits."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of one event at the intake."""

    seq: int
    duplicate: bool = False


class Request(msgspec.Struct, frozen=True):
    """Events that came together: accepted together, acknowledged together."""

    events: list[Event]
    future: Future[list[Receipt]]
    since: float = msgspec.field(default_factory=time.monotonic)
    """When they came, on the monotonic clock in seconds."""


class Work(msgspec.Struct):
    """What one cycle takes."""

    urgent: list[VerdictJob] = []
    bulk: list[Request] = []
    notes: list[Event] = []
    barriers: list[Future[None]] = []
    lines: bool = False
    """Whether rows wait in the wide lane."""
    asked: bool = False
    """Whether rows of callers wait in the ask lane."""


class Lanes:
    """The queues in front of the host; every method may be called from any thread.

    At most ``most_events`` events wait: beyond it a request is refused whole (the sender tries again), never dropped.
    """

    def __init__(
        self, *, most_events: int, batch_events: int, wide: WideLane | None = None, asks: AskLane | None = None
    ) -> None:
        self.waiting = 0
        self._wide = wide
        self._asks = asks
        self._called = 0.0
        self.shed = 0
        self._most = most_events
        self._batch = batch_events
        self._urgent: deque[VerdictJob] = deque()
        self._bulk: deque[Request] = deque()
        self._notes: deque[Event] = deque()
        self._barriers: deque[Future[None]] = deque()
        self._closed = self._ended = False
        self._ready = threading.Condition()
        if wide is not None:
            wide.on_rows = self.wake

    def wake(self) -> None:
        """Look again at what waits: rows have come into the wide lane."""
        with self._ready:
            self._ready.notify()

    @property
    def oldest(self) -> float | None:
        """When the oldest request came that waits, on the monotonic clock in seconds; None while none waits."""
        with self._ready:
            return self._bulk[0].since if self._bulk else None

    @property
    def asked(self) -> bool:
        """Whether callers with single events wait already: nobody overtakes them."""
        return bool(self._urgent)

    def note_caller(self) -> None:
        """Remember that somebody asked who was answered without the lanes."""
        self._called = time.monotonic()

    @property
    def callers_lately(self) -> bool:
        """Whether somebody waits for a verdict, or did within the last second."""
        return time.monotonic() - self._called < LATELY_S

    def submit(self, events: list[Event]) -> Future[list[Receipt]]:
        """Queue a request; Retryable at once when the lane is full."""
        request = Request(events, promise())
        with self._ready:
            self._check()
            if self.waiting and self.waiting + len(events) > self._most:
                self.shed += len(events)
                raise Retryable("the intake is full; nothing of this request was accepted", after_s=1.0)
            self._bulk.append(request)
            self.waiting += len(events)
            self._ready.notify()
        return request.future

    def ask(self, job: VerdictJob) -> bool:
        """Queue a caller who waits; False where nobody will answer any more."""
        with self._ready:
            if not self._ended:
                self._urgent.append(job)
                self._ready.notify()
            return not self._ended

    def call(self) -> bool:
        """Look at the ask lane: callers wait in it; False where nobody will answer any more."""
        with self._ready:
            self._ready.notify()
            return not self._ended

    def note(self, events: Sequence[Event]) -> None:
        """Queue the house's own events: never refused."""
        with self._ready:
            self._notes.extend(events)
            self._ready.notify()

    def put_back(self, notes: Sequence[Event]) -> None:
        """Queue own events again, in front: the disk did not take them."""
        with self._ready:
            self._notes.extendleft(reversed(notes))

    def barrier(self) -> Future[None]:
        """Queue a mark; it is taken when nothing of what came before it waits any more."""
        future: Future[None] = promise()
        with self._ready:
            self._check()
            self._barriers.append(future)
            self._ready.notify()
        return future

    def close(self) -> None:
        """Let ``closed`` be true once everything has been taken."""
        with self._ready:
            self._closed = True
            self._ready.notify()

    def _check(self) -> None:
        if self._ended:
            raise Retryable("the host has stopped; see the log, then start it again", after_s=30.0)

    @property
    def closing(self) -> bool:
        """Whether the end was asked for."""
        return self._closed

    @property
    def idle(self) -> bool:
        """Whether nothing but marks waits."""
        return not (self._urgent or self._bulk or self._notes or self._lines or self._rows_asked)

    @property
    def _rows_asked(self) -> bool:
        return self._asks is not None and self._asks.waiting

    @property
    def _lines(self) -> bool:
        return self._wide is not None and self._wide.waiting > 0

    @property
    def closed(self) -> bool:
        """Whether the end was asked for and everything has been taken."""
        return self._closed and self.idle and not self._barriers

    def take(self, timeout_s: float) -> Work:
        """Return what the next cycle takes, waiting at most so long for it."""
        with self._ready:
            if self.idle and not self._barriers and not self._closed:
                self._ready.wait(timeout_s)
            work = Work(urgent=list(self._urgent), notes=list(self._notes), lines=self._lines, asked=self._rows_asked)
            if work.urgent or work.asked:
                self._called = time.monotonic()
            self._urgent.clear()
            self._notes.clear()
            limit = BESIDE_A_CALLER if work.urgent or work.asked else self._batch
            taken = 0
            while self._bulk:
                size = len(self._bulk[0].events)
                # A request is never split: a large one waits for a cycle without callers, but is not starved there.
                if taken + size > limit and (work.urgent or work.asked or work.bulk):
                    break
                work.bulk.append(self._bulk.popleft())
                taken += size
            self.waiting -= taken
            if not self._bulk and not self._urgent and not work.lines and not work.asked:
                work.barriers = list(self._barriers)
                self._barriers.clear()
            return work

    def end(self) -> Work:
        """Return everything that waits, for the end of the host; nothing is taken any more."""
        with self._ready:
            self._ended = True
            work = Work(list(self._urgent), list(self._bulk), list(self._notes), list(self._barriers))
            for lane in (self._urgent, self._bulk, self._notes, self._barriers):
                lane.clear()
            self.waiting = 0
            return work

"""The wide lane: bodies of lines become columns where they arrive; the host takes them in slices.

A body is scanned in its caller's thread into the open chunk. The host takes what has come so far; a chunk is used
again once all of it has been folded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.errors import BadEvent, Retryable
from tocsin.runtime.promises import fail, keep, promise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    import numpy as np

    from tocsin.flow.wide.lines import Chunk
    from tocsin.runtime.clock import DataClock, SystemClock
    from tocsin.telemetry import Plane

BESIDE_A_CALLER = 1024
"""At most so many rows share a cycle with callers who wait. With 200 rules a cycle of 1024 rows takes half as long
again as one of 256 (what a rule costs a cycle, not a row, is most of it): fewer would keep nobody waiting less for
long, and the lane would not keep up."""


class Refused(msgspec.Struct, frozen=True):
    """A line that was not accepted: its place in the body, what could be read of it, and why."""

    index: int
    document: Any
    error: BadEvent


class LinesReceipt(msgspec.Struct, frozen=True):
    """What became of a body of lines."""

    accepted: int
    duplicates: int
    refused: list[Refused]


class Admitted(Protocol):
    """What a door made of a body, or of the part of it that the chunk had room for."""

    @property
    def start(self) -> int:
        """First row."""
        ...

    @property
    def stop(self) -> int:
        """Row behind the last."""
        ...

    @property
    def refused(self) -> Sequence[tuple[int, Any, BadEvent]]:
        """Number of the line, what could be read of it, and why it was refused."""
        ...

    @property
    def rest(self) -> int:
        """Where in the body the part begins that was not read, -1 where all of it was."""
        ...


class LineDoor(Protocol):
    """Admits lines into a chunk."""

    def admit(
        self, body: bytes | memoryview, chunk: Chunk, *, now: int, live: bool, shop: str, at: int = 0
    ) -> Admitted:
        """Scan a body from ``at`` on into the free rows of a chunk."""
        ...


class Ticket:
    """A body under way: done when all of its rows are on disk."""

    def __init__(self) -> None:
        self.future: Future[LinesReceipt] = promise()
        self.refused: list[Refused] = []
        self.duplicates = self.rows = 0
        self.since = time.monotonic()
        """When it came, on the monotonic clock in seconds."""
        self._open = 1
        self._lock = threading.Lock()

    def add(self, rows: int) -> None:
        """Expect one more part of so many rows."""
        with self._lock:
            self._open += 1
            self.rows += rows

    def close(self, error: Retryable | None = None, duplicates: int = 0) -> None:
        """Count a part as on disk, or fail the whole with ``error``."""
        with self._lock:
            self._open -= 1
            self.duplicates += duplicates
            last = not self._open
        if error is not None:
            fail(self.future, error)
        elif last:
            keep(self.future, LinesReceipt(self.rows - self.duplicates, self.duplicates, self.refused))


@dataclass(slots=True)
class Part:
    """The rows [start, stop) of a chunk that one body brought."""

    ticket: Ticket
    start: int
    stop: int


@dataclass(slots=True)
class Slice:
    """What one cycle folds: the rows [start, stop) of a chunk, with the bodies that end or go on in it."""

    chunk: Chunk
    start: int
    stop: int
    parts: list[Part]

    def close(self, fresh: np.ndarray, error: Retryable | None) -> None:
        """Tell the bodies of their rows; ``fresh`` bool [stop - start]."""
        for part in self.parts:
            mine = fresh[part.start - self.start : part.stop - self.start]
            part.ticket.close(error, len(mine) - int(mine.sum()))


class WideLane:
    """Chunks between the doors and the host. ``submit`` may be called from any thread, ``take`` from the host's.

    Parameters
    ----------
    door
        Turns lines into rows of a chunk.
    fresh_chunk
        Makes an empty chunk.
    most_events
        Rows that may wait; beyond it a body is refused whole (the sender tries again), never dropped.
    """

    def __init__(
        self,
        door: LineDoor,
        fresh_chunk: Callable[[], Chunk],
        *,
        clock: SystemClock | DataClock,
        plane: Plane,
        most_events: int,
    ) -> None:
        self.on_rows: Callable[[], None] = lambda: None
        self.shed = 0
        self.door = door
        self._fresh_chunk = fresh_chunk
        self._clock = clock
        self._plane = plane
        self._most = most_events
        self._lock = threading.Lock()
        self._open = fresh_chunk()
        self._parts: list[Part] = []
        self._full: deque[tuple[Chunk, list[Part]]] = deque()
        self._free: list[Chunk] = []
        self._taken: tuple[Chunk, list[Part], int] | None = None
        """The chunk under way in the host, its parts and the first row that has not been taken."""
        self._given: Slice | None = None
        """What the host took and has not let go of."""
        self._ended: Retryable | None = None
        self.waiting = 0
        """Rows that the host has not taken yet."""

    @property
    def busy(self) -> bool:
        """Whether somebody scans just now."""
        return self._lock.locked()

    @property
    def oldest(self) -> float | None:
        """When the oldest body came of which rows wait, on the monotonic clock in seconds; None while none waits."""
        with self._lock:
            if not self.waiting:
                return None
            parts = [*(part for _, parts in self._full for part in parts[:1]), *self._parts[:1]]
            # The host may let go of it meanwhile.
            taken = self._taken
            if taken is not None:
                parts += [part for part in taken[1] if part.stop > taken[2]][:1]
            return min((part.ticket.since for part in parts), default=None)

    def submit(self, body: bytes | memoryview, shop: str) -> Future[LinesReceipt]:
        """Scan a body; the future is done when its events are on disk. Retryable at once when the lane is full."""
        ticket = Ticket()
        with self._lock:
            if self._ended is not None:
                raise self._ended
            if self.waiting >= self._most:
                self.shed += 1
                raise Retryable("the intake is full; nothing of this request was accepted", after_s=1.0)
            began = time.perf_counter()
            live, now, at = not self._clock.data, self._clock.now(), 0
            while at >= 0:
                admitted = self.door.admit(body, self._open, now=now, live=live, shop=shop, at=at)
                at = admitted.rest
                ticket.refused.extend(Refused(*one) for one in admitted.refused)
                rows = admitted.stop - admitted.start
                if rows:
                    ticket.add(rows)
                    self._parts.append(Part(ticket, admitted.start, admitted.stop))
                    self.waiting += rows
                if at >= 0:
                    self._turn()
            self._plane["scan"].add(time.perf_counter() - began, ticket.rows + len(ticket.refused))
        ticket.close()
        if ticket.rows:
            self.on_rows()
        return ticket.future

    def take(self, *, beside_callers: bool) -> Slice | None:
        """Return the next rows to fold, None where there are none; the slice before has been folded by now."""
        if self._taken is None:
            with self._lock:
                if self._full:
                    chunk, parts = self._full.popleft()
                elif self._parts:
                    chunk, parts = self._open, self._parts
                    self._turn(queue=False)
                else:
                    return None
            self._taken = (chunk, parts, 0)
        chunk, parts, start = self._taken
        stop = min(chunk.n, start + BESIDE_A_CALLER) if beside_callers else chunk.n
        mine = _cut(parts, start, stop)
        self._taken = (chunk, parts, stop)
        with self._lock:
            self.waiting -= stop - start
        self._given = Slice(chunk, start, stop, mine)
        return self._given

    def release(self, one: Slice) -> None:
        """Let a chunk be used again once its last row has been folded."""
        self._given = None
        if one.stop == one.chunk.n:
            self._taken = None
            one.chunk.clear()
            with self._lock:
                self._free.append(one.chunk)

    def refuse(self, error: Retryable) -> None:
        """Tell everyone whose rows wait that nothing is accepted; the rows are given up."""
        while (one := self.take(beside_callers=False)) is not None:
            for part in one.parts:
                part.ticket.close(error)
            self.release(one)

    def close(self, error: Retryable) -> None:
        """At the end of the host: refuse what waits, what it had in hand, and whatever comes from now on."""
        with self._lock:
            self._ended = error
        if self._given is not None:
            for part in self._given.parts:
                part.ticket.close(error)
        self.refuse(error)

    def _turn(self, *, queue: bool = True) -> None:
        """Put the open chunk in line and open another one; the caller holds the lock."""
        if queue:
            self._full.append((self._open, self._parts))
        self._open = self._free.pop() if self._free else self._fresh_chunk()
        self._parts = []


def _cut(parts: list[Part], start: int, stop: int) -> list[Part]:
    """Return the parts inside [start, stop); one that goes on beyond is cut, and expects its rest."""
    mine = []
    for part in parts:
        first, last = max(part.start, start), min(part.stop, stop)
        if first >= last:
            continue
        if last < part.stop:
            part.ticket.add(0)
        mine.append(Part(part.ticket, first, last))
    return mine


__all__ = ["Admitted", "LineDoor", "LinesReceipt", "Part", "Refused", "Slice", "Ticket", "WideLane"]

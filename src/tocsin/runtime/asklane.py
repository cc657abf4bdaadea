"""The ask lane: callers' events become rows of a chunk, all of one turn of the loop in one scan, to be folded together.

A line that the scanner's kernel does not take, or that asks for more than it checks, goes through the plain door.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tocsin.errors import BadEvent, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.flow.wide.scan_chunk import Chunk
    from tocsin.runtime.clock import DataClock, SystemClock
    from tocsin.runtime.verdicts import LineJob
    from tocsin.runtime.widelane import LineDoor
    from tocsin.telemetry import Plane

ROWS = 1024
"""Of a chunk."""
_VERSIONED = re.compile(rb'\{\s*"specversion"\s*:\s*"1\.0"')


@dataclass(slots=True)
class Questions:
    """All rows of a chunk, with who waits for each."""

    chunk: Chunk
    jobs: list[LineJob]


class AskLane:
    """Chunks between callers and the fold. ``put`` and ``take`` may be called from any thread.

    Who takes lets go of it before anybody takes again: the host's fold is held meanwhile.

    Parameters
    ----------
    door
        Turns lines into rows of a chunk; no other lane's, for it is not for two threads at once.
    fresh_chunk
        Makes an empty chunk of so many rows.
    """

    def __init__(
        self, door: LineDoor, fresh_chunk: Callable[[int], Chunk], *, clock: SystemClock | DataClock, plane: Plane
    ) -> None:
        self._door = door
        self._fresh_chunk = fresh_chunk
        self._clock = clock
        self._plane = plane
        self._lock = threading.Lock()
        self._open = Questions(fresh_chunk(ROWS), [])
        self._full: deque[Questions] = deque()
        self._free: list[Chunk] = []
        self._given: Questions | None = None
        """What was taken and has not been let go of."""

    @property
    def waiting(self) -> bool:
        """Whether rows wait to be folded."""
        return bool(self._full or self._open.jobs)

    def put(self, jobs: Sequence[LineJob]) -> None:
        """Scan callers' lines; who is refused hears so at once, everyone else has a row when this returns."""
        usual: dict[str, list[LineJob]] = {}
        with self._lock:
            began = time.perf_counter()
            for job in jobs:
                if b"\n" in job.line or not (_VERSIONED.match(job.line) if job.strict else job.line[:1] == b"{"):
                    self._append(job)
                elif (mine := usual.get(job.shop)) is not None:
                    mine.append(job)
                else:
                    usual[job.shop] = [job]
            for shop, mine in usual.items():
                self._scan(shop, mine)
            self._plane["scan"].add(time.perf_counter() - began, len(jobs))

    def take(self) -> Questions | None:
        """Return rows that wait, the longest waiting first; None where none does."""
        self._given = self._next()
        return self._given

    def release(self, one: Questions) -> None:
        """Let a chunk be used again once its rows have been folded."""
        self._given = None
        one.chunk.clear()
        with self._lock:
            self._free.append(one.chunk)

    def end(self) -> list[LineJob]:
        """Return everyone who waits, those whose rows were taken and not let go of first; the rows are given up."""
        found: list[LineJob] = []
        one, self._given = self._given or self._next(), None
        while one is not None:
            for row, job in enumerate(one.jobs):
                job.read_from(one.chunk, row)
            found += one.jobs
            self.release(one)
            one = self._next()
        return found

    def _next(self) -> Questions | None:
        with self._lock:
            if not self._full:
                if not self._open.jobs:
                    return None
                self._turn()
            return self._full.popleft()

    def _scan(self, shop: str, jobs: list[LineJob]) -> None:
        body = jobs[0].line if len(jobs) == 1 else b"\n".join([job.line for job in jobs])
        live, now, at, done = not self._clock.data, self._clock.now(), 0, 0
        while at >= 0:
            mine = self._open
            try:
                admitted = self._door.admit(body, mine.chunk, now=now, live=live, shop=shop, at=at)
            except Retryable as error:
                for job in jobs[done:]:
                    job.refuse(None, error)
                return
            at = admitted.rest
            rows = admitted.stop - admitted.start
            if admitted.refused:
                refused = {number for number, _, _ in admitted.refused}
                for number, document, why in admitted.refused:
                    jobs[number].refuse(document, why)
                read = jobs[done : done + rows + len(refused)]
                mine.jobs += [job for number, job in enumerate(read, done) if number not in refused]
                done += len(read)
            else:
                mine.jobs += jobs[done : done + rows]
                done += rows
            if at >= 0:
                self._turn()

    def _append(self, job: LineJob) -> None:
        """Put one event through the plain door."""
        try:
            event = job.event
        except (BadEvent, Retryable) as error:
            job.refuse(job.document, error)
            return
        if self._open.chunk.n == ROWS:
            self._turn()
        self._open.chunk.append(event)
        self._open.jobs.append(job)

    def _turn(self) -> None:
        """Put the open chunk in line and open another one; the caller holds the lock."""
        self._full.append(self._open)
        self._open = Questions(self._free.pop() if self._free else self._fresh_chunk(ROWS), [])

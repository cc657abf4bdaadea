"""The benchmark stream as the data plane takes it: events for the plain half, rows of columns for the wide one."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.events import Event
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.lines import Chunk, LineRows
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.vault import KeyVault
from tocsin.sources.door import Door
from tocsin.sources.lines import WideDoor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.stream import Stream

START = 1_794_355_200_000_000
"""2026-11-11T00:00:00Z."""


class Feed:
    """A stream with a clock, through the wide door: every line is ``step_us`` after the one before.

    ``names`` and ``hasher`` are those of the fold or of the windows that take the rows. Rows are good until
    ``chunks`` further batches have been asked for.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        step_us: int,
        names: Names | None = None,
        hasher: Hasher | None = None,
        chunks: int = 16,
    ) -> None:
        self.stream, self.step_us = stream, step_us
        self.names, self.hasher = names or Names(), hasher or Hasher()
        self.now = START
        self.seq = 0
        # The folder is for the master key alone, which is read once.
        with tempfile.TemporaryDirectory() as folder:
            vault = KeyVault(MemoryRecords(), Path(folder))
        self.door = WideDoor(Door(vault), vault, self.names, self.hasher)
        self._chunks = deque(Chunk(self.names, self.hasher) for _ in range(chunks))

    def body(self, n: int) -> memoryview:
        """Return the next ``n`` lines as they come in; good until the pool has come round."""
        body = self.stream.take(n, self.now, self.step_us)
        self.now += n * self.step_us
        return body

    def scan(self, body: memoryview) -> LineRows:
        """Return a body of at most a chunk's lines as stamped rows; RuntimeError where a line was refused."""
        self._chunks.rotate(-1)
        chunk = self._chunks[-1]
        chunk.clear()
        admitted = self.door.admit(body, chunk, now=self.now, live=False)
        if admitted.refused or admitted.rest >= 0:
            raise RuntimeError(f"the door did not take all lines: {admitted.refused[:1]}")
        n = chunk.n
        chunk.taus[:n] = chunk.times[:n]
        chunk.seqs[:n] = np.arange(self.seq + 1, self.seq + n + 1)
        self.seq += n
        return LineRows(chunk, 0, n)

    def rows(self, n: int) -> LineRows:
        """Return the next ``n`` events as columns."""
        return self.scan(self.body(n))

    def events(self, n: int) -> list[Event]:
        """Return the next ``n`` events, stamped, one by one."""
        return list(self.rows(n).events)


def stamped(documents: Sequence[dict[str, Any]], first_us: int, step_us: int, seq: int = 0) -> list[Event]:
    """Return documents as events whose time and tau are ``first_us`` and ``step_us`` after the one before."""
    return [
        Event(
            id=one["id"],
            source=one["source"],
            type=one["type"],
            time=first_us + i * step_us,
            tau=first_us + i * step_us,
            seq=seq + i + 1,
            data=one["data"],
        )
        for i, one in enumerate(documents)
    ]


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on its first core while inside."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def seconds_of(work: Callable[..., object], *arguments: object) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)

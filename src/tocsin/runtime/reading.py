"""Reading the journal as batches: blocks of lines straight to columns, single events as they are."""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from tocsin.flow.wide.lines import LineRows
from tocsin.flow.wide.scan_chunk import Chunk
from tocsin.flow.wide.scan_trusted import Replayer
from tocsin.runtime.single import DERIVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tocsin.core.ports import Journal
    from tocsin.flow.engine import Engine
    from tocsin.flow.wide.rows import Rows

RUN = 1024
AHEAD = 3
"""Chunks between the reader and the fold: one being filled, one that waits, one being folded."""


class Reader:
    """Reads for one fold; not for two threads at once."""

    def __init__(self, engine: Engine, shop: str) -> None:
        self._engine = engine
        self._replayer = Replayer(engine.names, engine.hasher, shop)
        self._chunk = Chunk(engine.names, engine.hasher)

    def rows(self, block: Any) -> Iterator[Rows]:
        """Yield the rows of a block, stamped as they were; each batch is good until the next one is asked for."""
        done, at = 0, 0
        while at >= 0:
            at = _read(self._replayer, self._chunk, block, done, at)
            done += self._chunk.n
            yield cast("Rows", LineRows(self._chunk))

    def history(self, journal: Journal, after_tau: int, before_seq: int, after_seq: int = 0) -> Iterator[Rows]:
        """Yield the folded events of the journal with tau > ``after_tau`` and after_seq < seq < before_seq, as batches.

        A block comes whole: its rows may begin before and end after what was asked for.
        """
        for part in journal.read_blocks(after_seq):
            if isinstance(part, list):
                for start in range(0, len(part), RUN):
                    events = [
                        one
                        for one in part[start : start + RUN]
                        if one.tau > after_tau and one.seq < before_seq and one.type not in DERIVED
                    ]
                    if events:
                        yield cast("Rows", self._engine.batch(events))
                last = part[-1].seq if part else 0
            else:
                last = part.last_seq
                if int(part.taus[-1]) > after_tau and part.first_seq < before_seq:
                    yield from self.rows(part)
            if last >= before_seq:
                return


class Ahead:
    """Reads and scans in a thread of its own while what came before is folded.

    Iterating gives the parts of the journal in their order: (part, None) as they are, or for a block with seq >
    ``after`` (block, rows), once for each batch of its rows, stamped as they were; a batch is good until the next one
    is asked for. What the reader raises is raised here.
    """

    def __init__(self, engine: Engine, shop: str, parts: Iterable[Any], after: int) -> None:
        self._replayer = Replayer(engine.names, engine.hasher, shop)
        self._parts, self._after = parts, after
        self._free: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        for _ in range(AHEAD):
            self._free.put(Chunk(engine.names, engine.hasher))
        self._ready: queue.Queue[tuple[Any, LineRows | None] | None] = queue.Queue(AHEAD)
        self._ended = False

    def __iter__(self) -> Iterator[tuple[Any, Rows | None]]:
        """Yield what is read; the thread ends with the iteration, however that ends."""
        with ThreadPoolExecutor(1, "replay") as pool:
            reading = pool.submit(self._run)
            try:
                while (found := self._ready.get()) is not None:
                    part, rows = found
                    yield part, cast("Rows | None", rows)
                    if rows is not None:
                        self._free.put(rows.chunk)
            finally:
                self._ended = True
                self._free.put(None)
                while not reading.done():
                    self._drain()
                    time.sleep(0.001)
            reading.result()

    def _drain(self) -> None:
        while not self._ready.empty():
            self._ready.get()

    def _run(self) -> None:
        try:
            for part in self._parts:
                if self._ended:
                    return
                if isinstance(part, list) or part.last_seq <= self._after:
                    self._ready.put((part, None))
                else:
                    self._scan(part.after(self._after))
        finally:
            self._ready.put(None)

    def _scan(self, block: Any) -> None:
        done, at = 0, 0
        while at >= 0 and (chunk := self._free.get()) is not None:
            at = _read(self._replayer, chunk, block, done, at)
            done += chunk.n
            self._ready.put((block, LineRows(chunk)))


def _read(replayer: Replayer, chunk: Chunk, block: Any, done: int, at: int) -> int:
    """Read rows of a block into a chunk, ``done`` of them having been read before; return where the next line lies."""
    chunk.clear()
    at = replayer.read(block.lines, chunk, at)
    n = chunk.n
    chunk.taus[:n] = block.taus[done : done + n]
    chunk.seqs[:n] = range(block.first_seq + done, block.first_seq + done + n)
    return at

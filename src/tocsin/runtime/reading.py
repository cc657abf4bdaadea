"""Reading the journal as batches: blocks of lines straight to columns, single events as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tocsin.flow.wide.lines import LineRows
from tocsin.flow.wide.scan_chunk import Chunk
from tocsin.flow.wide.scan_trusted import Replayer
from tocsin.runtime.embedded import DERIVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.core.ports import Journal
    from tocsin.flow.engine import Engine
    from tocsin.flow.wide.rows import Rows

RUN = 1024


class Reader:
    """Reads for one fold; not for two threads at once."""

    def __init__(self, engine: Engine, shop: str) -> None:
        self._engine = engine
        self._replayer = Replayer(engine.names, engine.hasher, shop)
        self._chunk = Chunk(engine.names, engine.hasher)

    def rows(self, block: Any) -> Iterator[Rows]:
        """Yield the rows of a block, stamped as they were; each batch is good until the next one is asked for."""
        chunk, done, at = self._chunk, 0, 0
        while at >= 0:
            chunk.clear()
            at = self._replayer.read(block.lines, chunk, at)
            n = chunk.n
            chunk.taus[:n] = block.taus[done : done + n]
            chunk.seqs[:n] = range(block.first_seq + done, block.first_seq + done + n)
            done += n
            yield cast("Rows", LineRows(chunk))

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

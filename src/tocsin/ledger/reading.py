"""Reading a journal: the same events one by one, or as they were written."""

from __future__ import annotations

import threading
from bisect import bisect_right
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

from tocsin.ledger.blocks import Block, Columns
from tocsin.ledger.opening import events_in, items_of, missing
from tocsin.ledger.parts import Place
from tocsin.ledger.shelf import Closed, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.core.events import Event
    from tocsin.ledger.opening import Item


class Reading:
    """What a journal of segments offers to readers, from any thread; all of it as of the call of the first item."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._segments: list[Segment] = []
        self._file = -1
        """The open segment, the last one; -1 where all are closed."""
        self._durable = 0
        """Committed bytes of the open segment."""
        self._at = Place()
        self._floor = Place()
        self._readers: dict[object, int] = {}
        """Of each reader under way the first seq of the segment that it is in."""

    def last(self) -> tuple[int, int]:
        """Return (seq, tau) of the last committed event, (0, 0) where there is none."""
        return self._at.seq, self._at.tau

    def first(self) -> int:
        """Return the seq of the first event that is kept; a reader of earlier ones begins there."""
        return self._floor.seq + 1

    def judged(self) -> int:
        """Return the last seq up to which committed columns hold the verdicts of the bulk lane; 0 without columns."""
        return self._at.judged

    def bytes(self) -> int:
        """Return the size of all segments."""
        with self._guard:
            return sum(segment.size for segment in self._segments) + self._durable

    def closed(self) -> list[Closed]:
        """Return the segments that are not written to any more, oldest first."""
        with self._guard:
            chain = self._segments
            return [Closed(one.path, one.first, following.first - 1, one.size) for one, following in pairwise(chain)]

    def read(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the committed events with seq > after_seq in order."""
        for path, item in self._items(after_seq):
            if isinstance(item, Columns):
                continue
            events = events_in(path, item) if isinstance(item, Block) else item
            if events[0].seq > after_seq:
                yield from events
            elif events[-1].seq > after_seq:
                yield from events[after_seq - events[0].seq + 1 :]

    def read_blocks(self, after_seq: int = 0) -> Iterator[Block | list[Event]]:
        """Yield the same events as ``read``: blocks of rows as they were written, all others in lists."""
        for path, item in self._items(after_seq):
            if isinstance(item, Columns) or (isinstance(item, Block) and item.last_seq <= after_seq):
                continue
            if isinstance(item, Block) and not item.singly:
                yield item.after(after_seq)
                continue
            found = events_in(path, item) if isinstance(item, Block) else item
            events = [event for event in found if event.seq > after_seq]
            if events:
                yield events

    def read_columns(self, after_seq: int = 0) -> Iterator[Columns]:
        """Yield the committed columns that were judged beyond ``after_seq``, without their rows up to there."""
        for _, item in self._items(after_seq):
            if isinstance(item, Columns) and item.until > after_seq:
                yield item.after(after_seq)

    def columns_behind(self, after_seq: int) -> Iterator[Columns]:
        """Yield all columns, whole, that stand in the segment of the next seq or in a later one."""
        return (item for _, item in self._items(after_seq) if isinstance(item, Columns))

    def _items(self, after_seq: int) -> Iterator[tuple[Path, Item]]:
        """Yield what was committed from the segment on that holds the next seq, with the file that each is from."""
        with self._chain(after_seq) as (reader, chain, end):
            begin = max(0, bisect_right([segment.first for segment in chain], after_seq + 1) - 1)
            seq = chain[begin].first - 1 if chain else 0
            for index in range(begin, len(chain)):
                segment = chain[index]
                self._readers[reader] = segment.first
                # Of trusted segments only the headers were seen at the start.
                if segment.first != seq + 1:
                    raise missing(segment.path, segment.first, seq + 1)
                for item in items_of(segment.path, segment.first, end if index == len(chain) - 1 else None):
                    if isinstance(item, Block):
                        seq = item.last_seq
                    elif not isinstance(item, Columns):
                        seq = item[-1].seq
                    yield segment.path, item

    @contextmanager
    def _chain(self, after_seq: int) -> Iterator[tuple[object, list[Segment], int | None]]:
        """Give the reader's key in ``_readers``, the segments, and how far the last is committed (None: all of it).

        None that the reader has still to read is removed meanwhile.
        """
        reader = object()
        with self._guard:
            # Without an open segment the last one was closed whole.
            chain, end = list(self._segments), self._durable if self._file >= 0 else None
            self._readers[reader] = after_seq + 1
        try:
            yield reader, chain, end
        finally:
            with self._guard:
                del self._readers[reader]

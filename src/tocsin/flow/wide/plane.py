"""One plane of windows: its parameter arrays, the memory behind them, and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.errors import Misconfigured
from tocsin.flow.wide import layout as at
from tocsin.flow.wide.growing import Growing
from tocsin.flow.wide.memory import address_of
from tocsin.flow.wide.passes import run, run_few
from tocsin.flow.wide.plan import Plan, reader_bits
from tocsin.flow.wide.reserved import HUGE, Rooms, reserved
from tocsin.flow.wide.stage import Stage
from tocsin.flow.wide.stage_lines import FEW

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tocsin.core.desk import Window
    from tocsin.flow.names import Names
    from tocsin.flow.wide.rows import Rows

FIRST_INDEX, FIRST_MAP, FIRST_SEGMENTS, FIRST_CHUNKS = 1 << 10, 1 << 10, 1 << 6, 1 << 6
MOST_EVENTS = 1 << 31
"""Counts of entries of the log are halves of words."""
MOVED_EACH = 32
"""Places of an array that is left that are looked at for each entry: it is empty long before the next growth is due."""
AT_LEAST = 64
"""A batch of few entries moves as much as one of so many: 20 us of work."""
LOOKS_AHEAD = 8192
"""After so many entries it is seen to what will have to grow soon."""


class Plane:
    """The state of the windows of one plan.

    Parameters
    ----------
    windows
        See ``Plan``.
    currency, hashed
        The installation's, and its hash.
    log_events
        Capacity of the log in entries; Misconfigured from 2^31 on.
    counters
        Where errors of item filters are counted.
    """

    def __init__(
        self, windows: Sequence[Window], currency: str, hashed: int, log_events: int, counters: Counter[str]
    ) -> None:
        if log_events >= MOST_EVENTS:
            raise Misconfigured(f"the log of exact windows holds fewer than {MOST_EVENTS:,} events")
        self.plan = plan = Plan(windows)
        self.log_events = log_events
        self.head = np.zeros(at.HEAD, np.int64)
        self.tables, self.groups, self.adds, self.reads, maps = plan.arrays()
        self.maps = np.zeros((maps, at.MAP), np.int64)
        self.indexes = [Growing(line, FIRST_INDEX, index=True) for line in self.tables]
        self._rooms = Rooms()
        self.chunks: list[list[np.ndarray]] = [[] for _ in plan.tables]
        self.chunk_places = [np.zeros(FIRST_CHUNKS, np.int64) for _ in plan.tables]
        self.entries = [Growing(line, FIRST_MAP, index=False) for line in self.maps]
        self._moving: list[Growing] = []
        self._until_look = 0
        self.segments: dict[int, np.ndarray] = {}
        self.segment_places = np.zeros(FIRST_SEGMENTS, np.int64)
        self._default = np.uint64(hashed).astype(np.int64)
        self._kind_bits = np.zeros((0, 2), np.int64)
        self._types = 0
        self._names: Names | None = None
        self._readers: tuple[frozenset[str], ...] = ()
        self._sets: dict[frozenset[str], int] = {}
        self.stage = Stage(plan, self.head, currency, counters)
        self._link()
        self.place()
        self.address = address_of(self.head)

    # Memory.

    def place(self) -> None:
        """Write all addresses and sizes into the parameter arrays."""
        head = self.head
        first, words = self.plan.log_words()
        head[at.H_LOG_WORDS], head[at.H_LOG_VALUES], head[at.H_REACH] = words, 8 * first, self.plan.reach
        head[at.H_LOG_CAPACITY] = self.log_events
        head[at.H_SEGMENTS] = address_of(self.segment_places)
        head[at.H_SEGMENT_MASK] = len(self.segment_places) - 1
        tables = address_of(self.tables)
        head[at.H_TABLES], head[at.H_TABLES_END] = tables, tables + self.tables.nbytes
        for place, index in enumerate(self.indexes):
            index.place()
            self.tables[place, at.T_CHUNKS] = address_of(self.chunk_places[place])
        for place, entries in enumerate(self.entries):
            entries.place()
            self.maps[place, at.M_PLACE] = place

    def _link(self) -> None:
        """Turn the places of lines in each other into addresses, once."""
        groups, adds, reads, maps = (address_of(array) for array in (self.groups, self.adds, self.reads, self.maps))
        for fields, first, size in (
            ((at.T_GROUP, at.T_HOPS, at.T_GROUP_END), groups, at.GROUP_BYTES),
            ((at.T_LAST, at.T_LAST_END), adds, at.ADD_BYTES),
            ((at.T_RECENT, at.T_READ, at.T_READ_END), reads, at.READ_BYTES),
        ):
            for field in fields:
                self.tables[:, field] = first + size * self.tables[:, field]
        self.groups[:, [at.G_ADD, at.G_ADD_END]] = adds + at.ADD_BYTES * self.groups[:, [at.G_ADD, at.G_ADD_END]]
        for lines, field in ((self.tables, at.T_ESCAPES), (self.groups, at.G_PAIRS)):
            lines[:, field] = np.where(lines[:, field] >= 0, maps + at.MAP_BYTES * lines[:, field], 0)

    def _grow(self, need: int) -> None:
        if need == at.NEED_LOG:
            self.more_log()
        elif need >= at.NEED_MAP:
            entries = self.entries[need - at.NEED_MAP]
            self._enlarge(entries, 2 * len(entries))
        else:
            self._more_rows(need - at.NEED_TABLE)

    def more_log(self) -> np.ndarray:
        """Add a segment to the end of the log, and return it: a child sees it where it is lent."""
        number = int(self.head[at.H_LOG_LIMIT]) >> at.SEGMENT_BITS
        if number - (int(self.head[at.H_LOG_BEGIN]) >> at.SEGMENT_BITS) >= len(self.segment_places):
            places = np.zeros(2 * len(self.segment_places), np.int64)
            for known, segment in self.segments.items():
                places[known & (len(places) - 1)] = address_of(segment)
            self.segment_places = places
            self.place()
        segment = reserved([1 << at.SEGMENT_BITS, int(self.head[at.H_LOG_WORDS])], np.int64)
        self.segments[number] = segment
        self.segment_places[number & (len(self.segment_places) - 1)] = address_of(segment)
        self.head[at.H_LOG_LIMIT] += 1 << at.SEGMENT_BITS
        return segment

    def more_chunk(self, table: int) -> np.ndarray:
        """Add a chunk of rows to a table, and return it."""
        chunks, places, line = self.chunks[table], self.chunk_places[table], self.tables[table]
        if len(chunks) == len(places):
            self.chunk_places[table] = places = np.concatenate([places, np.zeros_like(places)])
            line[at.T_CHUNKS] = address_of(places)
        rows, words = 1 << at.CHUNK_BITS, int(line[at.T_WORDS])
        chunks.append(self._rooms.take(rows * words).reshape(rows, words))
        places[len(chunks) - 1] = address_of(chunks[-1])
        line[at.T_CAPACITY] += 1 << at.CHUNK_BITS
        return chunks[-1]

    def _more_rows(self, table: int) -> None:
        line = self.tables[table]
        most = (2 if self.plan.money else 1) * int(self.head[at.H_SUBS])
        while line[at.T_CAPACITY] - line[at.T_USED] + line[at.T_FREES] < most:
            self.more_chunk(table)
        size = len(self.indexes[table])
        while 4 * (line[at.T_LIVE] + most) > 3 * size:
            size *= 2
        if size > len(self.indexes[table]):
            self._enlarge(self.indexes[table], size)

    def _enlarge(self, one: Growing, size: int) -> None:
        one.grow(size)
        if one.moving and one not in self._moving:
            self._moving.append(one)

    def _move(self) -> None:
        """Go on with what grows."""
        for one in self._moving:
            one.move(MOVED_EACH * (int(self.head[at.H_SUBS]) + AT_LEAST))
        self._moving = [one for one in self._moving if one.moving]

    def _trim(self) -> None:
        """Give back the segments of the log that all tails have passed."""
        first = int(self.head[at.H_LOG_BEGIN]) >> at.SEGMENT_BITS
        for number in [number for number in self.segments if number < first]:
            del self.segments[number]

    # Who enters and who reads.

    def declare_readers(self, readers: Sequence[frozenset[str]]) -> None:
        """Say which event types read each of the plan's windows."""
        if tuple(readers) == self._readers:
            return
        self._readers = tuple(readers)
        masks, self._sets = reader_bits(readers)
        for line in self.reads:
            line[at.R_BIT] = masks[line[at.R_OUT]]
        for table in self.tables:
            first = address_of(self.reads)
            lines = self.reads[
                (table[at.T_RECENT] - first) // at.READ_BYTES : (table[at.T_READ_END] - first) // at.READ_BYTES
            ]
            table[at.T_READERS] = np.bitwise_or.reduce(lines[:, at.R_BIT])
        self._types = 0

    def _code_kinds(self, names: Names) -> None:
        """Write what events of each type enter and read; anew whenever a type was added."""
        for of, _, _ in self.plan.conditions:
            names.declare(of)
        for types in self._sets:
            names.declare(types)
        table = np.zeros((len(names.types), 2), np.int64)
        for condition in self.plan.conditions:
            for name in condition[0]:
                table[names.declare_type(name), 0] |= self.plan.bit(condition)
        for types, place in self._sets.items():
            for name in types:
                table[names.declare_type(name), 1] |= 1 << place
        self._kind_bits, self._types, self._names = table, len(names.types), names
        self.head[at.H_KIND_BITS], self.head[at.H_KIND_COUNT] = address_of(table), len(table)

    # The run.

    def step(self, rows: Rows, out: np.ndarray) -> None:
        """Run a batch and fill ``out`` float64 [windows of the plan, n], NaN where a value is missing."""
        if rows.names is not self._names or len(rows.names.types) != self._types:
            self._code_kinds(rows.names)
        through = run_few if rows.n <= FEW else run
        for _ in self.stage.parts(rows):
            while (need := through(self.address, out, self._default)) > at.TRIM:
                self._grow(need)
            if need == at.TRIM:
                self._trim()
            if self._moving:
                self._move()
        self._until_look -= rows.n
        if self._until_look < 0:
            self._until_look = LOOKS_AHEAD
            for one in (*self.indexes, *self.entries):
                one.look_ahead()

    def pairs(self, place: int) -> np.ndarray:
        """Return the entries of a map as copies, int64 [n, 2], in no order."""
        return np.concatenate([entries[entries[:, 0] != 0] for entries in self.entries[place].arrays()])

    def spread(self) -> list[np.ndarray]:
        """Return the arrays that events read and write at random places."""
        open_ = [array for one in (*self.indexes, *self.entries) for array in one.arrays()]
        return [*open_, *self._rooms.used()]

    def shared(self) -> list[np.ndarray]:
        """Return what a forked child sees of that in memory of its own kind (``reserved``)."""
        maps = [array for one in self.entries for array in one.arrays() if array.nbytes >= HUGE]
        return [*maps, *self._rooms.used()]

    # Measures.

    @property
    def forced(self) -> int:
        """How many entries had to leave the log before their span was over."""
        return int(self.head[at.H_FORCED])

    def sizes(self) -> dict[str, int]:
        """Return live keys by entity, and the entries of the log."""
        found = {f"keys:{by}": int(line[at.T_LIVE]) for by, line in zip(self.plan.tables, self.tables, strict=True)}
        return {**found, "log": int(self.head[at.H_LOG_HEAD] - self.head[at.H_LOG_BEGIN])}

    def bytes(self) -> dict[str, int]:
        """Return the bytes of the state by part: index, rows (hops are in them), maps of pairs, log."""
        return {
            "index": sum(index.bytes() for index in self.indexes),
            "rows": sum(chunk.nbytes for chunks in self.chunks for chunk in chunks),
            "maps": sum(entries.bytes() for entries in self.entries),
            "log": sum(segment.nbytes for segment in self.segments.values()),
        }

    def span(self) -> int:
        """Return how far back the exact spans reach in microseconds: all that is declared, or what the log holds."""
        head = self.head
        begin, end = int(head[at.H_LOG_BEGIN]), int(head[at.H_LOG_HEAD])
        if end - begin < self.log_events:
            return self.plan.reach
        first = self.segments[begin >> at.SEGMENT_BITS][begin & ((1 << at.SEGMENT_BITS) - 1), 0]
        return min(self.plan.reach, int(head[at.H_TAU] - first))

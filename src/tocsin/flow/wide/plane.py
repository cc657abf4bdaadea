"""One plane of windows: its parameter arrays, the memory behind them, the staging of batches and the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.filters import item_filter, passes
from tocsin.flow.wide import layout as at
from tocsin.flow.wide.keyed import fill_map, grow_index
from tocsin.flow.wide.passes import run
from tocsin.flow.wide.plan import Plan, reader_bits

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from tocsin.core.desk import Window
    from tocsin.core.events import Event
    from tocsin.flow.wide.rows import Rows

BATCH = 8192
"""Rows of one run; larger batches are cut."""
FIRST_INDEX, FIRST_MAP, FIRST_SEGMENTS, FIRST_CHUNKS = 1 << 10, 1 << 10, 1 << 6, 1 << 6


def address_of(array: np.ndarray) -> int:
    """Return where an array's memory begins."""
    return int(array.ctypes.data)


class Plane:
    """The state of the windows of one plan.

    Parameters
    ----------
    windows
        See ``Plan``.
    currency, hashed
        The installation's, and its hash.
    log_events
        Capacity of the log in entries.
    counters
        Where errors of item filters are counted.
    """

    def __init__(
        self, windows: Sequence[Window], currency: str, hashed: int, log_events: int, counters: Counter[str]
    ) -> None:
        self.plan = plan = Plan(windows)
        self.currency, self.log_events, self.counters = currency, log_events, counters
        self.shards: np.ndarray | None = None
        """bool [256]: the shards whose keys it keeps, None for all."""
        self.head = np.zeros(at.HEAD, np.int64)
        self.tables, self.groups, self.adds, self.reads, maps = plan.arrays()
        self.maps = np.zeros((maps, at.MAP), np.int64)
        self.indexes = [np.zeros(FIRST_INDEX, np.int64) for _ in plan.tables]
        self.chunks: list[list[np.ndarray]] = [[] for _ in plan.tables]
        self.chunk_places = [np.zeros(FIRST_CHUNKS, np.int64) for _ in plan.tables]
        self.entries = [np.zeros((FIRST_MAP, 2), np.int64) for _ in range(maps)]
        self.segments: dict[int, np.ndarray] = {}
        self.segment_places = np.zeros(FIRST_SEGMENTS, np.int64)
        self._default = np.uint64(hashed).astype(np.int64)
        self._kind_bits = np.zeros((0, 2), np.int64)
        self._types = 0
        self._readers: tuple[frozenset[str], ...] = ()
        self._sets: dict[frozenset[str], int] = {}
        self._filters: dict[tuple[str, tuple[str, ...]], Callable[[dict[str, Any], Event], bool]] = {}
        if plan.each:
            self._filters = {(where, of): item_filter(where, of, counters) for where, of in plan.filters}
        self._stage_rows(1)
        self._stage_subs(1)
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
            self.tables[place, [at.T_INDEX, at.T_MASK]] = address_of(index), len(index) - 1
            self.tables[place, at.T_CHUNKS] = address_of(self.chunk_places[place])
        for place, entries in enumerate(self.entries):
            self.maps[place, [at.M_ENTRIES, at.M_MASK, at.M_PLACE]] = address_of(entries), len(entries) - 1, place

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
            self._more_map(need - at.NEED_MAP)
        else:
            self._more_rows(need - at.NEED_TABLE)

    def more_log(self) -> np.ndarray:
        """Add a segment to the end of the log, and return it."""
        number = int(self.head[at.H_LOG_LIMIT]) >> at.SEGMENT_BITS
        if number - (int(self.head[at.H_LOG_BEGIN]) >> at.SEGMENT_BITS) >= len(self.segment_places):
            places = np.zeros(2 * len(self.segment_places), np.int64)
            for known, segment in self.segments.items():
                places[known & (len(places) - 1)] = address_of(segment)
            self.segment_places = places
            self.place()
        segment = np.empty((1 << at.SEGMENT_BITS, int(self.head[at.H_LOG_WORDS])), np.int64)
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
        chunks.append(np.empty((1 << at.CHUNK_BITS, int(line[at.T_WORDS])), np.int64))
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
            index = np.zeros(size, np.int64)
            grow_index(self.indexes[table], index)
            self.indexes[table] = index
            self.place()

    def _more_map(self, place: int) -> None:
        old = self.entries[place]
        new = np.zeros((2 * len(old), 2), np.int64)
        fill_map(old, new)
        self.entries[place] = new
        self.place()

    def _trim(self) -> None:
        """Give back the segments of the log that all tails have passed."""
        first = int(self.head[at.H_LOG_BEGIN]) >> at.SEGMENT_BITS
        for number in [number for number in self.segments if number < first]:
            del self.segments[number]

    # Staging.

    def _stage_rows(self, n: int) -> None:
        tables, head = len(self.plan.tables), self.head
        self._taus, self._kinds = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._currencies, self._foreign, self._reading = (np.zeros(n, np.int64) for _ in range(3))
        self._starts, self._sub_start = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
        self._own_keys, self._own_present = np.zeros((tables, n), np.uint64), np.zeros((tables, n), bool)
        self._row_room = head[at.H_STAGE] = n
        fields = (at.H_TAUS, at.H_KINDS, at.H_CURRENCIES, at.H_FOREIGN, at.H_READS, at.H_STARTS, at.H_SUB_START)
        arrays = (self._taus, self._kinds, self._currencies, self._foreign, self._reading, self._starts)
        for field, array in zip(fields, (*arrays, self._sub_start), strict=True):
            head[field] = address_of(array)
        head[at.H_OWN_KEYS], head[at.H_OWN_PRESENT] = address_of(self._own_keys), address_of(self._own_present)

    def _stage_subs(self, n: int) -> None:
        plan, head = self.plan, self.head
        tables = len(plan.tables)
        self._keys, self._present = np.zeros((tables, n), np.uint64), np.zeros((tables, n), bool)
        clears = self._clears()
        self._flags = np.zeros((len(clears), n), bool)
        self._values = np.zeros((len(plan.values), n), np.int64)
        self._idents = np.zeros((len(plan.idents), n), np.uint64)
        self._bits, self._places, self._foreign_places = (np.zeros(n, np.int64) for _ in range(3))
        self._clear_bits = np.array(clears, np.int64)
        self._sub_room = head[at.H_SUB_STAGE] = n
        head[[at.H_FLAG_COUNT, at.H_VALUE_COUNT, at.H_IDENT_COUNT]] = len(clears), len(plan.values), len(plan.idents)
        head[[at.H_MONEY, at.H_ITEMS]] = plan.mask(sorted(plan.money)), plan.each
        fields = (at.H_FLAGS, at.H_VALUES, at.H_IDENTS, at.H_BITS, at.H_PLACES, at.H_FOREIGN_PLACES, at.H_CLEARS)
        arrays = (self._flags, self._values, self._idents, self._bits, self._places, self._foreign_places)
        for field, array in zip(fields, (*arrays, self._clear_bits), strict=True):
            head[field] = address_of(array)
        head[at.H_SUB_KEYS], head[at.H_SUB_PRESENT] = address_of(self._keys), address_of(self._present)
        if not plan.each:
            head[at.H_OWN_KEYS], head[at.H_OWN_PRESENT] = head[at.H_SUB_KEYS], head[at.H_SUB_PRESENT]
            head[at.H_STAGE] = n

    def _clears(self) -> list[int]:
        """Return the conditions that fall where a flag is false: filters, then values, then identities."""
        plan = self.plan
        flags: list[list[Any]] = [[c for c in plan.conditions if (c[1], c[0]) == each] for each in plan.filters]
        flags += [[c for c in plan.conditions if c[2] == ("fixed", *each)] for each in plan.values]
        flags += [[c for c in plan.conditions if c[2] == ("ident", each, 0)] for each in plan.idents]
        return [plan.mask(conditions) for conditions in flags]

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

    def _code_kinds(self, rows: Rows) -> None:
        """Write what events of each type enter and read; anew whenever a type was added."""
        names = rows.names
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
        self._kind_bits, self._types = table, len(names.types)
        self.head[at.H_KIND_BITS], self.head[at.H_KIND_COUNT] = address_of(table), len(table)

    def _owned(self, keys: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Return which keys are there and of our shards."""
        if self.shards is None:
            return present
        owned: np.ndarray = present & self.shards[(keys >> np.uint64(56)).astype(np.int64)]
        return owned

    # The run.

    def step(self, rows: Rows, out: np.ndarray) -> None:
        """Run a batch and fill ``out`` float64 [windows of the plan, n], NaN where a value is missing."""
        if len(rows.names.types) != self._types:
            self._code_kinds(rows)
        if self.plan.each:
            self._step_items(rows, out)
            return
        taken = self._taken(rows)
        for first in range(0, rows.n, BATCH):
            last = min(first + BATCH, rows.n)
            n = last - first
            if n > self._sub_room:
                self._stage_rows(max(64, 1 << (n - 1).bit_length()))
                self._stage_subs(self._row_room)
            self._fill(taken, self._keys, self._present, slice(first, last), n)
            self._fill_rows(rows, slice(first, last), n)
            self._run(n, n, first, out)

    def _taken(self, rows: Rows) -> Any:
        """Return the columns of rows, or of their items: keys, flags, values, identities."""
        plan, source = self.plan, rows.items if self.plan.each else rows
        keys = [rows.keys(by) if not plan.each else self._item_keys(rows, by) for by in plan.tables]
        values = [source.fixed(name, scale) for name, scale in plan.values]
        idents = [source.identities(name) for name in plan.idents]
        flags = [*(present for _, present in values), *(present for _, present in idents)]
        if plan.each:
            masks = [self._item_mask(rows, where, of) for where, of in plan.filters]
        else:
            masks = [np.asarray(passes(rows, where, of, self.counters)) for where, of in plan.filters]
        return keys, [*masks, *flags], [column for column, _ in values], [column for column, _ in idents]

    def _fill(self, taken: Any, keys: np.ndarray, present: np.ndarray, part: slice, n: int) -> None:
        """Copy a part of the columns to where the kernel reads them."""
        whole = part.start == 0 and n == len(taken[0][0][0])
        for place, (key, there) in enumerate(taken[0]):
            keys[place, :n] = key if whole else key[part]
            owned = there if self.shards is None else self._owned(key, there)
            present[place, :n] = owned if whole else owned[part]
        for staged, columns in ((self._flags, taken[1]), (self._values, taken[2]), (self._idents, taken[3])):
            for place, column in enumerate(columns):
                staged[place, :n] = column if whole else column[part]

    def _fill_rows(self, rows: Rows, part: slice, n: int) -> None:
        self._taus[:n] = rows.taus[part]
        self._kinds[:n] = rows.kinds[part]
        if self.plan.money:
            self._currencies[:n] = self._hashes(rows)[part]

    def _hashes(self, rows: Rows) -> np.ndarray:
        return rows.currencies(self.currency).view(np.int64)

    def _run(self, n: int, subs: int, first: int, out: np.ndarray) -> None:
        head = self.head
        head[at.H_N], head[at.H_SUBS], head[at.H_FIRST_OUT] = n, subs, first
        while True:
            need = run(self.address, out, self._default)
            if need == at.DONE:
                return
            if need == at.TRIM:
                self._trim()
                return
            self._grow(need)

    # Items.

    def _step_items(self, rows: Rows, out: np.ndarray) -> None:
        items = rows.items
        start = np.searchsorted(items.row, np.arange(rows.n + 1))
        taken = self._taken(rows)
        own = [rows.keys(by.removeprefix("items.")) for by in self.plan.tables]
        first = 0
        while first < rows.n:
            last = int(np.searchsorted(start, start[first] + BATCH, side="right")) - 1
            last = min(max(last, first + 1), first + BATCH, rows.n)
            n, subs = last - first, int(start[last] - start[first])
            if n > self._row_room:
                self._stage_rows(max(64, 1 << (n - 1).bit_length()))
            if subs > self._sub_room:
                self._stage_subs(max(64, 1 << (subs - 1).bit_length()))
            self._fill(taken, self._keys, self._present, slice(int(start[first]), int(start[last])), subs)
            for place, (keys, present) in enumerate(own):
                self._own_keys[place, :n] = keys[first:last]
                self._own_present[place, :n] = self._owned(keys, present)[first:last]
            self._sub_start[: n + 1] = start[first : last + 1] - start[first]
            self._fill_rows(rows, slice(first, last), n)
            self._run(n, subs, first, out)
            first = last

    def _item_keys(self, rows: Rows, by: str) -> tuple[np.ndarray, np.ndarray]:
        if by.startswith("items."):
            return rows.items.keys(by.removeprefix("items."))
        keys, present = rows.keys(by)
        return keys[rows.items.row], present[rows.items.row]

    def _item_mask(self, rows: Rows, where: str, of: tuple[str, ...]) -> np.ndarray:
        """Return which items pass a filter, looked at where their event is of these types."""
        keep, among, items = self._filters[where, of], rows.of_type(*of), rows.items
        mask = np.zeros(items.n, bool)
        starts = np.searchsorted(items.row, np.arange(rows.n + 1))
        for row in np.flatnonzero(among & (starts[1:] > starts[:-1])).tolist():
            event = rows.events[row]
            docs = [item for item in event.data["items"] if isinstance(item, dict)]
            mask[starts[row] : starts[row + 1]] = [keep(item, event) for item in docs]
        return mask

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
            "index": sum(index.nbytes for index in self.indexes),
            "rows": sum(chunk.nbytes for chunks in self.chunks for chunk in chunks),
            "maps": sum(entries.nbytes for entries in self.entries),
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

"""The state of a plane as plain arrays: for snapshots, for shards that split and merge, and for its canonical hash.

Rows are renumbered, free ones left out; the log begins at 0. Tails are not kept: where they stand follows from tau.
A stored row has a word for every accumulator, whatever the rows in memory look like (``Table.moves``).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.desk import Aggregate
from tocsin.flow.view import bounds
from tocsin.flow.wide import layout as at
from tocsin.flow.wide.keyed import fill_index, fill_map
from tocsin.flow.wide.passes import touch_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.flow.wide.plan import Plan, Table
    from tocsin.flow.wide.plane import Plane

NEWEST, GENERATION = 1, 2
"""Words of a stored row."""
_LOW = (1 << 32) - 1


class Stored(msgspec.Struct):
    """Plain arrays: per table ``rows`` int64 [keys, words]; ``log`` int64 [entries, words]; ``maps`` int64 [n, 2]."""

    tau: int
    forced: int
    rows: list[np.ndarray]
    log: np.ndarray
    maps: list[np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return them by name."""
        named = {f"rows{place}": rows for place, rows in enumerate(self.rows)}
        return {**named, "log": self.log, **{f"map{place}": pairs for place, pairs in enumerate(self.maps)}}

    def slots(self, plan: Plan) -> np.ndarray:
        """Return the rows that entries went to, as a view int32 [entries, tables]."""
        halves = self.log.view(np.int32)
        return halves[:, at.ENTRY_SLOTS // 4 : at.ENTRY_SLOTS // 4 + len(plan.tables)]


def held(plane: Plane, place: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the chunks of a table's rows, each with which of its rows hold a key, int64 [n]."""
    used = int(plane.tables[place, at.T_USED])
    for number, whole in enumerate(plane.chunks[place]):
        chunk = whole[: max(0, used - (number << at.CHUNK_BITS))]
        yield chunk, np.flatnonzero(chunk.view(np.int32)[:, at.ROW_GENERATION // 4])


def live_rows(plane: Plane, place: int) -> Iterator[np.ndarray]:
    """Yield the rows of a table that hold a key, copied, as they are stored, at least one block of them."""
    table, begin = list(plane.plan.tables.values())[place], int(plane.head[at.H_LOG_BEGIN])
    yield np.empty((0, table.words), np.int64)
    for chunk, kept in held(plane, place):
        rows = unpacked(chunk[kept], table)
        rows[:, GENERATION] = 1
        if table.keep < 0:
            rows[:, NEWEST] = (rows[:, NEWEST] - begin) & _LOW
        yield rows


def live_slots(plane: Plane, place: int) -> np.ndarray:
    """Return the slots of these rows, int64 [n]."""
    slots = [kept + (number << at.CHUNK_BITS) for number, (_, kept) in enumerate(held(plane, place))]
    return np.concatenate(slots) if slots else np.empty(0, np.int64)


def unpacked(rows: np.ndarray, table: Table) -> np.ndarray:
    """Return rows in memory, int64 [n, size], as stored ones, int64 [n, words]."""
    found, halves = np.zeros((len(rows), table.words), np.int64), rows.view(np.int32)
    for word, place, count in table.moves:
        if count:
            found[:, word : word + count] = rows[:, place // 8 : place // 8 + count]
        else:
            found[:, word] = halves[:, place // 4]
    if table.keep >= 0:
        found[:, NEWEST] = ((found[:, NEWEST] & _LOW) << at.NEWEST_BITS) - 1
    return found


def packed(stored: np.ndarray, table: Table) -> np.ndarray:
    """Return stored rows, int64 [n, words], as rows in memory, int64 [n, size]."""
    rows = np.zeros((len(stored), table.size), np.int64)
    halves = rows.view(np.int32)
    for word, place, count in table.moves:
        if count:
            rows[:, place // 8 : place // 8 + count] = stored[:, word : word + count]
        else:
            halves[:, place // 4] = stored[:, word].astype(np.int32)
    if table.keep >= 0:
        halves[:, at.ROW_NEWEST // 4] = ((stored[:, NEWEST] >> at.NEWEST_BITS) + 1).astype(np.int32)
    return rows


def capture(plane: Plane) -> Stored:
    """Return a copy of a plane's state."""
    plan, head = plane.plan, plane.head
    touch_all(plane.address)
    begin, end = int(head[at.H_LOG_BEGIN]), int(head[at.H_LOG_HEAD])
    parts = []
    for number in range(begin >> at.SEGMENT_BITS, (end - 1 >> at.SEGMENT_BITS) + 1 if end > begin else 0):
        first = number << at.SEGMENT_BITS
        parts.append(plane.segments[number][max(0, begin - first) : end - first])
    log = np.concatenate(parts) if parts else np.empty((0, int(head[at.H_LOG_WORDS])), np.int64)
    stored = Stored(int(head[at.H_TAU]), int(head[at.H_FORCED]), [], log, [])
    slots = stored.slots(plan)
    for place in range(len(plan.tables)):
        live = live_slots(plane, place)
        to = np.full(int(plane.tables[place, at.T_USED]), -1, np.int64)
        to[live] = np.arange(len(live))
        known = slots[:, place] >= 0
        slots[known, place] = to[slots[known, place]]
        stored.rows.append(np.concatenate(list(live_rows(plane, place))))
    stored.maps = [plane.pairs(place) for place in range(len(plane.entries))]
    return stored


def load(plane: Plane, stored: Stored) -> None:
    """Fill an empty plane of the same plan."""
    head, log = plane.head, np.asarray(stored.log)
    head[at.H_TAU], head[at.H_FORCED] = stored.tau, stored.forced
    for place, (source, table) in enumerate(zip(stored.rows, plane.plan.tables.values(), strict=True)):
        line, rows = plane.tables[place], packed(np.asarray(source), table)
        for first in range(0, len(rows), 1 << at.CHUNK_BITS):
            chunk = plane.more_chunk(place)
            part = rows[first : first + len(chunk)]
            chunk[: len(part)] = part
        line[[at.T_USED, at.T_LIVE]] = len(rows)
        index = plane.indexes[place].restart(room(len(rows), len(plane.indexes[place])))
        fill_index(np.array(rows[:, 0]), np.arange(len(rows)), index)
    for place, entries in enumerate(stored.maps):
        space = plane.entries[place].restart(room(len(entries), len(plane.entries[place])))
        fill_map(np.array(entries), space)
        plane.maps[place, at.M_LIVE] = len(entries)
    plane.place()
    for first in range(0, len(log), 1 << at.SEGMENT_BITS):
        segment = plane.more_log()
        part = log[first : first + len(segment)]
        segment[: len(part)] = part
    head[[at.H_LOG_BEGIN, at.H_LOG_HEAD]] = 0, len(log)
    taus = np.ascontiguousarray(log[:, 0])
    for group in plane.groups:
        group[at.G_TAIL] = np.searchsorted(taus, stored.tau - group[at.G_REACH], side="right")
        group[at.G_CURSOR] = np.searchsorted(taus, stored.tau - group[at.G_DELAY], side="right")


def room(n: int, least: int) -> int:
    """Return the size of an open-addressing array for ``n`` entries, a power of two, at most 5/8 full."""
    size = least
    while 8 * n > 5 * size:
        size *= 2
    return size


def shard_of(keys: np.ndarray) -> np.ndarray:
    """Return the shard of each key (int64 bits of the hash): its upper eight bits."""
    shards: np.ndarray = (keys.view(np.uint64) >> np.uint64(56)).astype(np.int64)
    return shards


def part_of(stored: Stored, plan: Plan, shards: np.ndarray) -> Stored:
    """Return what belongs to these shards (bool [256])."""
    part = Stored(stored.tau, stored.forced, [], stored.log.copy(), [])
    slots = part.slots(plan)
    kept = []
    for place, rows in enumerate(stored.rows):
        mine = shards[shard_of(np.ascontiguousarray(rows[:, 0]))]
        to = np.append(np.where(mine, np.cumsum(mine) - 1, -1), -1)
        slots[:, place] = to[slots[:, place]]
        kept.append(rows[mine])
    entries = (slots >= 0).any(axis=1)
    place_of = np.cumsum(entries) - 1
    part.log = part.log[entries]
    for rows, table in zip(kept, plan.tables.values(), strict=True):
        if table.keep < 0:
            rows[:, NEWEST] = place_of[rows[:, NEWEST]]
    part.rows = kept
    part.maps = [pairs[shards[shard_of(np.ascontiguousarray(pairs[:, 0]))]] for pairs in stored.maps]
    return part


def whole_of(parts: Sequence[Stored], plan: Plan) -> Stored:
    """Return the state of which these are the parts, all at the same tau; no key is in two of them."""
    log = np.concatenate([part.log for part in parts])
    order = np.argsort(log[:, 0], kind="stable")
    place_of = np.empty(len(log), np.int64)
    place_of[order] = np.arange(len(log))
    first = 0
    whole = Stored(max(part.tau for part in parts), max(part.forced for part in parts), [], log, [])
    slots = whole.slots(plan)
    offsets = np.zeros(len(plan.tables), np.int64)
    found: list[list[np.ndarray]] = [[] for _ in plan.tables]
    for part in parts:
        mine = slots[first : first + len(part.log)]
        mine += np.where(mine >= 0, offsets, 0).astype(np.int32)
        for place, (source, table) in enumerate(zip(part.rows, plan.tables.values(), strict=True)):
            rows = source.copy()
            if table.keep < 0:
                rows[:, NEWEST] = place_of[rows[:, NEWEST] + first]
            found[place].append(rows)
            offsets[place] += len(rows)
        first += len(part.log)
    whole.log = log[order]
    whole.rows = [np.concatenate(rows) for rows in found]
    whole.maps = [np.concatenate(maps) for maps in zip(*(part.maps for part in parts), strict=True)]
    return whole


def digest(stored: Stored, plan: Plan) -> str:
    """Return the hash of what can still matter, whatever way it came about."""
    found = hashlib.blake2b(digest_size=16)
    slots = stored.slots(plan)
    escapes = 0
    for place, table in enumerate(plan.tables.values()):
        rows = stored.rows[place]
        found.update(table.by.encode())
        keyed = np.column_stack([rows[:, 0], lasting(rows, table, stored.tau)])
        keyed = keyed[(keyed[:, 1:] != 0).any(axis=1)]
        found.update(keyed[np.argsort(keyed[:, 0])].tobytes())
        found.update(entries_of(stored, plan, table, slots[:, place], rows).tobytes())
        if any(add.width == at.NARROW and add.kind == at.SUM for group in table.hops for add in group.adds):
            pairs = stored.maps[escapes]
            found.update(pairs[np.argsort(pairs[:, 0])].tobytes())
        escapes += _maps_of(table)
    return found.hexdigest()


def _maps_of(table: Table) -> int:
    """Return how many maps a table has, in the order of ``Plan.arrays``."""
    narrow = any(add.width == at.NARROW and add.kind == at.SUM for group in table.hops for add in group.adds)
    return narrow + sum(any(add.kind == at.DISTINCT for add in group.adds) for group in table.exact)


def lasting(rows: np.ndarray, table: Table, tau: int) -> np.ndarray:
    """Return the columns that do not follow from the log: last entries that a window can reach, and rings of hops."""
    columns = []
    for add in table.last:
        last = rows[:, add.word]
        windows = [r.window for r in table.readings if r.window.fold is Aggregate.RECENCY and add in r.adds]
        first = min(bounds(window, tau)[0] for window in windows)
        columns.append(np.where(last > first, last, 0))
    rings = [add.ring for group in table.hops for add in group.adds if add.width != at.NARROW]
    halves = [add.ring // 2 for group in table.hops for add in group.adds if add.width == at.NARROW]
    begin = min([*rings, *halves], default=rows.shape[1])
    return np.column_stack([*columns, rows[:, begin:]])


def entries_of(stored: Stored, plan: Plan, table: Table, slots: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a table's entries of the log that some tail has yet to pass: key, tau, conditions, values; sorted."""
    reach = max((group.span + group.delay for group in table.exact), default=0)
    inside = (stored.log[:, 0] > stored.tau - reach) & (slots >= 0)
    log = stored.log[inside]
    adds = [add for group in table.exact for add in group.adds]
    bits = log[:, 1] & plan.mask([add.condition for add in adds])
    columns = [rows[slots[inside], 0], log[:, 0], bits]
    first, _ = plan.log_words()
    needs = [("fixed", *value) for value in plan.values] + [("ident", ident, 0) for ident in plan.idents]
    for place, need in enumerate(needs):
        wanted = plan.mask([add.condition for add in adds if add.condition[2] == need])
        columns.append(np.where(bits & wanted, log[:, first + place], 0))
    entries = np.column_stack(columns)
    ordered: np.ndarray = entries[np.lexsort(entries.T[::-1])]
    return ordered

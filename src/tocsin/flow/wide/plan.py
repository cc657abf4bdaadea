"""Plans: the words, rings, conditions and readings that the windows of one plane need, as parameters of kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.desk import Aggregate, Window
from tocsin.core.events import Kind
from tocsin.errors import Misconfigured
from tocsin.flow.fields import field_of, scale_of
from tocsin.flow.view import HOPS, HOUR_S, MICROS, reach
from tocsin.flow.wide import layout as at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.events import Field

MOST_BITS = 60
"""Conditions of one plane; further windows go to another."""
LONGEST_RING = 512
"""Hops kept per key at most: a delay of more hops is left to the plain store."""
SMALL = (Kind.INTEGER, Kind.MONEY, Kind.BOOLEAN)
"""Kinds whose hourly sums fit 32 bits as a rule."""

Need = tuple[str, str, int]
"""What an entry must have: ("", "", 0) nothing, ("fixed", field, scale), ("ident", field, 0)."""
Condition = tuple[tuple[str, ...], str, Need]
NOTHING: Need = ("", "", 0)
READS = {
    Aggregate.COUNT: at.READ_COUNT,
    Aggregate.DISTINCT: at.READ_COUNT,
    Aggregate.SUM: at.READ_SUM,
    Aggregate.MEAN: at.READ_MEAN,
    Aggregate.STD: at.READ_STD,
    Aggregate.RECENCY: at.READ_RECENCY,
}


def carried(window: Window) -> bool:
    """Return whether a plane computes a window; the others stay with their plain store."""
    exact = window.span_s <= HOUR_S
    if window.fold is Aggregate.DISTINCT:
        return exact and window.delay_s <= HOUR_S
    if exact:
        return window.delay_s <= HOUR_S
    if window.fold is Aggregate.RECENCY:
        return not window.delay_s
    return ring_of(window) <= LONGEST_RING


def ring_of(window: Window) -> int:
    """Return how many hops are kept: those of the window and those that wait for the delay."""
    if not window.delay_s:
        return HOPS
    return HOPS + 1 + math.ceil(window.delay_s * MICROS / (window.span_s * MICROS // HOPS))


def needs_of(window: Window) -> tuple[Need, Field | None]:
    """Return what an entry needs to count in a window, and the field that it aggregates."""
    if not window.field:
        return NOTHING, None
    field = field_of(window.of, window.field, item=window.each)
    if window.fold is Aggregate.DISTINCT:
        return ("ident", window.field, 0), field
    return ("fixed", window.field, scale_of(field)), field


class Add(msgspec.Struct):
    """One word, or two, of a group: what an entry adds where its condition holds."""

    kind: int
    condition: Condition
    width: int = at.WIDE
    word: int = 0
    ring: int = -1
    """The word of a stored row, and where its ring begins there: in halves where it is narrow, else in words."""
    offset: int = 0
    ring_offset: int = -1
    """The same of a row in memory: in bytes, and as ``ring``."""

    @property
    def half(self) -> bool:
        """Whether it is a half in memory, in an exact group: counts of entries of the log."""
        return self.kind in (at.COUNT, at.DISTINCT)


class Group(msgspec.Struct):
    """The windows of a table with one span and delay."""

    span: int
    delay: int
    ring: int
    """Hops kept; 0 where the span is exact."""
    adds: list[Add] = msgspec.field(default_factory=list)

    def add(self, kind: int, condition: Condition, width: int = at.WIDE) -> Add:
        """Return the add of this kind and condition; made at first sight."""
        for add in self.adds:
            if (add.kind, add.condition) == (kind, condition):
                return add
        self.adds.append(Add(kind, condition, width))
        return self.adds[-1]

    def offset(self, kind: int, beside: Add) -> int:
        """Return where in a row the add of that kind under the same condition is, 0 where there is none."""
        return next((add.offset for add in self.adds if (add.kind, add.condition) == (kind, beside.condition)), 0)

    def joined(self, add: Add) -> bool:
        """Return whether the kernel makes an exact add together with the sum under the same condition."""
        return add.kind in (at.COUNT, at.SQUARES) and any(
            one.kind == at.SUM and one.condition == add.condition for one in self.adds
        )


class Reading(msgspec.Struct):
    """How one window is read: the adds of its count, sum and squares."""

    place: int
    window: Window
    adds: list[Add]
    money: bool
    unit: float


class Table(msgspec.Struct):
    """All windows of one ``by``."""

    by: str
    groups: dict[tuple[int, int, bool], Group] = msgspec.field(default_factory=dict)
    last: list[Add] = msgspec.field(default_factory=list)
    readings: list[Reading] = msgspec.field(default_factory=list)
    words: int = 0
    """Of a stored row."""
    size: int = 0
    """Words of a row in memory."""
    moves: list[tuple[int, int, int]] = msgspec.field(default_factory=list)
    """Where the words of a stored row are in memory: (word, bytes into the row, how many words, 0: a half)."""

    @property
    def exact(self) -> list[Group]:
        """The groups that live by the log, of ascending reach."""
        return sorted((g for g in self.groups.values() if not g.ring), key=lambda g: (g.span + g.delay, g.delay))

    @property
    def hops(self) -> list[Group]:
        """The groups of hops."""
        return [group for group in self.groups.values() if group.ring]

    @property
    def keep(self) -> int:
        """Microseconds that a row outlives its last entry, -1 where rows go with their last entry of the log."""
        if not self.hops and not self.last:
            return -1
        return max(reach(reading.window) for reading in self.readings)

    def lay_out(self) -> None:
        """Give every add its word and its ring: a group's words side by side, narrow rings last."""
        word = at.STORED_FIRST_HOPS if self.hops else at.STORED_FIRST
        for adds in [*(group.adds for group in self.exact), self.last, *(group.adds for group in self.hops)]:
            for add in adds:
                add.word = word
                word += 2 if add.kind == at.SQUARES else 1
        for group in self.hops:
            for add in group.adds:
                if add.width != at.NARROW:
                    add.ring = word
                    word += group.ring * (2 if add.width == at.DOUBLE else 1)
        half = 2 * word
        for group in self.hops:
            for add in group.adds:
                if add.width == at.NARROW:
                    add.ring = half
                    half += group.ring
        self.words = -(-half // 2)
        self._lay_out_memory()

    def _lay_out_memory(self) -> None:
        """Say where all that is: counts of exact spans in halves, side by side, so that a short row is one line."""
        exact = [add for group in self.exact for add in group.adds]
        hops = [(group, add) for group in self.hops for add in group.adds]
        self.moves = [(0, at.ROW_KEY, 1), (1, at.ROW_NEWEST, 0), (2, at.ROW_GENERATION, 0)]
        if hops:
            self.moves += [(3, at.ROW_TURNED, 2)]
        half = 2 * (at.ROW_FIRST_HOPS if hops else at.ROW_FIRST)
        for add in exact:
            if add.half:
                add.offset = 4 * half
                self.moves.append((add.word, add.offset, 0))
                half += 1
        word = -(-half // 2)
        for add in [*(add for add in exact if not add.half), *self.last, *(add for _, add in hops)]:
            add.offset, size = 8 * word, 2 if add.kind == at.SQUARES else 1
            self.moves.append((add.word, add.offset, size))
            word += size
        for group, add in hops:
            if add.width != at.NARROW:
                add.ring_offset, size = word, group.ring * (2 if add.width == at.DOUBLE else 1)
                self.moves.append((add.ring, 8 * word, size))
                word += size
        narrow = [add for _, add in hops if add.width == at.NARROW]
        for add in narrow:
            add.ring_offset = 2 * word + add.ring - narrow[0].ring
        if narrow:
            first = narrow[0].ring // 2
            self.moves.append((first, 8 * word, self.words - first))
            word += self.words - first
        self.size = max(word, at.LINE_WORDS)


class Plan:
    """The windows of one plane: all over events, or all over items.

    Parameters
    ----------
    windows
        In their order; ``carried``, and of one ``each``.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = list(windows)
        self.each = windows[0].each
        self.conditions: dict[Condition, int] = {}
        self.money: set[Condition] = set()
        self.tables: dict[str, Table] = {}
        for place, window in enumerate(windows):
            self._window(place, window)
        for table in self.tables.values():
            table.lay_out()
        self.values = sorted({(need[1], need[2]) for _, _, need in self.conditions if need[0] == "fixed"})
        self.idents = sorted({need[1] for _, _, need in self.conditions if need[0] == "ident"})
        self.filters = sorted({(where, of) for of, where, _ in self.conditions if where})
        exact = [group for table in self.tables.values() for group in table.exact]
        self.reach = max((group.span + group.delay for group in exact), default=0)

    def _condition(self, window: Window, need: Need) -> Condition:
        condition = (window.of, window.where, need)
        self.conditions.setdefault(condition, len(self.conditions))
        return condition

    def _window(self, place: int, window: Window) -> None:
        need, field = needs_of(window)
        table = self.tables.setdefault(window.by, Table(window.by))
        condition = self._condition(window, need)
        money = need[0] == "fixed" and field is not None and field.kind is Kind.MONEY
        if money:
            self.money.add(condition)
        span, delay, exact = window.span_s * MICROS, window.delay_s * MICROS, window.span_s <= HOUR_S
        if window.fold is Aggregate.RECENCY and not delay:
            adds = [add for add in table.last if add.condition == condition] or [Add(at.LAST, condition)]
            if adds[0] not in table.last:
                table.last.append(adds[0])
        else:
            group = table.groups.setdefault((span, delay, exact), Group(span, delay, 0 if exact else ring_of(window)))
            small = field is not None and field.kind in SMALL
            adds = self._adds(group, window.fold, condition, small)
        unit = float(10 ** need[2])
        table.readings.append(Reading(place, window, adds, money, unit))

    @staticmethod
    def _adds(group: Group, fold: Aggregate, condition: Condition, small: bool) -> list[Add]:
        if fold is Aggregate.DISTINCT:
            return [group.add(at.DISTINCT, condition)]
        if fold is Aggregate.RECENCY:
            return [group.add(at.LAST, condition)]
        hops = bool(group.ring)
        count, total, squares = at.COUNT, at.SUM, at.SQUARES
        adds = []
        if fold is not Aggregate.SUM:
            adds.append(group.add(count, condition, at.NARROW if hops else at.WIDE))
        if fold is not Aggregate.COUNT:
            adds.append(group.add(total, condition, at.NARROW if hops and small else at.WIDE))
        if fold is Aggregate.STD:
            adds.append(group.add(squares, condition, at.DOUBLE))
        return adds

    def bit(self, condition: Condition) -> int:
        """Return a condition as a mask of one bit."""
        return 1 << self.conditions[condition]

    def source(self, need: Need) -> int:
        """Return the place of an entry's value or identity."""
        if need[0] == "ident":
            return self.idents.index(need[1])
        return self.values.index((need[1], need[2])) if need[0] else 0

    def log_words(self) -> tuple[int, int]:
        """Return (words before an entry's values, all words of an entry)."""
        first = 2 + -(-len(self.tables) // 2)
        return first, first + len(self.values) + len(self.idents)

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
        """Return ``tables``, ``groups``, ``adds``, ``reads`` with what never changes, and how many maps they use."""
        tables = np.zeros((len(self.tables), at.TABLE), np.int64)
        groups: list[list[int]] = []
        adds: list[list[int]] = []
        reads: list[list[int]] = []
        maps = 0
        for place, (table, line) in enumerate(zip(self.tables.values(), tables, strict=True)):
            line[[at.T_PLACE, at.T_WORDS, at.T_GENERATION, at.T_FREE]] = place, table.size, 1, -1
            line[[at.T_KEEP, at.T_HAND]] = table.keep, -1
            line[at.T_OF_ITEMS] = table.by.startswith("items.")
            escapes = sum(add.width == at.NARROW and add.kind == at.SUM for g in table.hops for add in g.adds)
            line[[at.T_ESCAPES, at.T_ROOM]] = maps if escapes else -1, escapes
            maps += bool(escapes)
            line[at.T_GROUP] = len(groups)
            line[at.T_HOPS] = len(groups) + len(table.exact)
            line[at.T_GROUP_END] = len(groups) + len(table.groups)
            for group in [*table.exact, *table.hops]:
                groups.append(self._group(group, adds, maps))
                maps += groups[-1][at.G_PAIRS] >= 0
            line[at.T_LAST] = len(adds)
            adds.extend(self._add(add, 0, None) for add in table.last)
            line[at.T_LAST_END] = len(adds)
            line[at.T_RECENT] = len(reads)
            ordered = sorted(table.readings, key=lambda r: r.window.fold is not Aggregate.RECENCY)
            line[at.T_READ] = len(reads) + sum(r.window.fold is Aggregate.RECENCY for r in ordered)
            reads.extend(self._read(reading) for reading in ordered)
            line[at.T_READ_END] = len(reads)
            logged = [add.condition for group in table.exact for add in group.adds]
            both = [*logged, *(add.condition for add in table.last)]
            both += [add.condition for group in table.hops for add in group.adds]
            line[at.T_LOGGED], line[at.T_BITS] = self.mask(logged), self.mask(both)
        shape = (
            np.array(groups or np.zeros((0, at.GROUP)), np.int64),
            np.array(adds or np.zeros((0, at.ADD)), np.int64),
            np.array(reads, np.int64),
        )
        return tables, *shape, maps

    def mask(self, conditions: Sequence[Condition]) -> int:
        """Return the bits of conditions."""
        bits = 0
        for condition in conditions:
            bits |= self.bit(condition)
        return bits

    def _group(self, group: Group, adds: list[list[int]], maps: int) -> list[int]:
        line = [0] * at.GROUP
        line[at.G_REACH], line[at.G_DELAY] = group.span + group.delay, group.delay
        line[at.G_ADD] = len(adds)
        lines = group.adds if group.ring else [add for add in group.adds if not group.joined(add)]
        adds.extend([self._add(add, len(adds) + 2 + i, group) for i, add in enumerate(lines)])
        line[at.G_ADD_END] = len(adds)
        line[at.G_ROOM] = sum(add.kind == at.DISTINCT for add in group.adds)
        line[at.G_PAIRS] = maps if line[at.G_ROOM] else -1
        line[at.G_TAIL_TAU] = line[at.G_CURSOR_TAU] = at.NEVER
        if group.ring:
            line[at.G_HOP], line[at.G_RING] = group.span // HOPS, group.ring
            line[at.G_NEXT] = line[at.G_AT_NEXT] = -at.NEVER
        return line

    def _add(self, add: Add, tag: int, group: Group | None) -> list[int]:
        line = [0] * at.ADD
        bit = self.bit(add.condition)
        line[at.A_BIT], line[at.A_KIND], line[at.A_WORD] = bit, add.kind, add.offset
        line[at.A_SOURCE] = self.source(add.condition[2])
        line[at.A_RING], line[at.A_WIDE] = add.ring_offset, add.width
        if group is not None and not group.ring and add.kind == at.SUM:
            line[at.A_KIND], line[at.A_RING] = at.MOMENTS, add.offset
            line[at.A_WORD], line[at.A_WIDE] = group.offset(at.COUNT, add), group.offset(at.SQUARES, add)
        plain = add.kind == at.COUNT or (add.kind == at.SUM and add.width != at.NARROW)
        line[at.A_TAG] = 0 if plain else tag
        return line

    def _read(self, reading: Reading) -> list[int]:
        line = [0] * at.READ
        window, adds = reading.window, {add.kind: add.offset for add in reading.adds}
        line[at.R_KIND], line[at.R_OUT], line[at.R_MONEY] = READS[window.fold], reading.place, reading.money
        line[at.R_COUNT] = next((add.offset for add in reading.adds if add.kind not in (at.SUM, at.SQUARES)), 0)
        line[at.R_SUM], line[at.R_SQUARES] = adds.get(at.SUM, 0), adds.get(at.SQUARES, 0)
        line[at.R_UNIT] = int(np.array(reading.unit, np.float64).view(np.int64))
        line[at.R_SPAN], line[at.R_DELAY] = window.span_s * MICROS, window.delay_s * MICROS
        line[at.R_HOP] = 0 if window.span_s <= HOUR_S else window.span_s * MICROS // HOPS
        return line


def plans_of(windows: Sequence[Window]) -> list[list[int]]:
    """Return the places of the windows by plane: events and items apart, at most ``MOST_BITS`` conditions in each."""
    parts: list[list[int]] = []
    for each in (False, True):
        part: list[int] = []
        conditions: set[Condition] = set()
        for place, window in enumerate(windows):
            if window.each is each:
                condition = (window.of, window.where, needs_of(window)[0])
                if part and len(conditions | {condition}) > MOST_BITS:
                    parts.append(part)
                    part, conditions = [], set()
                part.append(place)
                conditions.add(condition)
        if part:
            parts.append(part)
    return parts


def reader_bits(readers: Sequence[frozenset[str]]) -> tuple[list[int], dict[frozenset[str], int]]:
    """Return each window's mask, and the bit of every set of reading types."""
    sets: dict[frozenset[str], int] = {}
    for types in readers:
        sets.setdefault(types, len(sets))
    if len(sets) > MOST_BITS:
        raise Misconfigured(f"more than {MOST_BITS} different sets of event types read windows of one kind")
    return [1 << sets[types] for types in readers], sets

"""Staging: the columns of a batch, or of its items, where the kernel of a plane reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.filters import item_mask, mask
from tocsin.flow.wide import layout as at
from tocsin.flow.wide.itemised import item_keys, item_starts
from tocsin.flow.wide.lines import LineRows
from tocsin.flow.wide.memory import address_of
from tocsin.flow.wide.stage_lines import FEW, LineStage

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tocsin.flow.wide.plan import Plan
    from tocsin.flow.wide.rows import Rows

BATCH = 8192
"""Rows of one run, and items of it as a rule; larger batches are cut."""
Columns = list[np.ndarray]


class Stage:
    """Copies of columns at addresses that stay while batches are no larger, written into a plane's ``head``."""

    def __init__(self, plan: Plan, head: np.ndarray, currency: str, counters: Counter[str]) -> None:
        self.plan, self.head, self.currency, self.counters = plan, head, currency, counters
        self.shards: np.ndarray | None = None
        """bool [256]: the shards whose keys are kept, None for all."""
        self._lines, self._at = LineStage(plan, currency), address_of(head)
        self._clear_bits = np.array(self._clears(), np.int64)
        head[at.H_CLEARS] = address_of(self._clear_bits)
        head[[at.H_FLAG_COUNT, at.H_VALUE_COUNT]] = len(self._clear_bits), len(plan.values)
        head[[at.H_IDENT_COUNT, at.H_ITEMS]] = len(plan.idents), plan.each
        head[at.H_MONEY] = plan.mask(sorted(plan.money))
        self._room_for_rows(1)
        self._room_for_subs(1)

    def _clears(self) -> list[int]:
        """Return the conditions that fall where a flag is false: filters, then values, then identities."""
        plan = self.plan
        flags = [[c for c in plan.conditions if (c[1], c[0]) == each] for each in plan.filters]
        flags += [[c for c in plan.conditions if c[2] == ("fixed", *each)] for each in plan.values]
        flags += [[c for c in plan.conditions if c[2] == ("ident", each, 0)] for each in plan.idents]
        return [plan.mask(conditions) for conditions in flags]

    def _room_for_rows(self, n: int) -> None:
        tables = len(self.plan.tables)
        self._taus, self._kinds, self._currencies = (np.zeros(n, np.int64) for _ in range(3))
        self._made = [np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n + 1, np.int64)]
        self._sub_start = np.zeros(n + 1, np.int64)
        self._own_keys, self._own_present = np.zeros((tables, n), np.uint64), np.zeros((tables, n), bool)
        self._rows = n
        self._address((at.H_TAUS, at.H_KINDS, at.H_CURRENCIES), [self._taus, self._kinds, self._currencies])
        self._address((at.H_FOREIGN, at.H_READS, at.H_STARTS), self._made)
        self._address((at.H_SUB_START, at.H_OWN_KEYS, at.H_OWN_PRESENT),
                      [self._sub_start, self._own_keys, self._own_present])  # fmt: skip
        self.head[at.H_STAGE] = n

    def _room_for_subs(self, n: int) -> None:
        plan = self.plan
        self._keys, self._present = np.zeros((len(plan.tables), n), np.uint64), np.zeros((len(plan.tables), n), bool)
        self._flags = np.zeros((len(self._clear_bits), n), bool)
        self._values = np.zeros((len(plan.values), n), np.int64)
        self._idents = np.zeros((len(plan.idents), n), np.uint64)
        self._placed = [np.zeros(n, np.int64) for _ in range(3)]
        self._subs = n
        self._address((at.H_FLAGS, at.H_VALUES, at.H_IDENTS), [self._flags, self._values, self._idents])
        self._address((at.H_BITS, at.H_PLACES, at.H_FOREIGN_PLACES), self._placed)
        self._address((at.H_SUB_KEYS, at.H_SUB_PRESENT), [self._keys, self._present])
        self.head[at.H_SUB_STAGE] = n
        if not plan.each:
            self._address((at.H_OWN_KEYS, at.H_OWN_PRESENT), [self._keys, self._present])
            self.head[at.H_STAGE] = n

    def _address(self, fields: tuple[int, ...], arrays: Columns) -> None:
        for field, array in zip(fields, arrays, strict=True):
            self.head[field] = address_of(array)

    def parts(self, rows: Rows) -> Iterator[int]:
        """Stage a batch part by part, and yield each part's first row; ``head`` says how many rows it has."""
        if self._few_lines(rows):
            yield 0
            return
        taken = self._taken(rows)
        if self.plan.each:
            yield from self._item_parts(rows, taken)
            return
        for first in range(0, rows.n, BATCH):
            last = min(first + BATCH, rows.n)
            if last - first > self._subs:
                self._room_for_rows(_room(last - first))
                self._room_for_subs(self._rows)
            self._fill(taken, slice(first, last))
            self._fill_rows(rows, slice(first, last), last - first)
            yield first

    def _few_lines(self, rows: Rows | LineRows) -> bool:
        """Stage few lines as a whole, without columns; return whether that went."""
        if rows.n > FEW or not isinstance(rows, LineRows) or self.plan.each or self.shards is not None:
            return False
        if rows.n > self._subs:
            self._room_for_rows(FEW)
            self._room_for_subs(FEW)
        for place, (where, of) in enumerate(self.plan.filters):
            self._flags[place, : rows.n] = mask(rows, where, of, self.counters)
        return self._lines.staged(self._at, rows)

    def _item_parts(self, rows: Rows, taken: tuple[Any, ...]) -> Iterator[int]:
        starts = item_starts(rows)
        own = [rows.keys(by.removeprefix("items.")) for by in self.plan.tables]
        first = 0
        while first < rows.n:
            last = int(np.searchsorted(starts, starts[first] + BATCH, side="right")) - 1
            last = min(max(last, first + 1), first + BATCH, rows.n)
            n, begin, end = last - first, int(starts[first]), int(starts[last])
            if n > self._rows:
                self._room_for_rows(_room(n))
            if end - begin > self._subs:
                self._room_for_subs(_room(end - begin))
            self._fill(taken, slice(begin, end))
            for place, (keys, present) in enumerate(own):
                self._own_keys[place, :n] = keys[first:last]
                self._own_present[place, :n] = self._owned(keys, present)[first:last]
            self._sub_start[: n + 1] = starts[first : last + 1] - begin
            self._fill_rows(rows, slice(first, last), end - begin)
            yield first
            first = last

    def _taken(self, rows: Rows) -> tuple[list[tuple[np.ndarray, np.ndarray]], Columns, Columns, Columns]:
        """Return the columns of rows, or of their items: keys, flags, values, identities."""
        plan, source = self.plan, rows.items if self.plan.each else rows
        if plan.each:
            keys = [item_keys(rows, by) for by in plan.tables]
            flags = [item_mask(rows, where, of, self.counters) for where, of in plan.filters]
        else:
            keys = [rows.keys(by) for by in plan.tables]
            flags = [mask(rows, where, of, self.counters) for where, of in plan.filters]
        values = [source.fixed(name, scale) for name, scale in plan.values]
        idents = [source.identities(name) for name in plan.idents]
        flags += [present for _, present in values]
        flags += [present for _, present in idents]
        return keys, flags, [column for column, _ in values], [column for column, _ in idents]

    def _fill(self, taken: tuple[Any, ...], part: slice) -> None:
        """Copy a part of the columns."""
        n = part.stop - part.start
        for place, (keys, present) in enumerate(taken[0]):
            self._keys[place, :n] = keys[part]
            self._present[place, :n] = present[part] if self.shards is None else self._owned(keys, present)[part]
        for staged, columns in ((self._flags, taken[1]), (self._values, taken[2]), (self._idents, taken[3])):
            for place, column in enumerate(columns):
                staged[place, :n] = column[part]

    def _fill_rows(self, rows: Rows, part: slice, subs: int) -> None:
        n = part.stop - part.start
        self._taus[:n] = rows.taus[part]
        self._kinds[:n] = rows.kinds[part]
        if self.plan.money:
            self._currencies[:n] = rows.currencies(self.currency)[part].view(np.int64)
        self.head[at.H_N], self.head[at.H_SUBS], self.head[at.H_FIRST_OUT] = n, subs, part.start

    def _owned(self, keys: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Return which keys are there and of our shards."""
        if self.shards is None:
            return present
        owned: np.ndarray = present & self.shards[(keys >> np.uint64(56)).astype(np.int64)]
        return owned


def _room(n: int) -> int:
    return max(64, 1 << (n - 1).bit_length())

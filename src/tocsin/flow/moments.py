"""Counts, sums, means and standard deviations: prefix sums over a log of hops, read by bisection."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.desk import Aggregate
from tocsin.flow.fields import fixed_point
from tocsin.flow.store import Store
from tocsin.flow.view import HOPS, HOUR_S, MICROS, MISSING, bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.desk import Window
    from tocsin.flow.view import View

BEFORE_ALL = -(1 << 62)
TRIM_EVERY = 64


def grain_of(window: Window) -> int:
    """Return the finest step of a window's bounds in microseconds: 1 where it is exact, else its hop."""
    return 1 if window.span_s <= HOUR_S else window.span_s * MICROS // HOPS


class MomentCell:
    """The log of one key: grains with entries, ascending, and running totals beside them, one list a column.

    The first place stands for everything before. The columns of money fields stand last and are of ``currency``, the
    first that came; ``others`` holds those of further currencies.
    """

    __slots__ = ("columns", "currency", "marks", "others")

    def __init__(self, width: int, currency: str) -> None:
        self.marks = [BEFORE_ALL]
        self.columns = [[0] for _ in range(width)]
        self.currency = currency
        self.others: dict[str, list[list[int]]] | None = None

    def add(self, mark: int, addends: Sequence[int], currency: str, plain: int) -> bool:
        """Add an entry, its first ``plain`` addends of no currency; return whether it began a new grain."""
        home = currency == self.currency
        if not home and (self.others is None or currency not in self.others):
            self.others = {**(self.others or {}), currency: [[0] * len(self.marks) for _ in addends[plain:]]}
        new = self.marks[-1] != mark
        if new:
            for column in self.all():
                column.append(column[-1])
            self.marks[-1] = mark
        for column, addend in zip(self.of(currency, plain), addends, strict=True):
            column[-1] += addend
        return new

    def all(self) -> list[list[int]]:
        """Return the marks and all columns."""
        further = [column for columns in (self.others or {}).values() for column in columns]
        return [self.marks, *self.columns, *further]

    def of(self, currency: str, plain: int) -> list[list[int]]:
        """Return the columns as they are read in a currency: zeros where nothing came in it."""
        if currency == self.currency or plain == len(self.columns):
            return self.columns
        nothing = [[0] * len(self.marks)] * (len(self.columns) - plain)
        return [*self.columns[:plain], *(self.others or {}).get(currency, nothing)]

    def trim(self, first: int) -> None:
        """Let go of the entries before a grain when they are more than half."""
        passed = bisect_left(self.marks, first) - 1
        if passed > len(self.marks) // 2:
            for column in self.all():
                del column[:passed]
            self.marks[0] = BEFORE_ALL


class Moments(Store[MomentCell]):
    """The windows over one log: any span and delay whose hop ``grain`` divides, any field.

    A column is the running total of a field's power (0: of how many have it; field "": of all entries); a window is
    made of the differences of columns at two places of the log.
    """

    def __init__(
        self, windows: Sequence[tuple[int, Window]], grain: int, scales: dict[str, int], money: frozenset[str]
    ) -> None:
        super().__init__(windows)
        self.grain, self.scales, self.money = grain, scales, money
        needed = dict.fromkeys(power for _, window in windows for power in _powers(window))
        self.columns = sorted(needed, key=lambda column: column[0] in money)
        self.plain = sum(field not in money for field, _ in self.columns)
        self.ranges: list[tuple[Window, list[int]]] = []
        """A window of each span and delay, and the columns whose differences it takes."""
        for _, window in windows:
            self._range(window)
        self.width = sum(len(places) for _, places in self.ranges)
        self.parts = [(window, self._parts(window)) for _, window in windows]
        """Each window with the differences that it is finished from."""

    def _range(self, window: Window) -> tuple[int, list[int]]:
        """Return where the differences of a window's range begin, and its columns; makes the range at first sight."""
        begin = 0
        for first, places in self.ranges:
            if (first.span_s, first.delay_s) == (window.span_s, window.delay_s):
                break
            begin += len(places)
        else:
            places = []
            self.ranges.append((window, places))
        places.extend(place for place in map(self.columns.index, _powers(window)) if place not in places)
        return begin, places

    def _parts(self, window: Window) -> list[int]:
        begin, places = self._range(window)
        return [begin + places.index(self.columns.index(column)) for column in _powers(window)]

    def fresh(self, currency: str) -> MomentCell:
        """Return an empty log."""
        return MomentCell(len(self.columns), currency)

    def _addends(self, n: int, values: Callable[[str], Sequence[int | None]]) -> list[tuple[int, ...]]:
        """Return what ``n`` sources add to the columns."""
        added: list[list[int]] = []
        for field, power in self.columns:
            if not field:
                added.append([1] * n)
            elif power:
                added.append([0 if value is None else value**power for value in values(field)])
            else:
                added.append([0 if value is None else 1 for value in values(field)])
        return list(zip(*added, strict=True))

    def amount(self, source: dict[str, Any], currency: str) -> tuple[tuple[int, ...], str]:
        """Return the addends of one item, and their currency."""
        return self._addends(1, lambda field: [fixed_point(source.get(field), self.scales[field])])[0], currency

    def enter(self, cell: MomentCell, tau: int, amount: tuple[tuple[int, ...], str]) -> None:
        """Take one entry in, and now and then let go of what no window reaches."""
        addends, currency = amount
        if cell.add(tau // self.grain, addends, currency, self.plain) and not len(cell.marks) % TRIM_EVERY:
            cell.trim((tau - self.keep) // self.grain)

    def read(self, cell: MomentCell | None, tau: int, currency: str) -> list[float]:
        """Return the windows' values for one key."""
        differences: list[int] = []
        for window, places in self.ranges:
            first, last = bounds(window, tau)
            for column in (cell.of(currency, self.plain)[place] for place in places) if cell else ():
                start = bisect_left(cell.marks, -(-first // self.grain)) - 1 if cell else 0
                end = bisect_right(cell.marks, last // self.grain) - 1 if cell else 0
                differences.append(column[end] - column[start])
        matrix = np.array([differences or [0] * self.width], object)
        return [float(self._finished(window, parts, matrix)[0]) for window, parts in self.parts]

    def _step_rows(self, view: View, pairs: Sequence[tuple[int, str]]) -> None:
        """Run a batch with bounds and addends prepared, and the values finished as columns."""
        shops, entering, reading = view.shops, self._passing(view), view.among(self.readers)
        currencies = view.currencies() if self.money else [""] * view.n
        marks = view.marks(self.grain)
        addends = self._addends(view.n, lambda field: view.fixed(field, self.scales[field]))
        ranges = [(*view.edges(window, self.grain), places) for window, places in self.ranges]
        nothing = [0] * self.width
        rows: list[int] = []
        found: list[int] = []
        for row, key in pairs:
            shop, currency = shops[row], currencies[row]
            cells = self.cells.get(shop)
            if cells is None:
                cells = self.cells[shop] = {}
            cell = cells.get(key)
            if entering[row]:
                if cell is None:
                    cell = self._opened(cells, shop, key, view.taus[row], currency)
                self._add(cell, marks[row], addends[row], currency, view.taus[row])
            if reading[row]:
                rows.append(row)
                if cell is None:
                    found += nothing
                    continue
                log, columns = cell.marks, cell.columns
                if currency != cell.currency:
                    columns = cell.of(currency, self.plain)
                for low, high, places in ranges:
                    start = bisect_left(log, low[row]) - 1
                    end = -1 if high is None else bisect_right(log, high[row]) - 1
                    for place in places:
                        column = columns[place]
                        found.append(column[end] - column[start])
        self._write(view, rows, np.array(found, object).reshape(len(rows), self.width))

    def _add(self, cell: MomentCell, mark: int, addends: tuple[int, ...], currency: str, tau: int) -> None:
        """Do what ``enter`` does, without a detour for a cell of one currency."""
        if cell.others is not None or currency != cell.currency:
            self.enter(cell, tau, (addends, currency))
            return
        log = cell.marks
        if log[-1] == mark:
            for column, addend in zip(cell.columns, addends, strict=False):
                column[-1] += addend
            return
        log.append(mark)
        for column, addend in zip(cell.columns, addends, strict=False):
            column.append(column[-1] + addend)
        if not len(log) % TRIM_EVERY:
            cell.trim((tau - self.keep) // self.grain)

    def _write(self, view: View, rows: list[int], matrix: np.ndarray) -> None:
        """Finish the differences of the rows that read, and put them in their columns."""
        for (slot, _), (window, parts) in zip(self.windows, self.parts, strict=True):
            column = np.full(view.n, MISSING)
            if rows:
                column[rows] = self._finished(window, parts, matrix)
            view.out[slot] = column

    def _finished(self, window: Window, parts: Sequence[int], matrix: np.ndarray) -> np.ndarray:
        """Return a window's values from its exact count, sum and squares (Python integers, as objects)."""
        powers = [matrix[:, part] for part in parts]
        unit = float(10 ** self.scales.get(window.field, 0))
        first = powers[0].astype(np.float64)
        if window.fold is Aggregate.COUNT:
            return first
        if window.fold is Aggregate.SUM:
            return first / unit
        enough = first >= (1 if window.fold is Aggregate.MEAN else 2)
        values = np.full(len(first), MISSING)
        if window.fold is Aggregate.MEAN:
            np.divide(powers[1].astype(np.float64), first * unit, out=values, where=enough)
            return values
        n, total, squares = (power[enough] for power in powers)
        spread = (n * squares - total * total).astype(np.float64) / (n * (n - 1)).astype(np.float64)
        values[enough] = np.sqrt(spread) / unit
        return values

    def newest(self, cell: MomentCell) -> int:
        """Return the end of the last grain, an upper bound of the last entry's tau."""
        return (cell.marks[-1] + 1) * self.grain

    def canonical(self, cell: MomentCell, tau: int) -> list[Any]:
        """Return the entries that some window can still reach, as differences."""
        first = -(-min(bounds(window, tau)[0] for window, _ in self.ranges) // self.grain)
        plain = {"": cell.columns[: self.plain]}
        money = {cell.currency: cell.columns[self.plain :], **(cell.others or {})} if self.money else {}
        kept = []
        for at in range(max(bisect_left(cell.marks, first), 1), len(cell.marks)):
            added = [
                (name, [column[at] - column[at - 1] for column in columns])
                for name, columns in sorted({**plain, **money}.items())
            ]
            kept.append((cell.marks[at], [(name, sums) for name, sums in added if any(sums)]))
        return kept


def _powers(window: Window) -> list[tuple[str, int]]:
    """Return the columns (field, power) that a window is made of."""
    powers = {Aggregate.COUNT: (0,), Aggregate.SUM: (1,), Aggregate.MEAN: (0, 1), Aggregate.STD: (0, 1, 2)}
    field = "" if window.fold is Aggregate.COUNT else window.field
    return [(field, power) for power in powers[window.fold]]

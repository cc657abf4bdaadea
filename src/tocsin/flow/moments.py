"""Counts, sums, means and standard deviations: prefix sums over a log of hops, read by bisection."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from tocsin.core.desk import Aggregate
from tocsin.flow.fields import fixed_point
from tocsin.flow.store import HOPS, HOUR_S, MICROS, MISSING, Store, View, bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Window

BEFORE_ALL = -(1 << 62)
TRIM_EVERY = 64

MomentCell = list[list[int]]


def grain_of(window: Window) -> int:
    """Return the finest step of a window's bounds in microseconds: 1 where it is exact, else its hop."""
    return 1 if window.span_s <= HOUR_S else window.span_s * MICROS // HOPS


class Moments(Store[MomentCell]):
    """The windows over one log of (grain index, running count, running sums).

    A cell holds the grain indexes of its entries, ascending, and one list of running totals per column; the first
    entry stands for everything before. A window is the difference of two totals, so windows of any span and delay
    share the log; ``grain`` divides the hops of all of them.
    """

    def __init__(self, windows: Sequence[tuple[int, Window]], money: bool, grain: int, scales: dict[str, int]) -> None:
        super().__init__(windows, money)
        self.grain = grain
        self.scales = scales
        self.columns: list[tuple[str, int]] = []
        """(field, power): the totals kept. Power 0 counts the entries that have the field, "" all of them."""
        self.plan: list[tuple[Aggregate, int, int, int, int, float]] = []
        """Per window: aggregate, range, columns of count, sum and squares, unit of the fixed point."""
        self.ranges: list[Window] = []
        known: dict[tuple[int, int], int] = {}
        for _, window in windows:
            place = known.setdefault((window.span_s, window.delay_s), len(known))
            if place == len(self.ranges):
                self.ranges.append(window)
            self.plan.append(self._planned(window, place))
        self.fields = sorted({field for field, _ in self.columns if field})
        self._low: list[list[int]] = []
        self._high: list[list[int] | None] = []

    def _planned(self, window: Window, place: int) -> tuple[Aggregate, int, int, int, int, float]:
        counted = "" if window.fold is Aggregate.COUNT else window.field
        n = s = q = 0
        if window.fold is not Aggregate.SUM:
            n = self._column(counted, 0)
        if window.fold is not Aggregate.COUNT:
            s = self._column(window.field, 1)
        if window.fold is Aggregate.STD:
            q = self._column(window.field, 2)
        return window.fold, place, n, s, q, float(10 ** self.scales.get(window.field, 0))

    def _column(self, field: str, power: int) -> int:
        if (field, power) not in self.columns:
            self.columns.append((field, power))
        return self.columns.index((field, power)) + 1

    def fresh(self) -> MomentCell:
        """Return an empty log."""
        return [[BEFORE_ALL], *([0] for _ in self.columns)]

    def prepare(self, view: View) -> None:
        """Compute the first and last grain of every range, row by row."""
        grain = self.grain
        self._low, self._high = [], []
        for window in self.ranges:
            edges = [bounds(window, tau) for tau in view.taus]
            self._low.append([-(-first // grain) for first, _ in edges])
            self._high.append([last // grain for _, last in edges] if window.delay_s else None)

    def amount(self, source: dict[str, Any]) -> list[int] | None:
        """Return the addends of the columns."""
        if not self.fields:
            return [1] * len(self.columns)
        values = {field: fixed_point(source.get(field), self.scales[field]) for field in self.fields}
        addends = []
        for field, power in self.columns:
            value = 1 if not field else values[field]
            addends.append(0 if value is None else value**power)
        return addends

    def enter(self, cell: MomentCell, tau: int, amount: list[int]) -> None:
        """Add to the last grain, or append a new one."""
        marks = cell[0]
        mark = tau // self.grain
        if marks[-1] == mark:
            for totals, addend in zip(cell[1:], amount, strict=True):
                totals[-1] += addend
            return
        marks.append(mark)
        for totals, addend in zip(cell[1:], amount, strict=True):
            totals.append(totals[-1] + addend)
        if not len(marks) % TRIM_EVERY:
            passed = bisect_left(marks, (tau - self.keep) // self.grain) - 1
            if passed > len(marks) // 2:
                for column in cell:
                    del column[:passed]
                marks[0] = BEFORE_ALL

    def read(self, cell: MomentCell | None, row: int, tau: int) -> list[float]:
        """Return the windows' values."""
        if cell is None:
            return [0.0 if plan[0] in (Aggregate.COUNT, Aggregate.SUM) else MISSING for plan in self.plan]
        marks = cell[0]
        spans = [
            (bisect_left(marks, low[row]) - 1, -1 if high is None else bisect_right(marks, high[row]) - 1)
            for low, high in zip(self._low, self._high, strict=True)
        ]
        values = []
        for fold, place, n, s, q, unit in self.plan:
            start, end = spans[place]
            if fold is Aggregate.COUNT:
                values.append(float(cell[n][end] - cell[n][start]))
            elif fold is Aggregate.SUM:
                values.append((cell[s][end] - cell[s][start]) / unit)
            else:
                count = cell[n][end] - cell[n][start]
                total = cell[s][end] - cell[s][start]
                if fold is Aggregate.MEAN:
                    values.append(total / count / unit if count else MISSING)
                elif count < 2:
                    values.append(MISSING)
                else:
                    squares = cell[q][end] - cell[q][start]
                    values.append(math.sqrt((count * squares - total * total) / (count * (count - 1))) / unit)
        return values

    def newest(self, cell: MomentCell) -> int:
        """Return the end of the last grain, an upper bound of the last entry's tau."""
        return (cell[0][-1] + 1) * self.grain

    def canonical(self, cell: MomentCell, tau: int) -> list[tuple[int, ...]]:
        """Return the entries that some window can still reach, as differences."""
        first = -(-min(bounds(window, tau)[0] for window in self.ranges) // self.grain)
        start = bisect_left(cell[0], first)
        return [
            (cell[0][i], *(totals[i] - totals[i - 1] for totals in cell[1:]))
            for i in range(max(start, 1), len(cell[0]))
        ]

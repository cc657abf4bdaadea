"""Recency: seconds since the previous matching event of the key, inside the window's bounds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tocsin.flow.store import Store
from tocsin.flow.view import MICROS, MISSING, bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Window


class RecencyCell:
    """The last entry at or before the window's end, and those that wait for the delay."""

    __slots__ = ("last", "newest", "waiting")

    def __init__(self) -> None:
        self.last: int | None = None
        self.newest = 0
        self.waiting: deque[int] = deque()


class Recency(Store[RecencyCell]):
    """The recency windows of one key, filter and delay."""

    reads_first = True

    def __init__(self, windows: Sequence[tuple[int, Window]]) -> None:
        super().__init__(windows)
        self.delay = windows[0][1].delay_s

    def fresh(self, currency: str) -> RecencyCell:
        """Return a cell that has seen nothing."""
        return RecencyCell()

    def amount(self, source: dict[str, Any], currency: str) -> int:
        """Return 1: every matching event counts."""
        return 1

    def enter(self, cell: RecencyCell, tau: int, amount: int) -> None:
        """Note the entry."""
        cell.newest = tau
        if self.delay:
            cell.waiting.append(tau)
        else:
            cell.last = tau

    def read(self, cell: RecencyCell | None, tau: int, currency: str) -> list[float]:
        """Return the seconds since the last entry, missing where it is before the window's first instant."""
        if cell is None:
            return [MISSING] * len(self.windows)
        values = []
        for _, window in self.windows:
            first, last = bounds(window, tau)
            while cell.waiting and cell.waiting[0] <= last:
                cell.last = cell.waiting.popleft()
            values.append(MISSING if cell.last is None or cell.last < first else (tau - cell.last) / MICROS)
        return values

    def newest(self, cell: RecencyCell) -> int:
        """Return the tau of the last entry."""
        return cell.newest

    def canonical(self, cell: RecencyCell, tau: int) -> list[Any]:
        """Return the last entry that some window can reach, and those that wait."""
        self.read(cell, tau, "")
        first = min(bounds(window, tau)[0] for _, window in self.windows)
        last = cell.last if cell.last is not None and cell.last >= first else None
        return [last, list(cell.waiting)] if last is not None or cell.waiting else []

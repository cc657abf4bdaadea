"""Lines: one series of one shop, currency and key; its open buckets and the history of the closed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tocsin.flow.quantiles import Quantiles

FIRST_ROOM = 64


class Tally:
    """What one bucket has seen: events, sum in fixed point or hits, and values where the measure needs them."""

    __slots__ = ("n", "total", "values")

    def __init__(self) -> None:
        self.n = 0
        self.total = 0
        self.values: Quantiles | set[int] | None = None


class Line:
    """One line of a series: the buckets that can still change, and the values of the closed ones."""

    __slots__ = ("_n", "_values", "end", "first", "silent", "start", "tallies")

    def __init__(self, first: int) -> None:
        self.first = first
        """Index of the oldest bucket in the history."""
        self.tallies: dict[int, Tally] = {}
        self.silent = 0
        self._values = np.empty(FIRST_ROOM)
        self._n = np.empty(FIRST_ROOM)
        self.start = self.end = 0
        """The history is [start, end) of the arrays."""

    def history(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (values, n) of the closed buckets, oldest first; never written to again."""
        values, n = self._values[self.start : self.end], self._n[self.start : self.end]
        values.flags.writeable = n.flags.writeable = False
        return values, n

    def append(self, value: float, n: int, keep: int) -> None:
        """Put a closed bucket at the end of the history and let go of what exceeds ``keep``."""
        if self.end == len(self._values):
            room = max(2 * (self.end - self.start), FIRST_ROOM)
            self._move(room)
        self._values[self.end], self._n[self.end] = value, n
        self.end += 1
        if self.end - self.start > keep:
            self.start += 1
            self.first += 1

    def revise(self, bucket: int, value: float, n: int) -> None:
        """Replace a closed bucket; those who hold the history keep what they were given."""
        self._move(len(self._values))
        place = self.start + bucket - self.first
        self._values[place], self._n[place] = value, n

    def _move(self, room: int) -> None:
        size = self.end - self.start
        for name in ("_values", "_n"):
            fresh = np.empty(max(room, size + 1))
            fresh[:size] = getattr(self, name)[self.start : self.end]
            setattr(self, name, fresh)
        self.start, self.end = 0, size

"""Distinct values of a field: exact up to 1 h; beyond, the bottom-256 (KMV) sketch of each hop, merged.

Both keep, of every value, only when it was last seen, in that order: a value counts while that is inside the window.
With a delay, entries wait until the window's end has passed them.

Reference: Bar-Yossef et al., Counting distinct elements in a data stream, RANDOM 2002; Beyer et al., SIGMOD 2007
(the unbiased estimate (k - 1) / u_k used here).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING, Any

from tocsin.flow.hashing import Hasher
from tocsin.flow.store import Store
from tocsin.flow.view import HOPS, MICROS, bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.core.desk import Window

BOTTOM = 256
CROWD = 8 * BOTTOM
HASH_SPAN = 1 << 64


def value_of(raw: Any) -> str | None:
    """Return the identity of a value: its text with its type, None for a missing one or a structure."""
    if isinstance(raw, str):
        return raw
    if raw is None or isinstance(raw, (list, dict)):
        return None
    return f"\x00{float(raw) if isinstance(raw, (int, float)) and not isinstance(raw, bool) else raw!r}"


class ExactCell:
    """Values by when they were last seen, and those that wait for the delay."""

    __slots__ = ("newest", "seen", "waiting")

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.waiting: deque[tuple[int, str]] = deque()
        self.newest = 0

    def advance(self, first: int, last: int) -> None:
        """Let in what is not after ``last``, let go of what is before ``first``."""
        seen, waiting = self.seen, self.waiting
        while waiting and waiting[0][0] <= last:
            tau, value = waiting.popleft()
            seen.pop(value, None)
            seen[value] = tau
        for value, tau in seen.items():
            if tau >= first:
                break
            waiting.append((0, value))
        while waiting and not waiting[-1][0]:
            del seen[waiting.pop()[1]]


class ExactDistinct(Store[ExactCell]):
    """One distinct window of at most 1 h."""

    def __init__(self, windows: Sequence[tuple[int, Window]]) -> None:
        super().__init__(windows)
        self.window = windows[0][1]

    def fresh(self, currency: str) -> ExactCell:
        """Return a cell without values."""
        return ExactCell()

    def amount(self, source: dict[str, Any], currency: str) -> str | None:
        """Return the value's identity."""
        return value_of(source.get(self.window.field))

    def enter(self, cell: ExactCell, tau: int, amount: str) -> None:
        """Note the value as seen now."""
        cell.newest = tau
        if self.window.delay_s:
            cell.waiting.append((tau, amount))
        else:
            cell.seen.pop(amount, None)
            cell.seen[amount] = tau

    def read(self, cell: ExactCell | None, tau: int, currency: str) -> list[float]:
        """Return how many values the window holds."""
        if cell is None:
            return [0.0]
        cell.advance(*bounds(self.window, tau))
        return [float(len(cell.seen))]

    def newest(self, cell: ExactCell) -> int:
        """Return the tau of the last entry."""
        return cell.newest

    def canonical(self, cell: ExactCell, tau: int) -> list[Any]:
        """Return the values in the window and those that wait."""
        cell.advance(*bounds(self.window, tau))
        kept = sorted([*((seen, value) for value, seen in cell.seen.items())])
        return [kept, list(cell.waiting)] if kept or cell.waiting else []


class SketchCell:
    """Hashes by the last hop that saw them (``hops``), the same in ascending ``order``, and hops that still wait."""

    __slots__ = ("hops", "newest", "order", "waiting")

    def __init__(self) -> None:
        self.hops: dict[int, int] = {}
        self.order: list[int] = []
        self.waiting: dict[int, set[int]] = {}
        self.newest = 0

    def see(self, mark: int, hop: int) -> None:
        """Note a hash as seen in a hop (hops ascend)."""
        if self.hops.pop(mark, None) is None:
            insort(self.order, mark)
        self.hops[mark] = hop
        if len(self.order) > CROWD:
            self.trim()

    def trim(self) -> None:
        """Drop the hashes that can never be among the 256 smallest: 256 smaller ones were seen as late or later."""
        self.hops = dict(sorted(bottom(self.hops.items()), key=lambda pair: pair[1]))
        self.order = sorted(self.hops)

    def advance(self, first: int, last: int) -> None:
        """Let in the waiting hops up to ``last``, let go of hops before ``first``."""
        for hop in [hop for hop in self.waiting if hop <= last]:
            for mark in self.waiting.pop(hop):
                self.see(mark, hop)
        gone = []
        for mark, hop in self.hops.items():
            if hop >= first:
                break
            gone.append(mark)
        for mark in gone:
            del self.hops[mark]
            del self.order[bisect_left(self.order, mark)]

    def estimate(self) -> float:
        """Return the number of distinct values: exact up to 256, then (k - 1) / u_k of the k = 256th smallest hash."""
        if len(self.order) <= BOTTOM:
            return float(len(self.order))
        return (BOTTOM - 1) * HASH_SPAN / self.order[BOTTOM - 1]


def bottom(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the (hash, hop) pairs with fewer than 256 smaller hashes among those seen in the same hop or later."""
    kept: list[tuple[int, int]] = []
    by_hop: dict[int, list[int]] = {}
    for mark, hop in pairs:
        by_hop.setdefault(hop, []).append(mark)
    smallest: list[int] = []
    for hop in sorted(by_hop, reverse=True):
        smallest = sorted([*smallest, *by_hop[hop]])[: BOTTOM + 1]
        limit = smallest[BOTTOM] if len(smallest) > BOTTOM else HASH_SPAN
        kept.extend((mark, hop) for mark in by_hop[hop] if mark <= limit)
    return kept


class SketchDistinct(Store[SketchCell]):
    """One distinct window of more than 1 h; a value's place in [0, 2^64) is its keyed hash."""

    def __init__(self, windows: Sequence[tuple[int, Window]], hasher: Hasher | None = None) -> None:
        super().__init__(windows)
        self.hasher = hasher or Hasher()
        self.window = windows[0][1]
        self.hop = self.window.span_s * MICROS // HOPS

    def fresh(self, currency: str) -> SketchCell:
        """Return an empty sketch."""
        return SketchCell()

    def amount(self, source: dict[str, Any], currency: str) -> int | None:
        """Return the value's hash."""
        value = value_of(source.get(self.window.field))
        return None if value is None else self.hasher.text(value)

    def enter(self, cell: SketchCell, tau: int, amount: int) -> None:
        """Note the hash in the hop of now."""
        cell.newest = tau
        hop = tau // self.hop
        if self.window.delay_s:
            marks = cell.waiting.setdefault(hop, set())
            marks.add(amount)
            if len(marks) > CROWD:
                cell.waiting[hop] = set(sorted(marks)[: BOTTOM + 1])
        else:
            cell.see(amount, hop)

    def _advance(self, cell: SketchCell, tau: int) -> None:
        first, last = bounds(self.window, tau)
        cell.advance(first // self.hop, last // self.hop)

    def read(self, cell: SketchCell | None, tau: int, currency: str) -> list[float]:
        """Return the estimate of the hops in the window."""
        if cell is None:
            return [0.0]
        self._advance(cell, tau)
        return [cell.estimate()]

    def newest(self, cell: SketchCell) -> int:
        """Return the tau of the last entry."""
        return cell.newest

    def canonical(self, cell: SketchCell, tau: int) -> list[Any]:
        """Return the hashes that can still matter."""
        self._advance(cell, tau)
        kept = sorted(bottom(cell.hops.items()))
        waiting = [(hop, sorted(marks)[: BOTTOM + 1]) for hop, marks in sorted(cell.waiting.items())]
        return [kept, waiting] if kept or waiting else []

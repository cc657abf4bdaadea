"""One series on columns: its lines in arrays, entered and closed by kernels. The twin of ``series.Track``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.desk import Measure, Series
from tocsin.core.events import LATE_LIMIT
from tocsin.flow.distinct import BOTTOM, CROWD
from tocsin.flow.quantiles import Quantiles
from tocsin.flow.series import Track, distinct_value, kept_of
from tocsin.flow.view import HOUR_S
from tocsin.flow.wide import series_kernels as k
from tocsin.flow.wide.places import fill, grown, index_for, put, rebuilt
from tocsin.flow.wide.series_closed import Segment
from tocsin.flow.wide.series_history import Histories

if TYPE_CHECKING:
    from collections import Counter

    from tocsin.flow.hashing import Hasher
    from tocsin.flow.series import Scope
    from tocsin.flow.wide.rows import Rows
    from tocsin.flow.wide.series_entries import Entries

WHAT = {
    Measure.COUNT: k.COUNTS,
    Measure.SUM: k.SUMS,
    Measure.MEAN: k.MEANS,
    Measure.RATIO: k.SHARES,
    Measure.DISTINCT: k.SETS,
    Measure.QUANTILE: k.APART,
}
FEW = 64
"""Values of fewer entries are put into their tallies one by one."""
FIRST_LINES, FIRST_TALLIES = 8, 32


class WideTrack:
    """All lines of one series."""

    def __init__(self, series: Series, currency: str, hasher: Hasher) -> None:
        plain = Track(series, currency, hasher)  # checks the declaration
        self.series, self.default = series, currency
        self.width, self.money, self.scale, self.unit = plain.width, plain.money, plain.scale, plain.unit
        self.spec = np.array([plain.width, plain.grace, series.keep, WHAT[series.measure], LATE_LIMIT], np.int64)
        self.apart = bool(self.spec[3] >= k.APART)
        """Whether buckets keep values beside their tallies."""
        self.clear()

    def clear(self) -> None:
        """Forget all lines."""
        self.head = np.zeros(13, np.int64)
        self.head[k.OLDEST] = k.NEVER
        self.index = index_for(FIRST_LINES)
        self.hashes = np.zeros(FIRST_LINES, np.uint64)
        self.lines = np.zeros((FIRST_LINES, 8), np.int64)
        self.scopes: list[Scope | None] = []
        """By line; None where it is gone and its place free."""
        self.free: list[int] = []
        self.tally_index = index_for(FIRST_TALLIES)
        self.tally_hashes = np.zeros(FIRST_TALLIES, np.uint64)
        self.tallies = np.zeros((FIRST_TALLIES, 5), np.int64)
        self.beside: dict[int, Quantiles | set[int]] = {}
        """Tally -> its values, where the measure needs them."""
        self.histories = Histories(self.series.keep)
        self._order: np.ndarray | None = None
        self.count = 0
        """How many lines there are."""

    @property
    def due(self) -> int:
        """When the next bucket closes."""
        return self.due_after(self.head.item(k.NEXT))

    def due_after(self, next_: int) -> int:
        """Return when a bucket closes."""
        return (next_ + 1) * self.width + int(self.spec[1])

    def first_due(self, tau: int) -> int:
        """Return when the first bucket would close if the first line began at ``tau``."""
        return self.due_after((tau - int(self.spec[1])) // self.width)

    # Entering.

    def enter(self, rows: Rows, entries: Entries, start: int, stop: int, counters: Counter[str]) -> None:
        """Count the entries of the rows [start, stop)."""
        keys, buckets, amounts, taus = entries.keys, entries.buckets, entries.amounts, entries.taus
        low, high = 0, len(entries.rows)
        if start or stop < rows.n:
            low, high = np.searchsorted(entries.rows, (start, stop)).tolist()
            part = slice(low, high)
            keys, buckets, amounts, taus = keys[part], buckets[part], amounts[part], taus[part]
        if low == high:
            return
        slots = np.empty(high - low, np.int64)
        head = self.head
        while True:
            lacks = k.enter(
                self.index, self.hashes, self.lines, self.tally_index, self.tally_hashes, self.tallies, head,
                self.spec, keys, buckets, amounts, taus, slots,
            )  # fmt: skip
            if lacks == k.DONE:
                break
            if lacks == k.MORE_TALLIES:
                self._more_tallies(len(self.tallies) + 1)
            else:
                at = head.item(k.AT)
                if not self._open(rows, entries.rows.item(low + at), keys.item(at), buckets.item(at), taus.item(at)):
                    slots[at] = -1
                    head[k.AT] += 1
                    head[k.LATE] += 1
        if self.apart:
            self._note(slots, amounts)
        if late := head.item(k.LATE):
            counters["late"] += late
        if revised := head.item(k.REVISED):
            counters["revised"] += revised
            self._revise(slots)

    def _open(self, rows: Rows, row: int, hash_: int, bucket: int, tau: int) -> bool:
        """Begin the line of a row; False where its bucket is out of reach."""
        head, series = self.head, self.series
        if not self.count:
            head[k.NEXT] = (tau - int(self.spec[1])) // self.width
        next_ = int(head[k.NEXT])
        too_old = tau - (bucket + 1) * self.width > LATE_LIMIT + int(self.spec[1])
        if bucket < next_ and (too_old or bucket < next_ - series.keep):
            return False
        event = rows.events[row]
        currency = str(event.data.get("currency") or self.default) if self.money else ""
        line = self._place((event.shop, currency, str(event.data[series.by]) if series.by else ""))
        self.hashes[line] = hash_
        put(self.index, np.uint64(hash_), line)
        self.lines[line] = (bucket, 0, 0, 0, self.histories.row(self.lines), 1, next_, 0)
        head[k.LIVE] += 1
        self.count += 1
        for _ in range(bucket, next_):
            self._room(line)
            self.histories.append(self.lines[line], self._value(-1), 0)
        return True

    def _place(self, scope: Scope) -> int:
        self._order = None
        if self.free:
            line = self.free.pop()
            self.scopes[line] = scope
            return line
        self.scopes.append(scope)
        if len(self.scopes) > len(self.hashes):
            self.hashes = grown(self.hashes, len(self.scopes))
            self.lines = grown(self.lines, len(self.hashes))
            self.index = rebuilt(self.hashes, self._alive(), len(self.hashes))
        return len(self.scopes) - 1

    def _more_tallies(self, room: int) -> None:
        self.tallies = grown(self.tallies, room)
        self.tally_hashes = grown(self.tally_hashes, len(self.tallies))
        self.tally_index = index_for(len(self.tallies))
        fill(self.tally_index, self.tally_hashes, self._tallies())

    def _tallies(self) -> np.ndarray:
        """Return the tallies in use, int64."""
        return np.flatnonzero(self.tallies[: self.head[k.TALLIES], k.N] >= 0)

    def _note(self, slots: np.ndarray, amounts: np.ndarray) -> None:
        """Keep the values of entries beside their tallies."""
        distinct = self.series.measure is Measure.DISTINCT
        if distinct:
            amounts = amounts.view(np.uint64)
        if len(slots) >= FEW:
            order = np.argsort(slots, kind="stable")
            edges = np.flatnonzero(np.diff(slots[order])) + 1
            groups = [(int(slots[part[0]]), amounts[part]) for part in np.split(order, edges)]
        else:
            groups = [(slot, amounts[at : at + 1]) for at, slot in enumerate(slots.tolist())]
        for slot, values in groups:
            if slot < 0:
                continue
            kept = self.beside.get(slot)
            if kept is None:
                kept = self.beside[slot] = set() if distinct else Quantiles()
            if isinstance(kept, Quantiles):
                kept.add_all(values)
            else:
                kept.update(values.tolist())
                if self.series.bucket_s > HOUR_S and len(kept) > CROWD:
                    self.beside[slot] = set(sorted(kept)[: BOTTOM + 1])

    def _revise(self, slots: np.ndarray) -> None:
        """Put the new values of closed buckets into the histories."""
        next_ = int(self.head[k.NEXT])
        for slot in np.unique(slots[slots >= 0]).tolist():
            bucket = int(self.tallies[slot, k.BUCKET])
            if bucket >= next_:
                continue
            line = self.lines[self.tallies[slot, k.LINE]]
            if line[k.SOLE] != next_:
                self._move(int(self.tallies[slot, k.LINE]))
            self.histories.put(line, bucket, self._value(slot), int(self.tallies[slot, k.N]))

    def _value(self, slot: int) -> float:
        """Return the measure of a tally (-1: one without events)."""
        n = int(self.tallies[slot, k.N]) if slot >= 0 else 0
        measure, kept = self.series.measure, self.beside.get(slot)
        if measure is Measure.COUNT:
            return float(n)
        if measure is Measure.DISTINCT:
            return distinct_value(kept if isinstance(kept, set) else set(), self.series.bucket_s)
        total = self._total(slot) if slot >= 0 else 0
        if measure is Measure.SUM:
            return total / self.unit
        if not n:
            return float("nan")
        if isinstance(kept, Quantiles):
            return kept.quantile(self.series.quantile) / self.unit
        return total / n / self.unit if measure is Measure.MEAN else total / n

    def _total(self, slot: int) -> int:
        return (int(self.tallies[slot, k.HIGH]) << 64) + (int(self.tallies[slot, k.LOW]) & 0xFFFFFFFFFFFFFFFF)

    # Closing.

    def order(self) -> np.ndarray:
        """Return the lines in the order of shop, currency and key, int64."""
        if self._order is None:
            named = sorted((scope, line) for line, scope in enumerate(self.scopes) if scope is not None)
            self._order = np.array([line for _, line in named], np.int64)
        return self._order

    def close(self, until: int, most: int) -> Segment:
        """Close what is due at or before ``until``, at most about ``most`` buckets (at least one instant's)."""
        order, head = self.order(), self.head
        segment = Segment(
            self.series,
            self.width,
            int(self.spec[1]),
            self.scopes,
            head.item(k.NEXT),
            np.empty((max(len(order), most), 6), np.int32),
        )
        head[k.CLOSED] = head[k.PLACE] = head[k.EXPIRED] = head[k.DROPPED] = 0
        head[k.BASE] = segment.base
        while True:
            seen = int(head[k.CLOSED])
            lacks = k.close(
                self.index, self.hashes, self.lines, self.tally_index, self.tally_hashes, self.tallies,
                self.histories.values, self.histories.counts, head, self.spec, self.unit, order, until, segment.rows,
            )  # fmt: skip
            segment.note(seen, int(head[k.CLOSED]), self.histories)
            if self.spec[3] != k.COUNTS:
                self._work_out(segment.rows[seen : int(head[k.CLOSED])])
            if lacks == k.MORE_ROOM:
                self._room(int(order[head[k.PLACE]]))
            elif lacks == k.DONE or int(head[k.CLOSED]) + len(order) > len(segment.rows):
                break
        if head[k.DROPPED]:
            self._drop()
        if head[k.EXPIRED] and self.beside:
            kept = set(self._tallies().tolist())
            self.beside = {slot: values for slot, values in self.beside.items() if slot in kept}
        return segment

    def _work_out(self, closed: np.ndarray) -> None:
        """Set the values that the kernel left open; they are the last of their lines."""
        for _, _, slot, row, _, end in closed[closed[:, 2] >= 0].tolist():
            if np.isnan(self.histories.values[row, end]):
                self.histories.values[row, end] = self._value(slot)

    def _drop(self) -> None:
        self.count = int(self.head[k.LIVE])
        self.scopes = list(self.scopes)  # a segment still looks at the old one
        for line, scope in enumerate(self.scopes):
            if scope is not None and not self.lines[line, k.ALIVE]:
                self.scopes[line] = None
                self.free.append(line)
        self._order = None

    def _room(self, line: int) -> None:
        """Make room for one more bucket in a line's history."""
        if self.histories.full(self.lines[line]):
            self._move(line)

    def _move(self, line: int) -> None:
        """Give a line a row that nobody else looks at."""
        self.histories.move(self.lines, line)
        self.lines[line, k.SOLE] = self.head[k.NEXT]

    def _alive(self) -> np.ndarray:
        """Return the lines that live, int64."""
        return np.flatnonzero(self.lines[:, k.ALIVE])

    # State as a whole.

    def canonical(self) -> list[Any]:
        """Return all state in one form, the same as ``series.Track``."""
        found, open_ = [], self._open_buckets()
        for line in self.order().tolist():
            values, n = self.histories.of(self.lines[line])
            first, silent = self.lines[line, : k.START].tolist()
            found.append((self.scopes[line], first, silent, values.tobytes(), n.tobytes(), open_.get(line, [])))
        return [self.series.name, repr(self.series), int(self.head[k.NEXT]) if found else 0, found]

    def bytes(self) -> int:
        """Return the memory of the arrays."""
        arrays = (self.index, self.hashes, self.lines, self.tally_index, self.tally_hashes, self.tallies)
        return sum(array.nbytes for array in (*arrays, self.histories.values, self.histories.counts))

    def _open_buckets(self) -> dict[int, list[Any]]:
        """Return line -> (bucket, n, total, values), ascending."""
        found: dict[int, list[Any]] = {}
        for slot in self._tallies().tolist():
            line, bucket, n = self.tallies[slot, : k.LOW].tolist()
            kept = kept_of(self.beside.get(slot), self.series.bucket_s)
            found.setdefault(line, []).append((bucket, n, self._total(slot), kept))
        return {line: sorted(buckets) for line, buckets in found.items()}

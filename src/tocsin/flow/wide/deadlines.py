"""Deadlines on columns: the misses and order of ``tocsin.flow.deadlines``, with millions of them pending.

A deadline's T is constant and tau ascends, so what is armed first is due first: one queue a deadline, no heap. A
pending key costs about 55 bytes and the line of its event, which is decoded only if the deadline is missed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.errors import Misconfigured
from tocsin.flow.filters import filter_of
from tocsin.flow.wide.deadlines_queue import Queue

if TYPE_CHECKING:
    from tocsin.core.desk import Deadline, Miss
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.wide.deadlines_queue import Arrivals
    from tocsin.flow.wide.rows import Rows


class WideDeadlines:
    """All deadlines of a fold; equal declarations of several desks are one. The twin of ``deadlines.Deadlines``."""

    def __init__(self, hasher: Hasher | None = None) -> None:
        self.hasher = hasher
        self.declared: list[Deadline] = []
        self.queues: list[Queue] = []
        self.by_type: dict[str, list[int]] = {}
        self._rows: Rows | None = None
        self._errors: Counter[str] = Counter()
        self._arrivals: list[tuple[Queue, Arrivals]] = []

    def declare(self, deadlines: tuple[Deadline, ...]) -> None:
        """Add the deadlines of a desk."""
        for deadline in deadlines:
            if deadline in self.declared:
                continue
            if deadline.within_s <= 0 or not deadline.after or not deadline.must:
                raise Misconfigured(
                    f"deadline {deadline.name}: within_s must be positive, 'after' and 'must' not empty"
                )
            if deadline.after_where:
                filter_of(deadline.after_where, deadline.after)
            if deadline.must_where:
                filter_of(deadline.must_where, deadline.must)
            for kind in {*deadline.after, *deadline.must, *deadline.cancel}:
                self.by_type.setdefault(kind, []).append(len(self.declared))
            self.queues.append(Queue(deadline, len(self.declared)))
            self.declared.append(deadline)
        self._rows = None

    @property
    def pending(self) -> int:
        """How many keys are waited for, over all deadlines."""
        return sum(queue.armed for queue in self.queues)

    def due(self) -> int | None:
        """Return the due time of the next miss, None while nothing is armed."""
        return min((due for queue in self.queues if (due := queue.due()) is not None), default=None)

    def first_due_row(self, rows: Rows, start: int) -> int:
        """Return the first row from ``start`` on that a wake-up may precede, ``rows.n`` where there is none.

        It may name a row too early, never one too late: what a row arms may be due before a later row. ``start``
        itself comes back only if ``due()`` is not after it.
        """
        if not self.queues:
            return rows.n
        earliest = self.due()
        for queue, arrivals in self._prepared(rows):
            at = int(np.searchsorted(arrivals.arming, start))
            if at < len(arrivals.arming):
                first = rows.taus.item(arrivals.arming.item(at)) + queue.within
                earliest = first if earliest is None else min(earliest, first)
        if earliest is None or rows.taus.item(-1) < earliest:
            return rows.n
        return max(start, int(np.searchsorted(rows.taus, earliest)))

    def enter(self, rows: Rows, row: int, counters: Counter[str]) -> None:
        """Disarm and arm by one row of a batch."""
        self.enter_rows(rows, row, row + 1, counters)

    def enter_rows(self, rows: Rows, start: int, stop: int, counters: Counter[str]) -> None:
        """Disarm and arm by the rows [start, stop), none of which a wake-up precedes except perhaps the first.

        An event that does both answers the old and arms anew.
        """
        if not self.queues:
            return
        for queue, arrivals in self._prepared(rows):
            queue.enter(rows, arrivals, start, stop)
        if self._errors:
            counters.update(self._errors)
            self._errors.clear()

    def _prepared(self, rows: Rows) -> list[tuple[Queue, Arrivals]]:
        """Return the deadlines that something of the batch concerns, and what; worked out once a batch."""
        if self._rows is not rows:
            touched = {place for code in rows.codes for place in self.by_type.get(rows.names.types[code], ())}
            self._arrivals = [
                (self.queues[place], arrivals)
                for place in sorted(touched)
                if (arrivals := self.queues[place].arrivals(rows, self._errors)) is not None
            ]
            self._rows = rows
        return self._arrivals

    def close(self, due: int) -> list[Miss]:
        """Return what is missed at this instant, in the order of arming."""
        missed: list[tuple[int, int, Miss]] = []
        for queue in self.queues:
            while queue.due() == due:
                seq, miss = queue.missed()
                missed.append((seq, queue.place, miss))
        return [miss for _, _, miss in sorted(missed, key=lambda found: found[:2])]

    def canonical(self) -> list[Any]:
        """Return all state in one form, the same as that of the plain deadlines."""
        return sorted(entry for queue in self.queues for entry in queue.canonical())

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return everything as (what JSON can hold, arrays)."""
        arrays = {f"{queue.place}.{name}": array for queue in self.queues for name, array in queue.saved().items()}
        return {"deadlines": [repr(deadline) for deadline in self.declared]}, arrays

    def restore(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become what ``state`` returned; a deadline that it does not know stays empty."""
        known = {repr(queue.deadline): queue for queue in self.queues}
        for place, name in enumerate(meta["deadlines"]):
            prefix = f"{place}."
            if name in known:
                own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
                known[name].restore(own)
        self._rows = None

    def bytes(self) -> int:
        """Return the memory of all arrays, without the lines of the events."""
        return sum(queue.bytes() for queue in self.queues)


def warm() -> None:
    """Call every kernel once with the dtypes of real use."""
    from tocsin.core.desk import Deadline
    from tocsin.core.events import Event
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.names import Names
    from tocsin.flow.wide.rows import Rows

    deadlines = WideDeadlines()
    deadlines.declare((Deadline(name="warm", key="order", after=("warm",), must=("warm",), within_s=1),))
    event = Event(id="1", source="warm", type="warm", time=1, tau=1, seq=1, data={"order": "o"})
    deadlines.enter_rows(Rows([event], Names(), Hasher()), 0, 1, Counter())
    deadlines.restore(*deadlines.state())
    deadlines.close(1_000_001)

"""Deadlines: B must follow A within T for the same key; misses come in the exact order of their due times."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from tocsin.core.desk import Deadline, Miss
from tocsin.errors import Misconfigured
from tocsin.flow.filters import filter_of, passes
from tocsin.flow.view import MICROS

if TYPE_CHECKING:
    from collections import Counter

    from tocsin.core.events import Event
    from tocsin.flow.batch import PlainBatch

Key = tuple[int, str, str]
"""Place of the deadline, shop and key."""


class Deadlines:
    """All deadlines of a fold; equal declarations of several desks are one."""

    def __init__(self) -> None:
        self.declared: list[Deadline] = []
        self._armed: dict[Key, tuple[int, Event]] = {}
        """Key -> due time and the event that armed it first."""
        self._heap: list[tuple[int, int, Key]] = []
        """(due, seq of the arming event, key); an entry that is not armed any more is passed over."""
        self.by_type: dict[str, list[int]] = {}

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
            self.declared.append(deadline)

    @property
    def pending(self) -> int:
        """How many keys are waited for, over all deadlines."""
        return len(self._armed)

    def due(self) -> int | None:
        """Return the due time of the next miss, None while nothing is armed."""
        while self._heap:
            due, seq, key = self._heap[0]
            armed = self._armed.get(key)
            if armed is not None and (armed[0], armed[1].seq) == (due, seq):
                return due
            heapq.heappop(self._heap)
        return None

    def enter(self, batch: PlainBatch, row: int, counters: Counter[str]) -> None:
        """Disarm and arm by one row of a batch; an event that does both answers the old and arms anew."""
        event = batch.events[row]
        for place in self.by_type.get(event.type, ()):
            deadline = self.declared[place]
            raw = event.data.get(deadline.key)
            if raw is None or isinstance(raw, (list, dict)):
                continue
            key = (place, event.shop, str(raw))
            if event.type in deadline.cancel or passes(batch, deadline.must_where, deadline.must, counters)[row]:
                self._armed.pop(key, None)
            if key not in self._armed and passes(batch, deadline.after_where, deadline.after, counters)[row]:
                due = event.tau + deadline.within_s * MICROS
                self._armed[key] = (due, event)
                heapq.heappush(self._heap, (due, event.seq, key))

    def close(self, due: int) -> list[Miss]:
        """Return what is missed at this instant, in the order of arming."""
        misses = []
        while self.due() == due:
            _, _, key = heapq.heappop(self._heap)
            _, event = self._armed.pop(key)
            misses.append(
                Miss(deadline=self.declared[key[0]], key=key[2], shop=key[1], armed=event.tau, due=due, event=event)
            )
        return misses

    def canonical(self) -> list[Any]:
        """Return all state in one form."""
        return sorted((key, due, event.seq) for key, (due, event) in self._armed.items())

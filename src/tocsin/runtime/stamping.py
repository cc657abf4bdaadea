"""Order and now: who comes when. One stamper per shop's intake, fed by one thread."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from tocsin.core.events import ID_MEMORY, Event, stamp_tau

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


class Stamped(NamedTuple):
    """What stamping made of events: the new ones with their stamps; the seq of each, and which of them are new."""

    fresh: list[Event]
    seqs: list[int]
    new: list[bool]


class Stamping(Protocol):
    """Who gives (seq, tau) and recognises duplicates: ``Stamper``, or ``widestamping.WideStamper``."""

    seq: int
    tau: int

    def seen(self, identity: tuple[str, str]) -> int:
        """Return the seq that this identity was accepted with, or 0."""
        ...

    def stamp(self, event: Event, clock: int) -> Event:
        """Return the event with its seq and tau, and remember it."""
        ...

    def stamp_all(self, events: Sequence[Event], clock: int) -> Stamped:
        """Stamp events in their order, as ``seen`` and ``stamp`` one by one would."""
        ...

    def restore(self, event: Event) -> None:
        """Take up an event from the journal."""
        ...


class RowStamping(Stamping, Protocol):
    """Stamps rows of the wide lane as well; ``memory`` is what a snapshot keeps."""

    memory: Any

    def restore_rows(self, identity: np.ndarray, seqs: np.ndarray, taus: np.ndarray) -> None:
        """Take up rows from the journal."""
        ...

    def resume(self) -> None:
        """Go on from where the memory stands."""
        ...

    def stamp_ids(
        self, source: str, ids: Sequence[str], times: Sequence[int], clock: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what ``stamp_rows`` does, of events of one source that are known by their ids; at least one."""
        ...

    def stamp_rows(
        self, identity: np.ndarray, times: np.ndarray, clock: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (seqs int64, taus int64, fresh bool) of rows; a duplicate has the seq that it was accepted with."""
        ...


class Stamper:
    """Gives (seq, tau) and knows the identities of the last 24 hours of tau.

    With the age limit of the live doors (5 minutes) that recognises every duplicate exactly.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.tau = 0
        self._known: dict[tuple[str, str], int] = {}
        self._order: deque[tuple[int, tuple[str, str]]] = deque()

    def seen(self, identity: tuple[str, str]) -> int:
        """Return the seq that this identity was accepted with, or 0."""
        return self._known.get(identity, 0)

    def stamp(self, event: Event, clock: int) -> Event:
        """Return the event with its seq and tau, and remember it."""
        self.seq += 1
        self.tau = stamp_tau(event.time, clock, self.tau)
        stamped = msgspec.structs.replace(event, seq=self.seq, tau=self.tau)
        self._remember(stamped)
        return stamped

    def stamp_all(self, events: Sequence[Event], clock: int) -> Stamped:
        """Stamp events in their order; one that is known, also from before in the same call, keeps its seq."""
        found = Stamped([], [], [])
        for event in events:
            known = self.seen(event.identity)
            if not known:
                found.fresh.append(self.stamp(event, clock))
            found.seqs.append(known or self.seq)
            found.new.append(not known)
        return found

    def restore(self, event: Event) -> None:
        """Take up an event from the journal: its stamps are what they are."""
        self.seq = event.seq
        self.tau = event.tau
        self._remember(event)

    def retract(self, events: Sequence[Event], seq: int, tau: int) -> None:
        """Take back the newest events: the disk refused them, so they were never accepted."""
        for event in events:
            self._known.pop(event.identity, None)
            self._order.pop()
        self.seq = seq
        self.tau = tau

    def _remember(self, event: Event) -> None:
        self._known[event.identity] = event.seq
        self._order.append((event.tau, event.identity))
        # At most two a call: bounded work, and the memory still shrinks twice as fast as it grows.
        for _ in range(2):
            if not self._order or self._order[0][0] > event.tau - ID_MEMORY:
                break
            _, identity = self._order.popleft()
            self._known.pop(identity, None)

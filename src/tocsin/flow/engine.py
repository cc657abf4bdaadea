"""Engines: who computes windows, series and deadlines. The plain one is the oracle, the wide one is compiled.

Both give the same values; ``tests/flow/test_engines.py`` holds them to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.errors import Misconfigured
from tocsin.flow.batch import PlainBatch
from tocsin.flow.deadlines import Deadlines
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.series import Tracks
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.flow.windows import Windows

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tocsin.core.events import Event


class PlainEngine:
    """Python and NumPy, event by event."""

    wide = False

    def __init__(self, currency: str, hasher: Hasher) -> None:
        self.windows = Windows(currency)
        self.tracks = Tracks(currency)
        self.deadlines = Deadlines()

    def batch(self, events: Sequence[Event]) -> PlainBatch:
        """Return events as a batch."""
        return PlainBatch(events)

    def taus(self, batch: PlainBatch) -> np.ndarray:
        """Return the taus of a batch, int64 [n]."""
        return np.fromiter((event.tau for event in batch.events), np.int64, batch.n)

    def last_tau(self, batch: PlainBatch) -> int:
        """Return the tau of the last row."""
        return batch.events[-1].tau

    def enter(self, batch: PlainBatch, row: int, stop: int, counters: Counter[str]) -> int:
        """Enter the rows from ``row`` up to ``stop``, or up to the first before which something is due.

        Returns the first row that has not been entered; at least one has.
        """
        tracks, deadlines = self.tracks, self.deadlines
        due = self.due()
        for at in range(row, stop):
            event = batch.events[at]
            if at > row and due is not None and due <= event.tau:
                return at
            if event.type in tracks.by_type or event.type in deadlines.by_type:
                tracks.enter(batch, at)
                deadlines.enter(batch, at, counters)
                due = self.due()
        return stop

    def due(self) -> int | None:
        """Return when the next series closes or deadline is missed, None while nothing is due."""
        dues = [due for due in (self.tracks.due(), self.deadlines.due()) if due is not None]
        return min(dues, default=None)


def engine(currency: str, hasher: Hasher | None, *, wide: bool | None, log_events: int) -> PlainEngine:
    """Return the engine of a fold; Misconfigured where the compiled one is asked for and cannot be had."""
    hasher = hasher or Hasher()
    if wide is None:
        wide = AVAILABLE
    if not wide:
        return PlainEngine(currency, hasher)
    if not AVAILABLE:
        raise Misconfigured("the compiled plane needs numba; install it, or start with TOCSIN_PLAIN=1")
    return PlainEngine(currency, hasher)


__all__ = ["Names", "PlainEngine", "engine"]

"""Engines: who computes windows, series and deadlines. The plain one is the oracle, the wide one is compiled.

Both give the same values; ``tests/flow/test_engines.py`` holds them to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

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
    from tocsin.flow.wide.rows import Rows


class Engine(Protocol):
    """What a fold computes with."""

    wide: bool
    names: Names
    hasher: Hasher
    windows: Any
    tracks: Any
    deadlines: Any

    def batch(self, events: Sequence[Event]) -> PlainBatch:
        """Return events as a batch."""
        ...

    def taus(self, batch: PlainBatch) -> np.ndarray:
        """Return the taus of a batch, int64 [n]."""
        ...

    def enter(self, batch: PlainBatch, row: int, stop: int, counters: Counter[str]) -> int:
        """Enter the rows from ``row`` up to ``stop``, or up to the first before which something is due.

        Returns the first row that has not been entered; at least one has.
        """
        ...

    def fresh_windows(self) -> Any:
        """Return windows without declarations, to be fed with the past."""
        ...


class PlainEngine:
    """Python and NumPy, event by event."""

    wide = False

    def __init__(self, currency: str, hasher: Hasher) -> None:
        self.names = Names()
        self.hasher = hasher
        self._currency = currency
        self.windows = Windows(currency, hasher)
        self.tracks = Tracks(currency, hasher)
        self.deadlines = Deadlines()

    def batch(self, events: Sequence[Event]) -> PlainBatch:
        """Return events as a batch."""
        return PlainBatch(events)

    def taus(self, batch: PlainBatch) -> np.ndarray:
        """Return the taus of a batch, int64 [n]."""
        return np.fromiter((event.tau for event in batch.events), np.int64, batch.n)

    def enter(self, batch: PlainBatch, row: int, stop: int, counters: Counter[str]) -> int:
        """Enter rows one by one; see ``Engine``."""
        tracks, deadlines = self.tracks, self.deadlines
        due = self._due()
        for at in range(row, stop):
            event = batch.events[at]
            if at > row and due is not None and due <= event.tau:
                return at
            if event.type in tracks.by_type or event.type in deadlines.by_type:
                tracks.enter(batch, at)
                deadlines.enter(batch, at, counters)
                due = self._due()
        return stop

    def fresh_windows(self) -> Windows:
        """Return windows without declarations."""
        return Windows(self._currency, self.hasher)

    def _due(self) -> int | None:
        dues = [due for due in (self.tracks.due(), self.deadlines.due()) if due is not None]
        return min(dues, default=None)


class WideEngine:
    """Compiled kernels over columns."""

    wide = True

    def __init__(self, currency: str, hasher: Hasher, log_events: int) -> None:
        from tocsin.flow.wide.deadlines import WideDeadlines
        from tocsin.flow.wide.series import WideTracks

        self.names = Names()
        self.hasher = hasher
        self._currency = currency
        self._log_events = log_events
        self.windows = self.fresh_windows()
        self.tracks = WideTracks(currency, hasher)
        self.deadlines = WideDeadlines(hasher)

    def batch(self, events: Sequence[Event]) -> PlainBatch:
        """Return events as columns."""
        from tocsin.flow.wide.rows import Rows

        return Rows(events, self.names, self.hasher)

    def taus(self, batch: PlainBatch) -> np.ndarray:
        """Return the taus of a batch, int64 [n]."""
        return cast("Rows", batch).taus

    def enter(self, batch: PlainBatch, row: int, stop: int, counters: Counter[str]) -> int:
        """Enter a run of rows; see ``Engine``."""
        rows = cast("Rows", batch)
        stop = min(stop, self.tracks.first_due_row(rows, row), self.deadlines.first_due_row(rows, row))
        # The wake-ups before the first row have run: it enters in any case.
        stop = max(stop, row + 1)
        self.tracks.enter_rows(rows, row, stop)
        self.deadlines.enter_rows(rows, row, stop, counters)
        return stop

    def fresh_windows(self) -> Any:
        """Return windows without declarations."""
        from tocsin.flow.wide.windows import WideWindows

        return WideWindows(self._currency, self.hasher, log_events=self._log_events)


def engine(currency: str, hasher: Hasher | None, *, wide: bool | None, log_events: int) -> Engine:
    """Return the engine of a fold; Misconfigured where the compiled one is asked for and cannot be had."""
    hasher = hasher or Hasher()
    if wide is None:
        wide = AVAILABLE
    if not wide:
        return PlainEngine(currency, hasher)
    if not AVAILABLE:
        raise Misconfigured("the compiled plane needs numba; install it, or start with TOCSIN_PLAIN=1")
    return WideEngine(currency, hasher, log_events)

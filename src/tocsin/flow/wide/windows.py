"""Windows, compiled: the values of ``tocsin.flow.windows.Windows``, bit for bit, from kernels over columns.

What a plane carries (``plan.carried``) runs compiled; a window of another kind runs on its plain store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Ratio, Window
from tocsin.flow.filters import passes
from tocsin.flow.hashing import Hasher
from tocsin.flow.view import View, reach
from tocsin.flow.wide.plan import carried, plans_of
from tocsin.flow.wide.plane import Plane
from tocsin.flow.windows import Windows, check, stores_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.flow.batch import PlainBatch

LOG_EVENTS = 32_000_000


class WideWindows(Windows):
    """All windows of a fold, over ``Rows``.

    Parameters
    ----------
    currency
        What a money field counts in where the event names no currency.
    hasher
        The installation's; the same as that of the rows.
    log_events
        Entries that a log of exact spans holds at most: beyond, a span reaches back as far as they do.
    """

    def __init__(
        self, currency: str = "CNY", hasher: Hasher | None = None, log_events: int = LOG_EVENTS
    ) -> None:
        super().__init__(currency, hasher)
        self.hasher = hasher or Hasher()
        self.log_events = log_events
        self.planes: list[Plane] = []
        self.slots_of: list[list[int]] = []
        """Per plane the slots of its windows."""
        self._peers: list[list[int]] = []
        """Slots that the plain flow keeps in one store, which all their readers read."""

    def declare(self, windows: Iterable[Window | Ratio], reads: Iterable[str]) -> None:
        """Add windows that events of the types ``reads`` read; those already known keep their state.

        A window that is new while the stream is under way stays missing until it has seen all that it reaches back to.
        """
        fresh = []
        reads = list(reads)
        for window in windows:
            if isinstance(window, Ratio):
                continue
            slot = self.slots.get(window.fingerprint())
            if slot is None:
                check(window)
                slot = self.slots[window.fingerprint()] = len(self.windows)
                self.windows.append(window)
                self.readers.append(set())
                self.warm.append(self.tau + reach(window) if self.tau else 0)
                fresh.append((slot, window))
            self.readers[slot].update(reads)
        self._peers.extend([slot for slot, _ in store.windows] for store in stores_of(fresh, self.hasher))
        self.stores.extend(self._stores([one for one in fresh if not carried(one[1])]))
        mine = [one for one in fresh if carried(one[1])]
        self._stores(mine)
        for places in plans_of([window for _, window in mine]):
            self._add_plane([mine[place][0] for place in places])
        self._read()

    def _add_plane(self, slots: list[int]) -> None:
        plane = Plane([self.windows[slot] for slot in slots], self.hasher.text(self.currency), self.log_events,
                      self.counters)
        plane.currency_name = self.currency
        self.planes.append(plane)
        self.slots_of.append(slots)

    def _read(self) -> None:
        """Let every window be read by the readers of all windows that the plain flow keeps with it."""
        readers: list[frozenset[str]] = [frozenset()] * len(self.windows)
        for slots in self._peers:
            types = frozenset().union(*(self.readers[slot] for slot in slots))
            for slot in slots:
                readers[slot] = types
        for store in self.stores:
            store.readers = readers[store.windows[0][0]]
        for plane, slots in zip(self.planes, self.slots_of, strict=True):
            plane.declare_readers([readers[slot] for slot in slots])

    def step(self, batch: PlainBatch) -> list[np.ndarray]:
        """Enter and read a batch of ``Rows`` (stamped, tau ascending) in its order.

        Returns per slot float64 [n], NaN where the value is missing.
        """
        rows, n = batch, batch.n
        columns: list[np.ndarray] = [np.empty(0)] * len(self.windows)
        if not n:
            return columns
        for plane, slots in zip(self.planes, self.slots_of, strict=True):
            out = np.full((len(slots), n), np.nan)
            plane.step(rows, out)
            for slot, column in zip(slots, out, strict=True):
                columns[slot] = column
        if self.stores:
            self._step_plain(rows, columns)
        taus = rows.taus
        self.tau = int(taus[-1])
        if max(self.warm, default=0) > taus[0]:
            for column, warm in zip(columns, self.warm, strict=True):
                column[taus < warm] = np.nan
        return columns

    def _step_plain(self, rows, columns) -> None:
        view = View(rows.events, self.currency, len(self.windows))
        for store in self.stores:
            if store.where and not store.each:
                mask = np.asarray(passes(rows, store.where, store.of, self.counters))
                view.masks[store.where, store.of] = mask.tolist()
        for store in self.stores:
            store.step(view)
            for slot, _ in store.windows:
                out = view.out[slot]
                columns[slot] = np.full(view.n, np.nan) if out is None else np.asarray(out, np.float64)

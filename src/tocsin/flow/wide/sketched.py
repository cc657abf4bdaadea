"""Distinct windows over more than 1 h inside ``WideWindows``: rows become entries and readings of a ``SketchTable``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Aggregate
from tocsin.flow.filters import item_mask, mask
from tocsin.flow.view import HOUR_S
from tocsin.flow.wide.itemised import item_keys
from tocsin.flow.wide.sketch import SketchTable

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from tocsin.core.desk import Window
    from tocsin.flow.wide.rows import Rows


def sketched(window: Window) -> bool:
    """Return whether a window is kept as sketches."""
    return window.fold is Aggregate.DISTINCT and window.span_s > HOUR_S


class Sketched:
    """One distinct window, with the slot that it fills."""

    def __init__(self, slot: int, window: Window, counters: Counter[str]) -> None:
        self.slot, self.window, self.counters = slot, window, counters
        self.table = SketchTable([window])
        self.readers: frozenset[str] = frozenset()
        self.shards: np.ndarray | None = None

    def step(self, rows: Rows) -> np.ndarray:
        """Enter and read a batch; float64 [n], NaN where the value is missing."""
        reads = rows.of_type(*self.readers)
        if self.window.each:
            return self._step_items(rows, reads)
        enters = mask(rows, self.window.where, self.window.of, self.counters)
        keys, present = rows.keys(self.window.by)
        values = rows.identities(self.window.field)
        return self.table.step_rows((keys, self._owned(keys, present)), values, enters, reads, rows.taus)[0]

    def _step_items(self, rows: Rows, reads: np.ndarray) -> np.ndarray:
        by, items = self.window.by, rows.items
        keys, present = item_keys(rows, by)
        present = self._owned(keys, present)
        values, known = items.identities(self.window.field)
        passing = item_mask(rows, self.window.where, self.window.of, self.counters)
        entering = np.flatnonzero(passing & present & known)
        own, there = rows.keys(by.removeprefix("items."))
        reading = np.flatnonzero(reads & self._owned(own, there))
        readers, hashes = reading, own[reading]
        if by.startswith("items."):
            through = np.flatnonzero((reads & ~there)[items.row] & present)
            readers = np.concatenate([readers, items.row[through]])
            hashes = np.concatenate([hashes, keys[through]])
        order = np.argsort(readers, kind="stable")
        enter = (items.row[entering].astype(np.int64), keys[entering], values[entering])
        return self.table.step(enter, (readers[order].astype(np.int64), hashes[order]), rows.taus)[0]

    def _owned(self, keys: np.ndarray, present: np.ndarray) -> np.ndarray:
        if self.shards is None:
            return present
        owned: np.ndarray = present & self.shards[(keys >> np.uint64(56)).astype(np.int64)]
        return owned


def take_shards(shards: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the union of sets of shards (bool [256]; None: all)."""
    known = [one for one in shards if one is not None]
    if len(known) < len(shards):
        return None
    union: np.ndarray = np.any(known, axis=0)
    return None if union.all() else union

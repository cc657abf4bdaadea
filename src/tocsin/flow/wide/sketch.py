"""Distinct values over more than 1 h: bottom-256 sketches of many keys, the values of ``distinct.SketchDistinct``.

Per key the (hash, last hop) pairs that can still be among the 256 smallest of some later window: exact up to 256
values, standard error about 6 % above. A key with one value costs about 60 bytes, one with millions at most 200 kB.

Reference: Bar-Yossef et al., Counting distinct elements in a data stream, RANDOM 2002; Beyer et al., SIGMOD 2007.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.distinct import bottom
from tocsin.flow.view import HOPS, MICROS, bounds, reach
from tocsin.flow.wide import sketch_cells as cell
from tocsin.flow.wide.places import fill, grown, index_for, shards_of
from tocsin.flow.wide.sketch_kernels import gather, scatter, step, sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.core.desk import Window

Arrays = dict[str, np.ndarray]
FIRST_SLOTS = 64
FIRST_POOL = 256


class Sketch:
    """The state of one distinct window of more than 1 h."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.width = window.span_s * MICROS // HOPS
        self.spec = np.array([self.width, window.delay_s * MICROS, reach(window)], np.int64)
        self._empty(FIRST_SLOTS, FIRST_POOL)

    def _empty(self, slots: int, pool: int) -> None:
        self.index = index_for(slots)
        self.hashes = np.zeros(slots, np.uint64)
        self.newest = np.zeros(slots, np.int64)
        self.cells = np.zeros((slots, 4), np.int32)
        self.waits = np.zeros((slots if self.window.delay_s else 1, 3), np.int32)
        self.marks = np.zeros(pool, np.uint64)
        self.hops = np.zeros(pool, np.int32)
        self.head = np.zeros(cell.CLASSES + cell.CHUNKS, np.int64)

    @property
    def live(self) -> int:
        """How many keys have state."""
        return int(self.head[cell.LIVE])

    def step(
        self, enter: tuple[np.ndarray, np.ndarray, np.ndarray], read: tuple[np.ndarray, np.ndarray], taus: np.ndarray
    ) -> np.ndarray:
        """Enter and read; see ``SketchTable.step``."""
        out = np.full(len(taus), np.nan)
        lacks = -1
        while lacks:
            if lacks == cell.MORE_SLOTS:
                self._more_slots(len(self.hashes) + 1)
            elif lacks == cell.MORE_POOL:
                self.marks = grown(self.marks, len(self.marks) + 1)
                self.hops = grown(self.hops, len(self.marks))
            lacks = step(
                self.index, self.hashes, self.newest, self.cells, self.waits, self.marks, self.hops, self.head,
                self.spec, *enter, *read, taus, out,
            )  # fmt: skip
        return out

    def _more_slots(self, slots: int) -> None:
        self.hashes = grown(self.hashes, slots)
        slots = len(self.hashes)
        self.newest, self.cells = grown(self.newest, slots), grown(self.cells, slots)
        if self.window.delay_s:
            self.waits = grown(self.waits, slots)
        if len(self.index) * 3 < slots * 5:
            self.index = index_for(slots)
            fill(self.index, self.hashes, self._slots())

    def _slots(self) -> np.ndarray:
        """Return the slots in use, int64."""
        return np.flatnonzero(self.cells[: self.head[cell.SLOTS], 2] != cell.GONE)

    def sweep(self, tau: int, limit: int) -> int:
        """Look at ``limit`` keys and drop the idle ones; how many were dropped."""
        dropped: int = sweep(
            self.index, self.hashes, self.newest, self.cells, self.waits, self.hops, self.head, self.spec, tau, limit
        )
        return dropped

    def arrays(self, among: np.ndarray | None = None) -> Arrays:
        """Return the state of all keys (or of those in shards ``among`` bool [256]) without gaps."""
        slots = self._slots()
        if among is not None:
            slots = slots[among[shards_of(self.hashes[slots])]]
        found: Arrays = {"hashes": self.hashes[slots], "newest": self.newest[slots]}
        for name, chunks in (("", self.cells), ("wait_", self.waits)):
            own = chunks[slots, :2].astype(np.int64) if len(chunks) > 1 else np.zeros((len(slots), 2), np.int64)
            total = int(own[:, 1].sum())
            marks, hops = np.empty(total, np.uint64), np.empty(total, np.int32)
            gather(self.marks, self.hops, own, marks, hops)
            found |= {f"{name}lengths": own[:, 1].copy(), f"{name}marks": marks, f"{name}hops": hops}
        return found

    def load(self, arrays: Arrays) -> None:
        """Add keys that are not here yet, as ``arrays`` returned them."""
        if self.head[cell.FREE_SLOT]:
            self._merge([self.arrays(), arrays])
            return
        used, more = int(self.head[cell.SLOTS]), len(arrays["hashes"])
        self._more_slots(used + more)
        new = slice(used, used + more)
        self.hashes[new], self.newest[new] = arrays["hashes"], arrays["newest"]
        self.head[cell.SLOTS] += more
        self.head[cell.LIVE] += more
        self.cells[new] = 0
        for name, chunks in (("", self.cells), ("wait_", self.waits)):
            if name and not self.window.delay_s:
                continue
            lengths = np.array(arrays[f"{name}lengths"], np.int64)
            pairs = np.stack([arrays[f"{name}marks"], arrays[f"{name}hops"].astype(np.uint64)])
            room = scatter(self.marks[:0], self.hops, self.head, chunks[new], lengths, pairs)
            self.marks = grown(self.marks, int(self.head[cell.POOL]) + room + 1)
            self.hops = grown(self.hops, len(self.marks))
            scatter(self.marks, self.hops, self.head, chunks[new], lengths, pairs)
        fill(self.index, self.hashes, np.arange(used, used + more))

    def _merge(self, parts: Sequence[Arrays]) -> None:
        """Become what these parts hold."""
        self._empty(FIRST_SLOTS, FIRST_POOL)
        for part in parts:
            self.load(part)

    def canonical(self, tau: int) -> list[Any]:
        """Return (key hash, [kept, waiting]) of what can still matter at ``tau``: the twin of ``SketchDistinct``'s."""
        first, last = bounds(self.window, tau)
        first, last = first // self.width, last // self.width
        arrays, found = self.arrays(), []
        pairs, waiting = _by_key(arrays, ""), _by_key(arrays, "wait_")
        for key, own, later in zip(arrays["hashes"].tolist(), pairs, waiting, strict=True):
            seen = dict(own) | {mark: hop for mark, hop in later if hop <= last}
            kept = sorted(bottom((mark, hop) for mark, hop in seen.items() if hop >= first))
            still: dict[int, list[int]] = {}
            for mark, hop in later:
                if hop > last:
                    still.setdefault(hop, []).append(mark)
            held = [(hop, sorted(marks)[: cell.BOTTOM + 1]) for hop, marks in sorted(still.items())]
            if kept or held:
                found.append((key, [kept, held]))
        return sorted(found)

    def bytes(self) -> int:
        """Return the memory of the arrays."""
        arrays = (self.index, self.hashes, self.newest, self.cells, self.waits, self.marks, self.hops)
        return sum(array.nbytes for array in arrays)


def _by_key(arrays: Arrays, name: str) -> list[list[tuple[int, int]]]:
    """Return the (hash, hop) pairs of every key."""
    pairs = list(zip(arrays[f"{name}marks"].tolist(), arrays[f"{name}hops"].tolist(), strict=True))
    ends = np.cumsum(arrays[f"{name}lengths"]).tolist()
    return [pairs[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class SketchTable:
    """The ``distinct`` windows over 1 h that share key, entering events, filter and field.

    Parameters
    ----------
    windows
        They differ in span and delay.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = tuple(windows)
        self.sketches = [Sketch(window) for window in windows]

    def step(
        self, enter: tuple[np.ndarray, np.ndarray, np.ndarray], read: tuple[np.ndarray, np.ndarray], taus: np.ndarray
    ) -> list[np.ndarray]:
        """Enter and read a batch in its order, a row's entries before its readings; then look at some idle keys.

        Parameters
        ----------
        enter
            (rows int64, ascending; key hashes uint64; hashes of the values uint64): one per entry, so one per item
            where the window is over items.
        read
            (rows int64, ascending; key hashes uint64); a row that reads several keys gets the largest value.
        taus
            int64 [n], ascending.

        Returns
        -------
        Per window float64 [n], NaN where a row reads nothing.
        """
        values = [sketch.step(enter, read, taus) for sketch in self.sketches]
        if len(taus):
            self.sweep(int(taus[-1]), 2 * (len(enter[0]) + len(read[0])))
        return values

    def step_rows(
        self,
        keys: tuple[np.ndarray, np.ndarray],
        values: tuple[np.ndarray, np.ndarray],
        enters: np.ndarray,
        reads: np.ndarray,
        taus: np.ndarray,
    ) -> list[np.ndarray]:
        """Step with columns (values [n], present [n]) of keys and identities, and masks of who enters and reads."""
        hashes, present = keys
        entering = np.flatnonzero(enters & present & values[1])
        reading = np.flatnonzero(reads & present)
        return self.step((entering, hashes[entering], values[0][entering]), (reading, hashes[reading]), taus)

    def sweep(self, tau: int, limit: int) -> int:
        """Look at ``limit`` keys of every window and drop those that are idle; how many were dropped."""
        return sum(sketch.sweep(tau, limit) for sketch in self.sketches)

    def split(self, groups: Sequence[frozenset[int]]) -> list[SketchTable]:
        """Return one table per group of shards (the upper eight bits of a key's hash)."""
        parts = []
        for group in groups:
            among = np.zeros(256, bool)
            among[sorted(group)] = True
            part = SketchTable(self.windows)
            for own, sketch in zip(part.sketches, self.sketches, strict=True):
                own.load(sketch.arrays(among))
            parts.append(part)
        return parts

    @classmethod
    def merge(cls, parts: Sequence[SketchTable]) -> SketchTable:
        """Return the table of which these are the parts; no key is in two of them."""
        whole = cls(parts[0].windows)
        for part in parts:
            for own, sketch in zip(whole.sketches, part.sketches, strict=True):
                own.load(sketch.arrays())
        return whole

    def canonical(self, tau: int) -> list[Any]:
        """Return per window what can still matter at ``tau``, in one form."""
        return [sketch.canonical(tau) for sketch in self.sketches]

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return everything as (what JSON can hold, arrays)."""
        arrays = {
            f"{place}.{name}": array
            for place, sketch in enumerate(self.sketches)
            for name, array in sketch.arrays().items()
        }
        return {"windows": [repr(window.fingerprint()) for window in self.windows]}, arrays

    def restore(self, meta: dict[str, Any], arrays: Arrays) -> None:
        """Become what ``state`` returned; a window that it does not know stays empty."""
        for sketch in self.sketches:
            name = repr(sketch.window.fingerprint())
            if name in meta["windows"]:
                prefix = f"{meta['windows'].index(name)}."
                own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
                sketch._merge([own])

    def bytes(self) -> int:
        """Return the memory of all arrays."""
        return sum(sketch.bytes() for sketch in self.sketches)


def warm() -> None:
    """Call every kernel once with the dtypes of real use."""
    from tocsin.core.desk import Aggregate, Window

    windows = [
        Window(name="w", fold=Aggregate.DISTINCT, by="ip", field="card", of=("a",), span_s=86_400, delay_s=delay)
        for delay in (0, 60)
    ]
    table = SketchTable(windows)
    keys, yes, taus = (np.ones(2, np.uint64), np.ones(2, bool)), np.ones(2, bool), np.array([1, 2], np.int64)
    table.step_rows(keys, keys, yes, yes, taus)
    SketchTable.merge([table]).sweep(10**15, 4)

"""Keyed sliding windows over a stream: every window of every desk, state kept once per fingerprint.

What a window means is fixed in ``tocsin.core.desk``. Beyond it: a window with ``by="items.sku"`` is read by the
event's own ``sku``, or, where it has none, over its items: the largest value of their keys (recency: the smallest).
State is kept apart by shop, and for money by currency.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.desk import Aggregate, Ratio, Window
from tocsin.core.events import Kind
from tocsin.errors import Misconfigured
from tocsin.flow.batch import FeatureTable
from tocsin.flow.distinct import ExactDistinct, SketchDistinct
from tocsin.flow.fields import field_of, scale_of
from tocsin.flow.filters import filter_of, item_filter, passes
from tocsin.flow.hashing import Hasher
from tocsin.flow.moments import Moments, grain_of
from tocsin.flow.recency import Recency
from tocsin.flow.store import SHARDS, Store, shard_of
from tocsin.flow.view import HOPS, HOUR_S, MICROS, View, reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.flow.batch import PlainBatch

FINEST = 64
"""Windows share a log while the longest hop is at most this many times the shortest."""


def check(window: Window) -> None:
    """Raise Misconfigured where a declaration cannot be computed; the message says what to change."""
    if window.span_s <= 0 or window.delay_s < 0:
        raise Misconfigured(f"window {window.name}: span_s must be positive and delay_s not negative")
    if window.span_s > HOUR_S and window.span_s * MICROS % HOPS:
        raise Misconfigured(
            f"window {window.name}: a span over 1 h must divide into {HOPS} hops; use a multiple of 3 s"
        )
    if not window.of:
        raise Misconfigured(f"window {window.name}: 'of' names no event type")
    needs = window.fold not in (Aggregate.COUNT, Aggregate.RECENCY)
    if needs != bool(window.field):
        raise Misconfigured(f"window {window.name}: {window.fold} {'needs a' if needs else 'takes no'} field")
    if window.by.startswith("items.") and not window.each:
        raise Misconfigured(f"window {window.name}: by={window.by!r} needs each=True")
    if needs and window.fold is not Aggregate.DISTINCT:
        field = field_of(window.of, window.field, item=window.each)
        numeric = (Kind.INTEGER, Kind.NUMBER, Kind.MONEY, Kind.BOOLEAN, Kind.TIME)
        if field is not None and field.kind not in numeric:
            raise Misconfigured(f"window {window.name}: {window.field!r} is {field.kind}, not a number")


MOST_TABLES = 256


class Windows:
    """All windows of a fold.

    Parameters
    ----------
    currency
        What a money field counts in where the event names no currency.
    hasher
        Places the values of ``distinct`` windows over 1 h.
    """

    def __init__(self, currency: str = "CNY", hasher: Hasher | None = None) -> None:
        self.currency = currency
        self.hasher = hasher or Hasher()
        self.slots: dict[tuple[Any, ...], int] = {}
        self.windows: list[Window] = []
        self.readers: list[set[str]] = []
        self.warm: list[int] = []
        """Per slot: the tau from which its value is known; before it the value is missing."""
        self.stores: list[Store[Any]] = []
        self._gone: set[int] = set()
        """Slots of windows that nobody declares any more, while the store that they share with others lives."""
        self._free: list[int] = []
        """Slots that the next new windows take."""
        self.tau = 0
        self.counters: Counter[str] = Counter()
        self._tables: dict[int, tuple[object, list[tuple[str, int]], list[Ratio]]] = {}

    def declare(self, windows: Iterable[Window | Ratio], reads: Iterable[str]) -> None:
        """Add windows that events of the types ``reads`` read; those already known (same fingerprint) keep their state.

        A window that is new while the stream is under way stays missing until it has seen all that it reaches back to.
        """
        fresh = []
        for window in windows:
            if isinstance(window, Ratio):
                continue
            slot = self.slots.get(window.fingerprint())
            if slot is None:
                slot = self._slot(window)
                fresh.append((slot, window))
            self.readers[slot].update(reads)
        self.stores.extend(self._stores(fresh))
        self._read()

    def withdraw(self, windows: Iterable[Window]) -> None:
        """Let go of windows: declared again they begin anew. State shared with others goes with the last of these."""
        for window in windows:
            slot = self.slots.pop(window.fingerprint(), None)
            if slot is not None:
                self._gone.add(slot)
                self.readers[slot], self.warm[slot] = set(), 0
        self.stores = [store for store in self.stores if not self._gone.issuperset(slot for slot, _ in store.windows)]
        free = self._gone.difference(slot for store in self.stores for slot, _ in store.windows)
        self._gone -= free
        self._free.extend(sorted(free))
        self._read()

    def _slot(self, window: Window) -> int:
        """Give a new window its slot; Misconfigured where it cannot be computed."""
        check(window)
        if not self._free:
            self._free.append(len(self.windows))
            self.windows.append(window)
            self.readers.append(set())
            self.warm.append(0)
        slot = self.slots[window.fingerprint()] = self._free.pop()
        self.windows[slot], self.readers[slot] = window, set()
        self.warm[slot] = self.tau + reach(window) if self.tau else 0
        return slot

    def _read(self) -> None:
        """Let every store be read by the readers of its windows."""
        for store in self.stores:
            store.readers = frozenset().union(*(self.readers[slot] for slot, _ in store.windows))

    def step(self, batch: PlainBatch) -> Sequence[np.ndarray]:
        """Enter and read a batch (stamped, tau ascending) in its order.

        Returns per slot float64 [n], NaN where the value is missing.
        """
        if not batch.n:
            return [np.empty(0) for _ in self.windows]
        view = View(batch.events, self.currency, len(self.windows))
        for store in self.stores:
            if store.where and not store.each:
                view.masks[store.where, store.of] = passes(batch, store.where, store.of, self.counters)
        for store in self.stores:
            store.step(view)
        columns = [np.full(view.n, np.nan) if out is None else np.asarray(out, np.float64) for out in view.out]
        self.tau = view.taus[-1]
        if any(warm > view.taus[0] for warm in self.warm):
            self._hide(columns, np.array(view.taus, np.int64))
        return columns

    def _hide(self, columns: Sequence[np.ndarray], taus: np.ndarray) -> None:
        """Let the values of windows be missing that are not warm yet."""
        for column, warm in zip(columns, self.warm, strict=True):
            if warm > taus[0]:
                column[taus < warm] = np.nan

    def table(self, declared: Sequence[Window | Ratio], columns: Sequence[np.ndarray], n: int) -> FeatureTable:
        """Return the features of one desk by its own names, ratios included."""
        slots, ratios = self._named(declared)
        named = {name: columns[slot] for name, slot in slots}
        if not ratios:
            return FeatureTable(n, named)
        for ratio in ratios:
            over, under = named[ratio.over], named[ratio.under]
            values = np.full(n, np.nan)
            np.divide(over, under, out=values, where=under != 0)
            named[ratio.name] = values
        return FeatureTable(n, {window.name: named[window.name] for window in declared})

    def _named(self, declared: Sequence[Window | Ratio]) -> tuple[list[tuple[str, int]], list[Ratio]]:
        """Return (name, slot) of the windows and the ratios among what a desk declares; worked out once for each."""
        known = self._tables.get(id(declared))
        if known is None or known[0] is not declared:
            windows = [window for window in declared if isinstance(window, Window)]
            slots = [(window.name, self.slots[window.fingerprint()]) for window in windows]
            ratios = [window for window in declared if isinstance(window, Ratio)]
            known = declared, slots, ratios
            if isinstance(declared, tuple):
                if len(self._tables) >= MOST_TABLES:
                    self._tables.clear()
                self._tables[id(declared)] = known
        return known[1], known[2]

    def digest(self) -> str:
        """Return the hash of all state that can still matter: equal for equal histories, however they were folded."""
        lines = sorted(
            repr((sorted(str(window.fingerprint()) for _, window in store.windows), entry))
            for store in self.stores
            for entry in store.entries(self.tau)
        )
        return hashlib.blake2b("\n".join([str(self.tau), *lines]).encode(), digest_size=16).hexdigest()

    def split(self, groups: Sequence[frozenset[int]]) -> list[Windows]:
        """Return one part per group of shards (0..255): it reads and keeps only the keys of its shards.

        What an event reads over several items is the largest (recency: smallest) of what the parts say.
        """
        if sorted(shard for group in groups for shard in group) != list(range(SHARDS)):
            raise Misconfigured("split: the groups must name every shard from 0 to 255 exactly once")
        parts = []
        for group in groups:
            part = self._twin()
            for own, store in zip(part.stores, self.stores, strict=True):
                own.take(group, store)
            parts.append(part)
        return parts

    @classmethod
    def merge(cls, parts: Sequence[Windows]) -> Windows:
        """Return the whole of which these are the parts, all folded up to the same event."""
        whole = parts[0]._twin()
        whole.tau = max(part.tau for part in parts)
        for part in parts:
            whole.counters.update(part.counters)
            for own, store in zip(whole.stores, part.stores, strict=True):
                own.take(store.shards or frozenset(range(SHARDS)), store)
        for own in whole.stores:
            own.shards = None if own.shards is None or len(own.shards) == SHARDS else own.shards
        return whole

    def _stores(self, windows: Sequence[tuple[int, Window]]) -> list[Store[Any]]:
        stores = stores_of(windows, self.hasher)
        for store in stores:
            if store.where and store.each:
                store.filter = item_filter(store.where, store.of, self.counters)
            elif store.where:
                filter_of(store.where, store.of)
        return stores

    def _twin(self) -> Windows:
        twin = Windows(self.currency, self.hasher)
        self._name(twin)
        twin.stores = [own for store in self.stores for own in self._stores(store.windows)]
        twin._read()
        return twin

    def _name(self, twin: Windows) -> None:
        """Give a twin the same slots."""
        twin.windows, twin.slots, twin.warm = list(self.windows), dict(self.slots), list(self.warm)
        twin.readers, twin.tau = [set(readers) for readers in self.readers], self.tau
        twin._gone, twin._free = set(self._gone), list(self._free)


def stores_of(windows: Sequence[tuple[int, Window]], hasher: Hasher) -> list[Store[Any]]:
    """Return the stores for windows: one log for all that differ only in aggregate, field, span and delay."""
    stores: list[Store[Any]] = []
    logs: dict[Any, list[tuple[int, Window]]] = {}
    for slot, window in windows:
        shared = (window.by, window.of, window.where, window.each)
        if window.fold is Aggregate.DISTINCT:
            exact = window.span_s <= HOUR_S
            stores.append(ExactDistinct([(slot, window)]) if exact else SketchDistinct([(slot, window)], hasher))
        elif window.fold is Aggregate.RECENCY:
            apart = window.span_s if window.delay_s else 0
            logs.setdefault(("recency", *shared, window.delay_s, apart), []).append((slot, window))
        else:
            logs.setdefault(("moments", *shared, window.span_s > HOUR_S), []).append((slot, window))
    for shared, members in logs.items():
        if shared[0] == "recency":
            stores.append(Recency(members))
        else:
            stores.extend(_moments(members))
    return stores


def _moments(members: list[tuple[int, Window]]) -> list[Store[Any]]:
    """Group windows whose hops are multiples of one grain, the finest hop among them."""
    groups: list[tuple[int, list[tuple[int, Window]]]] = []
    for slot, window in sorted(members, key=lambda member: grain_of(member[1])):
        grain = grain_of(window)
        for finest, group in groups:
            if not grain % finest and grain <= FINEST * finest:
                group.append((slot, window))
                break
        else:
            groups.append((grain, [(slot, window)]))
    stores: list[Store[Any]] = []
    for finest, group in groups:
        known = {w.field: field_of(w.of, w.field, item=w.each) for _, w in group if w.field}
        money = frozenset(name for name, field in known.items() if field is not None and field.kind is Kind.MONEY)
        stores.append(Moments(group, finest, {name: scale_of(field) for name, field in known.items()}, money))
    return stores


__all__ = ["Windows", "check", "shard_of", "stores_of"]

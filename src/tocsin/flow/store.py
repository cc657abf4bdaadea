"""Keyed window state: the loop that every kind of store shares, and how its state splits by shard and merges."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tocsin.core.desk import Window
    from tocsin.core.events import Event

Cell = TypeVar("Cell")
SHARDS = 256
HOPS = 24
HOUR_S = 3600
MICROS = 1_000_000
MISSING = float("nan")


def shard_of(entity: str, key: str) -> int:
    """Return the shard [0, 256) that a key's state lives in: a hash of entity type and key."""
    return hashlib.blake2b(f"{entity}\x1f{key}".encode(), digest_size=1).digest()[0]


def bounds(window: Window, tau: int) -> tuple[int, int]:
    """Return the closed interval [first, last] of entering taus that a window covers when it is read at ``tau``.

    >>> from tocsin.core.desk import Aggregate, Window
    >>> hour = Window(name="n", fold=Aggregate.COUNT, by="ip", span_s=3600, of=("a",))
    >>> bounds(hour, 7_200_000_000)
    (3600000001, 7200000000)
    >>> bounds(Window(name="n", fold=Aggregate.COUNT, by="ip", span_s=86400, of=("a",)), 90_000_000_000)
    (7200000000, 90000000000)
    """
    span, delay = window.span_s * MICROS, window.delay_s * MICROS
    if window.span_s <= HOUR_S:
        return tau - delay - span + 1, tau - delay
    hop = span // HOPS
    at = (tau - delay) // hop
    if delay:
        return (at - HOPS) * hop, at * hop - 1
    return (at - HOPS + 1) * hop, tau


def reach(window: Window) -> int:
    """Return for how many microseconds before a reading an entry can still count."""
    hop = 0 if window.span_s <= HOUR_S else 2 * window.span_s * MICROS // HOPS
    return (window.span_s + window.delay_s) * MICROS + hop


class View:
    """One batch, prepared for the stores: parallel lists over its rows, and the slots that they fill."""

    __slots__ = ("_keys", "_scopes", "currency", "datas", "events", "masks", "n", "out", "shops", "taus", "types")

    def __init__(self, events: Sequence[Event], currency: str, slots: int) -> None:
        self.n = len(events)
        self.events, self.currency = events, currency
        self.taus = [event.tau for event in events]
        self.types = [event.type for event in events]
        self.shops = [event.shop for event in events]
        self.datas: list[dict[str, Any]] = [event.data for event in events]
        self.out: list[list[float]] = [[MISSING] * self.n for _ in range(slots)]
        self.masks: dict[tuple[str, tuple[str, ...]], list[bool]] = {}
        """(filter, event types) -> which rows pass (not for filters over items)."""
        self._keys: dict[str, list[Any]] = {}
        self._scopes: dict[bool, list[tuple[str, str]]] = {}

    def keys(self, name: str) -> list[Any]:
        """Return a field of every row's data, None where it is missing."""
        keys = self._keys.get(name)
        if keys is None:
            keys = self._keys[name] = [data.get(name) for data in self.datas]
        return keys

    def scopes(self, money: bool) -> list[tuple[str, str]]:
        """Return (shop, currency or "") of every row: what state is kept apart by, beside the key."""
        scopes = self._scopes.get(money)
        if scopes is None:
            known: dict[tuple[str, str], tuple[str, str]] = {}
            pairs = (
                [(s, str(d.get("currency") or self.currency)) for s, d in zip(self.shops, self.datas, strict=True)]
                if money
                else [(shop, "") for shop in self.shops]
            )
            scopes = self._scopes[money] = [known.setdefault(pair, pair) for pair in pairs]
        return scopes


class Store(Generic[Cell]):
    """State of the windows that share one log: the same key, entering events and filter.

    A subclass says what a cell is: ``fresh``, ``amount`` (what an entering event or item brings), ``enter``, ``read``.
    """

    reads_first = False
    """Whether an event reads before it enters (recency)."""

    def __init__(self, windows: Sequence[tuple[int, Window]], money: bool) -> None:
        first = windows[0][1]
        self.windows = tuple(windows)
        self.by, self.of, self.where, self.each, self.money = first.by, first.of, first.where, first.each, money
        self.item_key = first.by.removeprefix("items.") if first.by.startswith("items.") else ""
        self.entity = self.item_key or self.by
        self.keep = max(reach(window) for _, window in windows)
        self.readers: set[str] = set()
        self.cells: dict[tuple[str, str], dict[str, Cell]] = {}
        self.queue: deque[tuple[tuple[str, str], str]] = deque()
        self.shards: frozenset[int] | None = None
        self.filter: Callable[[dict[str, Any], Event], bool] | None = None
        """For ``each`` with a filter: (item, event) -> passes."""

    # What a subclass says.

    def fresh(self) -> Cell:
        """Return an empty cell."""
        raise NotImplementedError

    def prepare(self, view: View) -> None:
        """Compute what the readings of this batch share (window bounds)."""

    def amount(self, source: dict[str, Any]) -> Any:
        """Return what an entering event's data or item brings, None where it does not count."""
        raise NotImplementedError

    def enter(self, cell: Cell, tau: int, amount: Any) -> None:
        """Take an entry in."""
        raise NotImplementedError

    def read(self, cell: Cell | None, row: int, tau: int) -> list[float]:
        """Return the values of ``windows`` in their order (None: a key without state)."""
        raise NotImplementedError

    def newest(self, cell: Cell) -> int:
        """Return the tau of the last entry."""
        raise NotImplementedError

    def canonical(self, cell: Cell, tau: int) -> Any:
        """Return what of a cell can still matter at ``tau``, in one form whatever the way it came about."""
        raise NotImplementedError

    # The loop.

    def step(self, view: View) -> None:
        """Enter and read the rows of a batch in their order, then let go of some idle keys."""
        enters, reads = set(self.of), self.readers
        active = enters | reads
        rows = [row for row, kind in enumerate(view.types) if kind in active]
        if not rows:
            return
        self.prepare(view)
        if self.each:
            self._step_items(view, rows)
        else:
            self._step_rows(view, rows, enters)
        self._sweep(view.taus[-1], 2 * len(rows))

    def _step_rows(self, view: View, rows: list[int], enters: set[str]) -> None:
        keys, scopes, taus, types = view.keys(self.by), view.scopes(self.money), view.taus, view.types
        mask = view.masks[self.where, self.of] if self.where else None
        outs = [view.out[slot] for slot, _ in self.windows]
        reads, first, shards = self.readers, self.reads_first, self.shards
        scope: tuple[str, str] | None = None
        cells: dict[str, Cell] = {}
        for row in rows:
            key = keys[row]
            if key.__class__ is not str:
                if key is None or isinstance(key, (list, dict)):
                    continue
                key = str(key)
            if shards is not None and shard_of(self.entity, key) not in shards:
                continue
            if scopes[row] is not scope:
                scope = scopes[row]
                cells = self.cells.setdefault(scope, {})
            tau = taus[row]
            cell = cells.get(key)
            kind = types[row]
            reading = kind in reads
            if first and reading:
                self._write(outs, row, self.read(cell, row, tau))
            if kind in enters and (mask is None or mask[row]):
                amount = self.amount(view.datas[row])
                if amount is not None:
                    if cell is None:
                        cell = cells[key] = self.fresh()
                        self.queue.append((scope, key))
                    self.enter(cell, tau, amount)
            if reading and not first:
                self._write(outs, row, self.read(cell, row, tau))

    @staticmethod
    def _write(outs: list[list[float]], row: int, values: list[float]) -> None:
        for out, value in zip(outs, values, strict=True):
            out[row] = value

    def _step_items(self, view: View, rows: list[int]) -> None:
        scopes = view.scopes(self.money)
        for row in rows:
            data, kind, tau = view.datas[row], view.types[row], view.taus[row]
            raw = data.get("items")
            items = [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []
            cells = self.cells.setdefault(scopes[row], {})
            if self.reads_first and kind in self.readers:
                self._read_items(view, cells, row, items)
            if kind in self.of:
                for item in items:
                    if self.filter is not None and not self.filter(item, view.events[row]):
                        continue
                    key, amount = self._key(item, data), self.amount(item)
                    if key is None or amount is None:
                        continue
                    cell = cells.get(key)
                    if cell is None:
                        cell = cells[key] = self.fresh()
                        self.queue.append((scopes[row], key))
                    self.enter(cell, tau, amount)
            if not self.reads_first and kind in self.readers:
                self._read_items(view, cells, row, items)

    def _key(self, item: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
        key = item.get(self.item_key) if self.item_key else data.get(self.by)
        if key is None or isinstance(key, (list, dict)):
            return None
        key = str(key)
        return key if self.shards is None or shard_of(self.entity, key) in self.shards else None

    def _read_items(self, view: View, cells: dict[str, Cell], row: int, items: list[dict[str, Any]]) -> None:
        data, tau = view.datas[row], view.taus[row]
        own = data.get(self.entity)
        sources = items if self.item_key and own is None else [{self.item_key: own}]
        keys = {key for key in (self._key(source, data) for source in sources) if key is not None}
        readings = [self.read(cells.get(key), row, tau) for key in sorted(keys)]
        pick = min if self.reads_first else max
        for place, (slot, _) in enumerate(self.windows):
            values = [reading[place] for reading in readings if reading[place] == reading[place]]
            if values:
                view.out[slot][row] = pick(values)

    def _sweep(self, tau: int, limit: int) -> None:
        """Look at the ``limit`` keys that were looked at longest ago and drop those that are idle."""
        horizon = tau - self.keep
        for _ in range(min(limit, len(self.queue))):
            scope, key = self.queue.popleft()
            if self.newest(self.cells[scope][key]) < horizon:
                del self.cells[scope][key]
            else:
                self.queue.append((scope, key))

    # State as a whole.

    def entries(self, tau: int) -> Iterator[tuple[str, str, str, Any]]:
        """Yield (shop, currency, key, canonical cell) of all state that can still matter at ``tau``."""
        for (shop, currency), cells in self.cells.items():
            for key, cell in cells.items():
                kept = self.canonical(cell, tau)
                if kept:
                    yield shop, currency, key, kept

    def take(self, shards: frozenset[int], source: Store[Cell]) -> None:
        """Own these shards, with the cells that another store of the same windows has of them."""
        self.shards = shards if self.shards is None else self.shards | shards
        for scope, key in source.queue:
            if shard_of(self.entity, key) in shards:
                self.cells.setdefault(scope, {})[key] = source.cells[scope][key]
                self.queue.append((scope, key))

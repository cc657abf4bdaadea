"""Keyed window state: the loop that every kind of store shares, and how its state splits by shard and merges."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tocsin.flow.view import MISSING, key_of, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tocsin.core.desk import Window
    from tocsin.core.events import Event
    from tocsin.flow.view import View

Cell = TypeVar("Cell")
SHARDS = 256


def shard_of(entity: str, key: str) -> int:
    """Return the shard [0, 256) that a key's state lives in: a hash of entity type and key."""
    return hashlib.blake2b(f"{entity}\x1f{key}".encode(), digest_size=1).digest()[0]


class Store(ABC, Generic[Cell]):
    """State of the windows that share one log: the same key, entering events and filter.

    A subclass says what a cell is: ``fresh``, ``amount`` (what an entering event or item brings), ``enter``, ``read``.
    """

    reads_first = False
    """Whether an event reads before it enters (recency)."""

    def __init__(self, windows: Sequence[tuple[int, Window]]) -> None:
        first = windows[0][1]
        self.windows = tuple(windows)
        self.by, self.of, self.where, self.each = first.by, first.of, first.where, first.each
        self.item_key = first.by.removeprefix("items.") if first.by.startswith("items.") else ""
        self.entity = self.item_key or self.by
        self.keep = max(reach(window) for _, window in windows)
        self.enters = frozenset(self.of)
        self.readers: frozenset[str] = frozenset()
        self.cells: dict[str, dict[str, Cell]] = {}
        """Shop -> key -> cell."""
        self.queue: deque[tuple[int, str, str]] = deque()
        """(when to look whether it is idle, shop, key), ascending."""
        self.shards: frozenset[int] | None = None
        self.filter: Callable[[dict[str, Any], Event], bool] | None = None
        """For ``each`` with a filter: (item, event) -> passes."""

    # What a subclass says.

    @abstractmethod
    def fresh(self, currency: str) -> Cell:
        """Return an empty cell."""

    @abstractmethod
    def amount(self, source: dict[str, Any], currency: str) -> Any:
        """Return what an entering event's data or item brings, None where it does not count."""

    @abstractmethod
    def enter(self, cell: Cell, tau: int, amount: Any) -> None:
        """Take an entry in."""

    @abstractmethod
    def read(self, cell: Cell | None, tau: int, currency: str) -> list[float]:
        """Return the values of ``windows`` in their order (None: a key without state)."""

    @abstractmethod
    def newest(self, cell: Cell) -> int:
        """Return the tau of the last entry, or a little later."""

    @abstractmethod
    def canonical(self, cell: Cell, tau: int) -> Any:
        """Return what of a cell can still matter at ``tau``, in one form whatever the way it came about."""

    # The loop.

    def step(self, view: View) -> None:
        """Enter and read the rows of a batch in their order, then let go of some idle keys."""
        active = self.enters | self.readers
        rows = [row for row, kind in enumerate(view.types) if kind in active]
        if rows and self.each:
            self._step_items(view, rows)
        elif rows:
            self._step_rows(view, self._own(view.keys(self.by), rows))
        self._sweep(view.taus[-1], 2 * len(rows))

    def _own(self, keys: Sequence[str | None], rows: Sequence[int]) -> list[tuple[int, str]]:
        """Return (row, key) of the rows that have a key of our shards."""
        pairs = [(row, key) for row in rows if (key := keys[row]) is not None]
        if self.shards is None:
            return pairs
        return [(row, key) for row, key in pairs if shard_of(self.entity, key) in self.shards]

    def _passing(self, view: View) -> list[bool]:
        """Return which rows enter."""
        return view.masks[self.where, self.of] if self.where else view.among(self.enters)

    def _step_rows(self, view: View, pairs: Sequence[tuple[int, str]]) -> None:
        taus, shops, entering, reading = view.taus, view.shops, self._passing(view), view.among(self.readers)
        outs = [[MISSING] * view.n for _ in self.windows]
        for row, key in pairs:
            cells = self.cells.setdefault(shops[row], {})
            cell, tau = cells.get(key), taus[row]
            values = self.read(cell, tau, "") if reading[row] and self.reads_first else None
            if entering[row] and (amount := self.amount(view.datas[row], "")) is not None:
                if cell is None:
                    cell = self._opened(cells, shops[row], key, tau)
                self.enter(cell, tau, amount)
            if reading[row]:
                for out, value in zip(outs, values or self.read(cell, tau, ""), strict=True):
                    out[row] = value
        for (slot, _), out in zip(self.windows, outs, strict=True):
            view.out[slot] = out

    def _opened(self, cells: dict[str, Cell], shop: str, key: str, tau: int, currency: str = "") -> Cell:
        """Return a new cell for a key, and put it in line to be looked at when it may be idle."""
        cell = cells[key] = self.fresh(currency)
        self.queue.append((tau + self.keep, shop, key))
        return cell

    def _step_items(self, view: View, rows: list[int]) -> None:
        outs = [[MISSING] * view.n for _ in self.windows]
        for row in rows:
            data, kind, tau, shop = view.datas[row], view.types[row], view.taus[row], view.shops[row]
            raw = data.get("items")
            items = [item for item in raw if isinstance(item, dict)] if isinstance(raw, list) else []
            cells, currency = self.cells.setdefault(shop, {}), view.currency_of(data)
            if self.reads_first and kind in self.readers:
                self._read_items(outs, row, cells, self._keys(data, items), tau, currency)
            for item in items if kind in self.enters else ():
                if self.filter is not None and not self.filter(item, view.events[row]):
                    continue
                key, amount = self._key(item, data), self.amount(item, currency)
                if key is not None and amount is not None:
                    cell = cells.get(key)
                    if cell is None:
                        cell = self._opened(cells, shop, key, tau, currency)
                    self.enter(cell, tau, amount)
            if not self.reads_first and kind in self.readers:
                self._read_items(outs, row, cells, self._keys(data, items), tau, currency)
        for (slot, _), out in zip(self.windows, outs, strict=True):
            view.out[slot] = out

    def _key(self, item: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
        key = key_of(item.get(self.item_key) if self.item_key else data.get(self.by))
        return key if key is None or self.shards is None or shard_of(self.entity, key) in self.shards else None

    def _keys(self, data: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the keys that an event reads: its own, or those of its items."""
        own = data.get(self.entity)
        sources = items if self.item_key and own is None else [{self.item_key: own}]
        return sorted({key for key in (self._key(source, data) for source in sources) if key is not None})

    def _read_items(
        self, outs: list[list[float]], row: int, cells: dict[str, Cell], keys: list[str], tau: int, currency: str
    ) -> None:
        """Write the largest value of the keys (recency: the smallest)."""
        readings = [self.read(cells.get(key), tau, currency) for key in keys]
        for out, *values in zip(outs, *readings, strict=True):
            known = [value for value in values if not math.isnan(value)]
            if known:
                out[row] = min(known) if self.reads_first else max(known)

    def _sweep(self, tau: int, limit: int) -> None:
        """Look at keys whose time has come, at most ``limit``, and drop those that are idle."""
        queue = self.queue
        for _ in range(limit):
            if not queue or queue[0][0] >= tau:
                return
            _, shop, key = queue.popleft()
            if self.newest(self.cells[shop][key]) + self.keep < tau:
                del self.cells[shop][key]
            else:
                queue.append((tau + self.keep, shop, key))

    # State as a whole.

    def entries(self, tau: int) -> Iterator[tuple[str, str, Any]]:
        """Yield (shop, key, canonical cell) of all state that can still matter at ``tau``."""
        for shop, cells in self.cells.items():
            for key, cell in cells.items():
                kept = self.canonical(cell, tau)
                if kept:
                    yield shop, key, kept

    def take(self, shards: frozenset[int], source: Store[Cell]) -> None:
        """Own these shards, with the cells that another store of the same windows has of them."""
        self.shards = shards if self.shards is None else self.shards | shards
        for due, shop, key in source.queue:
            if shard_of(self.entity, key) in shards:
                self.cells.setdefault(shop, {})[key] = source.cells[shop][key]
                self.queue.append((due, shop, key))
        self.queue = deque(sorted(self.queue))

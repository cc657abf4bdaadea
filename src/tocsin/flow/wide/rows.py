"""Rows: a batch as typed columns, made from events here and from scanned lines in ``tocsin.flow.wide.lines``.

A column is (values [n], present bool [n]); a value counts only where it is present. All columns are made at first use
and kept with the batch. ``Rows`` is also a ``core.desk.Batch``, so desks, filters and rules take it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.batch import PlainBatch
from tocsin.flow.distinct import value_of
from tocsin.flow.fields import fixed_point
from tocsin.flow.hashing import Hasher, joined_columns
from tocsin.flow.view import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tocsin.core.events import Event
    from tocsin.flow.names import Names

Values = tuple[np.ndarray, np.ndarray]
"""(values [n], present bool [n])."""


class Keyed:
    """What rows of events and rows of their items have in common: hashed and fixed-point columns of named fields."""

    n: int

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], Values] = {}

    def keys(self, name: str) -> Values:
        """Return the field as an entity's key, hashed with the shop: uint64 [n]. The twin of ``view.key_of``."""
        return self._once(("keys", name), lambda: self._keys(name))

    def identities(self, name: str) -> Values:
        """Return what tells the field's values apart (``distinct.value_of``), hashed: uint64 [n]."""
        return self._once(("identities", name), lambda: self._identities(name))

    def text_hashes(self, name: str) -> Values:
        """Return the hash of the field where it is a text: uint64 [n]."""
        return self._once(("texts", name), lambda: self._text_hashes(name))

    def fixed(self, name: str, scale: int) -> Values:
        """Return the field in fixed point of ``scale`` decimals: int64 [n]. The twin of ``fields.fixed_point``."""
        return self._once(("fixed", name, scale), lambda: self._fixed(name, scale))

    def _once(self, name: tuple[object, ...], make: Any) -> Values:
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = make()
        return kept

    def _keys(self, name: str) -> Values:
        raise NotImplementedError

    def _identities(self, name: str) -> Values:
        raise NotImplementedError

    def _text_hashes(self, name: str) -> Values:
        raise NotImplementedError

    def _fixed(self, name: str, scale: int) -> Values:
        raise NotImplementedError


class Rows(PlainBatch, Keyed):
    """A batch of events as columns.

    ``seqs``, ``taus``, ``times`` int64 [n]; ``kinds`` int32 [n], codes of ``names.types``; ``shops`` int32 [n], codes
    of ``names.shops``; ``shop_hashes`` uint64 [n].
    """

    __slots__ = ("_items", "_kept", "hasher", "kinds", "names", "seqs", "shop_hashes", "shops", "taus", "times")

    def __init__(self, events: Sequence[Event], names: Names, hasher: Hasher) -> None:
        PlainBatch.__init__(self, events)
        Keyed.__init__(self)
        n = self.n
        self.names, self.hasher = names, hasher
        self._items: ItemRows | None = None
        self.taus = np.fromiter((event.tau for event in events), np.int64, n)
        self.times = np.fromiter((event.time for event in events), np.int64, n)
        self.seqs = np.fromiter((event.seq for event in events), np.int64, n)
        self.kinds = np.fromiter((names.type(event.type) for event in events), np.int32, n)
        self.shops = np.fromiter((names.shop(event.shop) for event in events), np.int32, n)
        self.shop_hashes = np.fromiter((hasher.text(event.shop) for event in events), np.uint64, n)

    def of_type(self, *types: str) -> np.ndarray:
        """Return the bool mask [n] of the rows of these event types."""
        mask = np.zeros(self.n, bool)
        for name in types:
            mask |= self.kinds == self.names.declare_type(name)
        return mask

    def pick(self, rows: np.ndarray) -> Rows:
        """Return the batch of these rows (positions, ascending); itself where they are all."""
        if len(rows) == self.n:
            return self
        return Rows([self.events[row] for row in rows.tolist()], self.names, self.hasher)

    def currencies(self, default: str) -> np.ndarray:
        """Return the hash of the currency of every row's amounts, ``default`` where it names none: uint64 [n]."""
        return self._once(("currencies", default), lambda: (self._currencies(default), np.ones(self.n, bool)))[0]

    @property
    def items(self) -> ItemRows:
        """The items of all rows, one after the other."""
        if self._items is None:
            self._items = ItemRows(self)
        return self._items

    def _currencies(self, default: str) -> np.ndarray:
        text = self.hasher.text
        return np.fromiter(
            (text(str(event.data.get("currency") or default)) for event in self.events), np.uint64, self.n
        )

    def _keys(self, name: str) -> Values:
        hashes, present = self.hasher.texts([key_of(event.data.get(name)) for event in self.events])
        return joined_columns(hashes, self.shop_hashes), present

    def _identities(self, name: str) -> Values:
        return self.hasher.texts([value_of(event.data.get(name)) for event in self.events])

    def _text_hashes(self, name: str) -> Values:
        return self.hasher.texts(self.texts(name))

    def _fixed(self, name: str, scale: int) -> Values:
        return fixed_column([fixed_point(event.data.get(name), scale) for event in self.events])


class ItemRows(Keyed):
    """The order items of a batch: ``row`` int32 [m] names the event that each belongs to, ascending."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows
        found: list[tuple[int, dict[str, Any]]] = []
        for row, event in enumerate(rows.events):
            items = event.data.get("items")
            if isinstance(items, list):
                found.extend((row, item) for item in items if isinstance(item, dict))
        self.docs = [item for _, item in found]
        self.n = len(found)
        self.row = np.fromiter((row for row, _ in found), np.int32, self.n)

    def _keys(self, name: str) -> Values:
        hashes, present = self._rows.hasher.texts([key_of(item.get(name)) for item in self.docs])
        return joined_columns(hashes, self._rows.shop_hashes[self.row]), present

    def _identities(self, name: str) -> Values:
        return self._rows.hasher.texts([value_of(item.get(name)) for item in self.docs])

    def _text_hashes(self, name: str) -> Values:
        texts = [value if isinstance(value := item.get(name), str) else None for item in self.docs]
        return self._rows.hasher.texts(texts)

    def _fixed(self, name: str, scale: int) -> Values:
        return fixed_column([fixed_point(item.get(name), scale) for item in self.docs])


def fixed_column(values: Sequence[int | None]) -> Values:
    """Return fixed-point values, None where missing, as a column."""
    present = np.fromiter((value is not None for value in values), bool, len(values))
    return np.fromiter((value or 0 for value in values), np.int64, len(values)), present

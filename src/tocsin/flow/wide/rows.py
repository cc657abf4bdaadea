"""Rows: a batch as typed columns, made from events here and from scanned lines in ``tocsin.flow.wide.lines``.

A column is (values [n], present bool [n]); a value counts only where it is present. All columns are made at first use
and kept with the batch. ``Rows`` is also a ``core.desk.Batch``, so desks, filters and rules take it as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tocsin.flow.batch import FEW, PlainBatch
from tocsin.flow.cel_values import fit
from tocsin.flow.cel_views import typed_column
from tocsin.flow.distinct import value_of
from tocsin.flow.fields import fixed_point
from tocsin.flow.hashing import Hasher, joined_columns
from tocsin.flow.names import OTHER
from tocsin.flow.view import key_of
from tocsin.flow.wide.sip import join

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from tocsin.core.events import Event
    from tocsin.flow.names import Names

T = TypeVar("T")
Values = tuple[np.ndarray, np.ndarray]
"""(values [n], present bool [n])."""
Typed = tuple[np.ndarray, np.ndarray | None]
"""(values [n], codes int8 [n] or None)."""


class Keyed(ABC):
    """What rows of events and rows of their items have in common: hashed and fixed-point columns of named fields."""

    n: int

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], Any] = {}

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

    def typed(self, root: str, name: str, type_: str) -> Typed:
        """Return a field as expressions read it: (values [n], codes int8 [n], or None where every row has a value).

        ``root`` is ``data`` (a field of the event's data), ``event`` (``type time tau seq shop subject source id``) or,
        for rows of items, ``item``. ``type_`` is ``int`` (values int64), ``double`` (float64), ``bool`` (bool) or
        ``string`` (uint64: the hash of the text under the rows' ``hasher``, as in ``text_hashes``). A row's code is 1
        and its value of no meaning where ``cel_values.fit(value, type_)`` is None: the field is missing, null or of
        another JSON type (``int`` takes no 1.0 and no boolean; ``double`` takes integers, never NaN), else 0.
        """
        return self._once(("typed", root, name, type_), lambda: self._typed(root, name, type_))

    @abstractmethod
    def strings(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        """Return the texts of a field in these rows (positions; None: all), "" where ``typed`` says missing."""

    def _once(self, name: tuple[object, ...], make: Callable[[], T]) -> T:
        kept: T | None = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = make()
        return kept

    @abstractmethod
    def _keys(self, name: str) -> Values:
        """Make the column of ``keys``."""

    @abstractmethod
    def _identities(self, name: str) -> Values:
        """Make the column of ``identities``."""

    @abstractmethod
    def _text_hashes(self, name: str) -> Values:
        """Make the column of ``text_hashes``."""

    @abstractmethod
    def _fixed(self, name: str, scale: int) -> Values:
        """Make the column of ``fixed``."""

    @abstractmethod
    def _typed(self, root: str, name: str, type_: str) -> Typed:
        """Make the column of ``typed``."""


class Rows(PlainBatch, Keyed):
    """A batch of events as columns.

    ``seqs``, ``taus``, ``times`` int64 [n]; ``kinds`` int32 [n], codes of ``names.types``; ``shops`` int32 [n], codes
    of ``names.shops``; ``shop_hashes`` uint64 [n].
    """

    __slots__ = ("_items", "_kept", "hasher", "kinds", "names", "seqs", "shop_hashes", "shops", "taus", "times")

    def __init__(self, events: Sequence[Event], names: Names, hasher: Hasher) -> None:
        PlainBatch.__init__(self, events)
        Keyed.__init__(self)
        self.names, self.hasher = names, hasher
        self._items: ItemRows | None = None
        self.taus = np.array([event.tau for event in events], np.int64)
        self.times = np.array([event.time for event in events], np.int64)
        self.seqs = np.array([event.seq for event in events], np.int64)
        self.kinds = np.array([names.type(event.type) for event in events], np.int32)
        self.shops = np.array([names.shop(event.shop) for event in events], np.int32)
        self.shop_hashes = np.array([hasher.text(event.shop) for event in events], np.uint64)

    @property
    def codes(self) -> list[int]:
        """The codes of the types that there are, each once."""
        return self._once(("codes",), lambda: codes_in(self.kinds))

    def of_type(self, *types: str) -> np.ndarray:
        """Return the bool mask [n] of the rows of these event types."""
        mask: np.ndarray = self.names.among(types)[self.kinds]
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

    def strings(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        """Return the texts of a field in these rows, "" where there is none."""
        events = self.events if rows is None else [self.events[row] for row in rows.tolist()]
        if root == "event":
            return [str(getattr(event, name)) for event in events]
        return [value if (value := event.data.get(name)).__class__ is str else "" for event in events]

    def _typed(self, root: str, name: str, type_: str) -> Typed:
        if root == "event":
            return self._stamped(name), None
        raw = [event.data.get(name) for event in self.events]
        return typed_values(raw, type_, self.hasher)

    def _stamped(self, name: str) -> np.ndarray:
        if name == "type":
            codes = np.fromiter(map(self.hasher.text, self.names.types), np.uint64, len(self.names.types))[self.kinds]
            for row in np.flatnonzero(self.kinds == OTHER).tolist():
                codes[row] = self.hasher.text(self.events[row].type)
            return codes
        if name == "shop":
            return self.shop_hashes
        known = {"time": self.times, "tau": self.taus, "seq": self.seqs}.get(name)
        return known if known is not None else self.hasher.texts(self.strings("event", name, None))[0]

    def _currencies(self, default: str) -> np.ndarray:
        text = self.hasher.text
        return np.array([text(str(event.data.get("currency") or default)) for event in self.events], np.uint64)

    def _keys(self, name: str) -> Values:
        hashes, present = self.hasher.texts([key_of(event.data.get(name)) for event in self.events])
        join(hashes, self.shop_hashes)
        return hashes, present

    def _identities(self, name: str) -> Values:
        return self.hasher.texts([value_of(event.data.get(name)) for event in self.events])

    def _text_hashes(self, name: str) -> Values:
        return self.hasher.texts(self.texts(name))

    def _fixed(self, name: str, scale: int) -> Values:
        return fixed_column([fixed_point(event.data.get(name), scale) for event in self.events])


class ItemRows(Keyed):
    """The order items of a batch: ``row`` int32 [m] names the event that each belongs to, ascending."""

    of_items = True

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.hasher = rows.hasher
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

    def strings(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        """Return the texts of a field in these rows, "" where there is none."""
        if root != "item":
            return self._rows.strings(root, name, self.row if rows is None else self.row[rows])
        docs = self.docs if rows is None else [self.docs[row] for row in rows.tolist()]
        return [value if (value := item.get(name)).__class__ is str else "" for item in docs]

    def _typed(self, root: str, name: str, type_: str) -> Typed:
        if root == "item":
            return typed_values([item.get(name) for item in self.docs], type_, self._rows.hasher)
        values, codes = self._rows.typed(root, name, type_)
        return values[self.row], None if codes is None else codes[self.row]


def codes_in(kinds: np.ndarray) -> list[int]:
    """Return the codes that there are, each once, ascending."""
    if len(kinds) <= FEW:
        return sorted(set(kinds.tolist()))
    found: list[int] = np.flatnonzero(np.bincount(kinds)).tolist()
    return found


def typed_values(raw: Sequence[Any], type_: str, hasher: Hasher) -> Typed:
    """Return raw values as the column of their type; texts as hashes."""
    fitting = [fit(value, type_) for value in raw]
    if type_ != "string":
        return typed_column(fitting, type_)
    hashes, present = hasher.texts(fitting)
    return hashes, None if present.all() else (~present).view(np.int8)


def fixed_column(values: Sequence[int | None]) -> Values:
    """Return fixed-point values, None where missing, as a column."""
    present = np.array([value is not None for value in values], bool)
    return np.array([value or 0 for value in values], np.int64), present

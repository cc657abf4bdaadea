"""Named lists over hashed texts: a bitmap of the hashes on the list, and the expiry of what it lets through."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tocsin.flow.cel_texts import Text
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.lists import Lists

LEAST_BITS = 16
ROOM = 16
"""Bits an entry: one text in so many that is not on the list is looked up in vain."""


class HashedList:
    """One list by the hashes of its values; it follows the list by what changed since it was last asked.

    Folds of several threads may ask at once: one after the other.
    """

    __slots__ = ("_bitmap", "_hasher", "_lists", "_lock", "_mask", "_name", "_seen", "_until")

    def __init__(self, name: str) -> None:
        self._name = name
        self._lists: Lists | None = None
        self._hasher: Hasher | None = None
        self._lock = Lock()
        self._seen = 0
        self._until: dict[int, int] = {}
        self._bitmap = np.zeros(0, bool)
        self._mask = np.uint64(0)

    def limits(self, lists: Lists, text: Text) -> np.ndarray:
        """Return the tau before which each text is on the list, int64 [n]; 0 where it is not. Texts have hashes."""
        hashes = text.hashes
        limits = np.zeros(0 if hashes is None else len(hashes), np.int64)
        with self._lock:
            self._follow(lists, text)
            if self._until and hashes is not None:
                rows = np.flatnonzero(self._bitmap[hashes & self._mask])
                get = self._until.get
                limits[rows] = [get(key, 0) for key in hashes[rows].tolist()]
        return limits

    def _follow(self, lists: Lists, text: Text) -> None:
        changed: Iterable[str] | None = None
        if lists is self._lists and text.hasher is self._hasher:
            changed = lists.changed(self._name, self._seen)
        else:
            self._lists, self._hasher = lists, text.hasher
        self._seen = lists.version(self._name)
        if changed is None:
            self._until = {}
            changed = lists.values.get(self._name, {})
        if self._hasher is None or not changed:
            return
        for value in changed:
            key, limit = self._hasher.text(value), lists.until(self._name, value)
            if limit:
                self._until[key] = limit
            else:
                self._until.pop(key, None)
            if len(self._bitmap):
                self._bitmap[key & int(self._mask)] = True
        if len(self._until) * ROOM > len(self._bitmap):
            self._draw()

    def _draw(self) -> None:
        """Make a larger bitmap of what is on the list."""
        bits = max(LEAST_BITS, (len(self._until) * ROOM * 2).bit_length())
        self._bitmap, self._mask = np.zeros(1 << bits, bool), np.uint64((1 << bits) - 1)
        keys = np.fromiter(self._until, np.uint64, len(self._until))
        self._bitmap[keys & self._mask] = True

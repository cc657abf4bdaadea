"""Texts of the CEL subset as columns: compared by keyed 64-bit hash, made into strings only where one is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import CODE, COMPARE, Causes
from tocsin.flow.cel_values import CelFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.flow.hashing import Hasher

MEMORY = 1 << 16
"""How many texts a function remembers its answer of."""
FEW_WORDS = 12
"""From so many words on, a list of them is searched instead of compared one by one."""


class Text:
    """A column of texts: their hashes where the batch has them, and their strings at first use."""

    __slots__ = ("_fetch", "_keys", "_strings", "hasher", "hashes")

    def __init__(
        self,
        hashes: np.ndarray | None,
        hasher: Hasher | None,
        fetch: Callable[[np.ndarray | None], Sequence[str]] | None,
        strings: np.ndarray | None = None,
    ) -> None:
        self.hashes, self.hasher = hashes, hasher
        self._fetch, self._strings = fetch, strings
        self._keys: list[int] | None = None

    def strings(self) -> np.ndarray:
        """Return all texts, object [n]; "" where one is missing."""
        if self._strings is None:
            self._strings = boxed(self._fetch(None) if self._fetch else ())
        return self._strings

    def at(self, rows: np.ndarray) -> Sequence[str]:
        """Return the texts of these rows."""
        if self._strings is None and self._fetch is not None:
            return self._fetch(rows)
        texts: list[str] = self.strings()[rows].tolist()
        return texts

    def take(self, rows: np.ndarray) -> Text:
        """Return the column of these rows."""
        fetch = self._fetch
        if self._strings is not None or fetch is None:
            return Text(None if self.hashes is None else self.hashes[rows], self.hasher, None, self.strings()[rows])
        return Text(
            None if self.hashes is None else self.hashes[rows],
            self.hasher,
            lambda some: fetch(rows if some is None else rows[some]),
        )

    def keys(self) -> list[int]:
        """Return the hashes as integers."""
        if self._keys is None:
            self._keys = [] if self.hashes is None else self.hashes.tolist()
        return self._keys


def boxed(texts: Sequence[str]) -> np.ndarray:
    """Return texts as an object array [n]."""
    column = np.empty(len(texts), object)
    column[:] = texts
    return column


def _plain(value: Text | str) -> np.ndarray:
    if isinstance(value, Text):
        return value.strings()
    one = np.empty((), object)
    one[()] = value
    return one


def texts_compared(op: str, left: Text | str, right: Text | str) -> np.ndarray:
    """Return a comparison of texts; == and != by hash where both sides have one."""
    if op in ("==", "!="):
        one, other = (left, right) if isinstance(left, Text) else (right, left)
        if isinstance(one, Text) and one.hashes is not None and one.hasher is not None:
            if isinstance(other, str):
                return np.asarray(COMPARE[op](one.hashes, np.uint64(one.hasher.text(other))))
            if other.hashes is not None:
                return np.asarray(COMPARE[op](one.hashes, other.hashes))
    return np.asarray(COMPARE[op](_plain(left), _plain(right))).astype(bool)


def texts_among(value: Text, words: Sequence[str]) -> np.ndarray:
    """Return which texts are one of these words, bool [n]."""
    if value.hashes is not None and value.hasher is not None and len(words) > FEW_WORDS:
        known = np.sort(np.fromiter((value.hasher.text(word) for word in words), np.uint64, len(words)))
        places = np.minimum(np.searchsorted(known, value.hashes), len(known) - 1)
        return np.asarray(known[places] == value.hashes)
    found = texts_compared("==", value, words[0])
    for word in words[1:]:
        found |= texts_compared("==", value, word)
    return found


class Remembered:
    """A function of one text, whose answers are remembered by hash: texts come again and again."""

    __slots__ = ("_call", "_kept", "_seed")

    def __init__(self, call: Callable[[str], Any]) -> None:
        self._call = call
        self._kept: dict[int, tuple[Any, int]] = {}
        self._seed = b""

    def forget(self) -> None:
        """Drop all answers."""
        self._kept = {}

    def answers(self, text: Text, rows: np.ndarray) -> tuple[list[Any], list[int]]:
        """Return the values (None where it failed) and codes of these rows."""
        if text.hashes is None or text.hasher is None:
            pairs: list[Any] = [self._answer(one) for one in text.at(rows)]
        else:
            if text.hasher.seed != self._seed or len(self._kept) >= MEMORY:
                self._kept, self._seed = {}, text.hasher.seed
            keys = text.keys() if len(rows) == len(text.hashes) else text.hashes[rows].tolist()
            pairs = list(map(self._kept.get, keys))
            if None in pairs:
                self._learn(text, rows, keys, pairs)
        return [value for value, _ in pairs], [code for _, code in pairs]

    def _learn(self, text: Text, rows: np.ndarray, keys: list[int], pairs: list[Any]) -> None:
        unknown = {key: place for place, (key, pair) in enumerate(zip(keys, pairs, strict=True)) if pair is None}
        places = np.fromiter(unknown.values(), np.int64, len(unknown))
        for key, one in zip(unknown, text.at(rows[places]), strict=True):
            self._kept[key] = self._answer(one)
        for place, pair in enumerate(pairs):
            if pair is None:
                pairs[place] = self._kept[keys[place]]

    def _answer(self, one: str) -> tuple[Any, int]:
        try:
            return self._call(one), 0
        except CelFault as fault:
            return None, CODE[fault.cause]


def merged(n: int, rows: np.ndarray, codes: Sequence[int], causes: Causes | None) -> Causes | None:
    """Return the causes before with the codes of these rows put in."""
    if not any(codes):
        return causes
    found = np.zeros(n, np.int8) if causes is None else causes.codes.copy()
    found[rows] = codes
    return Causes(found)

"""Texts of the CEL subset as columns: compared by keyed 64-bit hash, made into strings only where one is needed."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.flow.cel_columns import CODE, COMPARE
from tocsin.flow.cel_values import CelFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.flow.cel_columns import Causes
    from tocsin.flow.hashing import Hasher

SLOTS = 1 << 15
"""How many texts a function remembers its answer of."""
_MASK, _SECOND = np.uint64(SLOTS - 1), np.uint64(20)
DTYPES: dict[str, Any] = {"int": np.int64, "double": np.float64, "bool": np.bool_, "string": object}
BLANK: dict[str, Any] = {"int": 0, "double": 0.0, "bool": False, "string": ""}
FEW_WORDS = 12
"""From so many words on, a list of them is searched instead of compared one by one."""


class Text:
    """A column of texts: their hashes where the batch has them, and their strings at first use."""

    __slots__ = ("_fetch", "_hashes", "_strings", "hasher")

    def __init__(
        self,
        hashes: np.ndarray | None,
        hasher: Hasher | None,
        fetch: Callable[[np.ndarray | None], Sequence[str]] | None,
        strings: np.ndarray | None = None,
    ) -> None:
        self._hashes, self.hasher = hashes, hasher
        self._fetch, self._strings = fetch, strings

    @property
    def hashes(self) -> np.ndarray | None:
        """Uint64 [n] under ``hasher``; None where the batch has none."""
        return self._hashes

    def found(self, way: str, word: str) -> np.ndarray | None:
        """Return which texts are a word (``==``) by hash, bool [n]; None where that has to be looked up in strings."""
        if way != "==" or self.hashes is None or self.hasher is None:
            return None
        return np.asarray(self.hashes == np.uint64(self.hasher.text(word)))

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


def boxed(texts: Sequence[str]) -> np.ndarray:
    """Return texts as an object array [n]."""
    column = np.empty(len(texts), object)
    column[:] = texts
    return column


def objects(value: Text | str) -> np.ndarray:
    """Return texts as an object array; NumPy's own texts would lose a NUL at the end."""
    if isinstance(value, Text):
        return value.strings()
    one = np.empty((), object)
    one[()] = value
    return one


def texts_compared(op: str, left: Text | str, right: Text | str) -> np.ndarray:
    """Return a comparison of texts; == and != by hash where both sides have one."""
    if op in ("==", "!="):
        one, other = (left, right) if isinstance(left, Text) else (right, left)
        same: np.ndarray | None = None
        if isinstance(one, Text) and isinstance(other, str):
            same = one.found("==", other)
        elif (
            isinstance(one, Text) and isinstance(other, Text) and one.hasher is not None and other.hasher is one.hasher
        ):
            same = np.asarray(one.hashes == other.hashes)
        if same is not None:
            return same if op == "==" else ~same
    return np.asarray(COMPARE[op](objects(left), objects(right))).astype(bool)


def texts_among(value: Text, words: Sequence[str]) -> np.ndarray:
    """Return which texts are one of these words, bool [n]."""
    if len(words) > FEW_WORDS and value.hashes is not None and value.hasher is not None:
        known = np.sort(np.fromiter((value.hasher.text(word) for word in words), np.uint64, len(words)))
        places = np.minimum(np.searchsorted(known, value.hashes), len(known) - 1)
        return np.asarray(known[places] == value.hashes)
    found = texts_compared("==", value, words[0])
    for word in words[1:]:
        found |= texts_compared("==", value, word)
    return found


class Remembered:
    """A function of one text, whose answers are remembered by hash: texts come again and again.

    A table of ``SLOTS`` places with two places a text: found by two gathers, filled row by row; a text that finds both
    taken takes the second. Programs are shared, so folds of several threads may ask at once: one after the other.
    """

    __slots__ = ("_call", "_codes", "_faults", "_keys", "_lock", "_seed", "_values", "blank")

    def __init__(self, call: Callable[[str], Any], type_: str) -> None:
        self._call, self.blank = call, BLANK[type_]
        self._keys = np.empty(0, np.uint64)
        self._values = np.empty(0, DTYPES[type_])
        self._codes = np.empty(0, np.int8)
        self._faults = False
        self._seed = b""
        self._lock = Lock()

    def forget(self) -> None:
        """Drop all answers."""
        self._seed = b""

    def answers(self, text: Text, causes: Causes | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (values [n], codes int8 [n], None where no answer failed); what failed before is not asked."""
        hashes = text.hashes
        if hashes is None or text.hasher is None:
            return self._one_by_one(text, causes)
        with self._lock:
            return self._looked_up(text, hashes, text.hasher, causes)

    def _looked_up(
        self, text: Text, hashes: np.ndarray, hasher: Hasher, causes: Causes | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if hasher.seed != self._seed:
            self._empty(hasher.seed)
        places = hashes & _MASK
        missed = self._keys[places] != hashes
        if causes is not None:
            missed &= ~causes.failed
        open_ = np.flatnonzero(missed)
        if not len(open_):
            return self._values[places], self._codes[places] if self._faults else None
        wanted = hashes[open_]
        second = wanted >> _SECOND & _MASK
        places[open_] = second
        values, codes = self._values[places], self._codes[places]
        unknown = self._keys[second] != wanted
        if np.count_nonzero(unknown):
            rows = open_[unknown]
            values[rows], codes[rows] = self._learned(text, rows, hashes[rows].tolist())
        return values, codes if self._faults else None

    def _learned(self, text: Text, rows: np.ndarray, keys: list[int]) -> tuple[list[Any], list[int]]:
        """Return the answers of rows whose texts are not known, and remember them."""
        unknown = {key: place for place, key in enumerate(keys)}
        texts = text.at(rows[np.fromiter(unknown.values(), np.int64, len(unknown))])
        answers = {key: self._answer(one) for key, one in zip(unknown, texts, strict=True)}
        for key, (value, code) in answers.items():
            place = key & (SLOTS - 1)
            if self._keys[place]:
                place = key >> 20 & (SLOTS - 1)
            self._keys[place], self._values[place], self._codes[place] = key, value, code
            self._faults |= code != 0
        return [answers[key][0] for key in keys], [answers[key][1] for key in keys]

    def _one_by_one(self, text: Text, causes: Causes | None) -> tuple[np.ndarray, np.ndarray | None]:
        strings = text.strings()
        values, codes = np.full(len(strings), self.blank, self._values.dtype), np.zeros(len(strings), np.int8)
        rows = np.arange(len(strings)) if causes is None else np.flatnonzero(~causes.failed)
        for row in rows.tolist():
            values[row], codes[row] = self._answer(strings[row])
        return values, codes if np.count_nonzero(codes) else None

    def _empty(self, seed: bytes) -> None:
        self._seed, self._faults = seed, False
        self._keys = np.zeros(SLOTS, np.uint64)
        self._values = np.full(SLOTS, self.blank, self._values.dtype)
        self._codes = np.zeros(SLOTS, np.int8)

    def _answer(self, one: str) -> tuple[Any, int]:
        try:
            return self._call(one), 0
        except CelFault as fault:
            return self.blank, CODE[fault.cause]

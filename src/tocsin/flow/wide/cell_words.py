"""Texts in cells against words: most differ in length, and are told apart without a look at their bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.cel_texts import Text
from tocsin.flow.wide import lines_columns
from tocsin.flow.wide.jit import kernel
from tocsin.flow.wide.scan_checks import TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.hashing import Hasher

U = np.uint64
EQUAL, STARTS, ENDS = 0, 1, 2
WAYS = {"==": EQUAL, "startsWith": STARTS, "endsWith": ENDS}
FEW_WORDS = 3
"""A column that is compared with more words than this is hashed: then each comparison is one of numbers."""


@kernel
def _match(
    tags: np.ndarray, cells: np.ndarray, text: np.ndarray, word: np.ndarray, size: int, way: int, out: np.ndarray
) -> None:
    """Write to ``out`` (bool [n]) which texts are a word of ``size`` bytes, start or end with it."""
    for row in range(len(tags)):
        out[row] = False
        if tags[row] != TEXT:
            continue
        length = np.int64(cells[row] & U(0xFFFFFFFF))
        if length < size or (way == EQUAL and length != size):
            continue
        start = np.int64(cells[row] >> U(32))
        if way == ENDS:
            start += length - size
        same = True
        for at in range(size):
            if text[start + at] != word[at]:
                same = False
                break
        out[row] = same


@lru_cache(maxsize=4096)
def _bytes_of(word: str) -> tuple[np.ndarray, int]:
    raw = word.encode("utf-8", "surrogatepass")
    return np.frombuffer(raw or b"\0", np.uint8), len(raw)


class CellText(Text):
    """A column of texts that lie in a chunk; hashed and read only where that is asked for.

    Parameters
    ----------
    tags, cells
        Uint8 [n] and uint64 [n]: what a cell holds, and for texts the place and length in ``text``.
    """

    __slots__ = ("_asked", "_cells", "_tags", "_text")

    def __init__(self, tags: np.ndarray, cells: np.ndarray, text: np.ndarray, hasher: Hasher) -> None:
        super().__init__(None, hasher, None)
        self._tags, self._cells, self._text = tags, cells, text
        self._asked = 0

    @property
    def hashes(self) -> np.ndarray:
        """Uint64 [n], of no meaning where there is no text."""
        if self._hashes is None:
            assert self.hasher is not None
            cells = (self._tags, self._cells, self._text)
            self._hashes = lines_columns.hashes(*cells, self.hasher, lines_columns.TEXTS)[0]
        return self._hashes

    def strings(self) -> np.ndarray:
        """Return all texts, object [n]; "" where one is missing."""
        if self._strings is None:
            self._strings = np.array(["", *self.at(np.arange(len(self._tags)))], object)[1:]
        return self._strings

    def at(self, rows: np.ndarray) -> Sequence[str]:
        """Return the texts of these rows."""
        return lines_columns.strings(self._tags[rows] == TEXT, self._cells[rows], self._text)

    def take(self, rows: np.ndarray) -> Text:
        """Return the column of these rows."""
        assert self.hasher is not None
        taken = CellText(self._tags.take(rows), self._cells.take(rows), self._text, self.hasher)
        if self._hashes is not None:
            taken._hashes = self._hashes.take(rows)
        return taken

    def found(self, way: str, word: str) -> np.ndarray | None:
        """Return which texts are (``==``), start or end with a word; None for any other way."""
        if way == "==":
            if self._hashes is not None or self._asked >= FEW_WORDS:
                return super().found(way, word)
            self._asked += 1
        if way not in WAYS:
            return None
        out = np.empty(len(self._tags), bool)
        _match(self._tags, self._cells, self._text, *_bytes_of(word), WAYS[way], out)
        return out


def warm() -> None:
    """Compile the kernels for the types that they are called with."""
    tags, cells, text = np.full(1, TEXT, np.uint8), np.full(1, 1, np.uint64), np.full(8, 97, np.uint8)
    _match(tags, cells, text, *_bytes_of("a"), EQUAL, np.empty(1, bool))

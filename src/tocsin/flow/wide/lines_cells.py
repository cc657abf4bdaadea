"""Columns of cells: what rows of lines and rows of their items have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from tocsin.flow.wide import lines_columns as made
from tocsin.flow.wide.rows import Keyed, Typed, Values
from tocsin.flow.wide.scan_checks import BOOL, INT, TEXT
from tocsin.flow.wide.sip import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from tocsin.flow.hashing import Hasher


class Cells(Keyed):
    """Columns from cells: what rows of lines and rows of their items have in common."""

    hasher: Hasher

    @abstractmethod
    def cells(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (tags uint8 [n], cells uint64 [n]) of a field, None where it has none."""

    @abstractmethod
    def buffer(self) -> np.ndarray:
        """Return where texts lie."""

    @abstractmethod
    def plain(self) -> Keyed:
        """Return the same rows made from events."""

    @abstractmethod
    def owners(self) -> np.ndarray:
        """Return the hash of the shop of each row."""

    def _keys(self, name: str) -> Values:
        found = self.cells(name)
        if found is None:
            return self.plain().keys(name)
        hashes, present = self._hashes(name, *found, made.KEYS)
        hashes = hashes.copy()
        join(hashes, self.owners())
        return hashes, present

    def _identities(self, name: str) -> Values:
        found = self.cells(name)
        if found is None:
            return self.plain().identities(name)
        return self._hashes(name, *found, made.IDENTITIES)

    def _hashes(self, name: str, tags: np.ndarray, cells: np.ndarray, what: int) -> Values:
        """Return hashes of cells: those of the texts, whatever they are for, where there is nothing else."""
        if ((tags >= INT) & (tags <= BOOL)).any():
            return made.hashes(tags, cells, self.buffer(), self.hasher, what)
        return self.text_hashes(name)

    def _text_hashes(self, name: str) -> Values:
        found = self.cells(name)
        if found is None:
            return self.plain().text_hashes(name)
        return made.hashes(*found, self.buffer(), self.hasher, made.TEXTS)

    def _fixed(self, name: str, scale: int) -> Values:
        found = self.cells(name)
        return self.plain().fixed(name, scale) if found is None else made.fixed(*found, scale)

    def _typed_cells(self, root: str, name: str, type_: str) -> Typed:
        found = self.cells(name)
        if found is None or type_ not in made.TYPES:
            return self.plain().typed(root, name, type_)
        if type_ == "string":
            values, present = self.text_hashes(name)
            return values, made.codes_of(present)
        return made.typed(*found, type_)

    def _strings_of(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        found = self.cells(name)
        if found is None:
            return self.plain().strings(root, name, rows)
        tags, cells = found if rows is None else (found[0][rows], found[1][rows])
        return made.strings(tags == TEXT, cells, self.buffer())

"""The columns of a step of windows as one block, and the features of a declaration as rows of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from tocsin.flow.batch import Laid

if TYPE_CHECKING:
    from tocsin.core.desk import Ratio, Window

NO_COLUMN = np.empty(0)


class Columns(Sequence[np.ndarray]):
    """What a step returns, by slot: rows of one ``block`` float64 [., n], and what stands ``apart``."""

    __slots__ = ("_places", "apart", "block")

    def __init__(self, places: list[int], block: np.ndarray) -> None:
        self._places, self.block = places, block
        self.apart: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, slot: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, slot: slice) -> list[np.ndarray]: ...
    def __getitem__(self, slot: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(slot, slice):
            return [self[one] for one in range(*slot.indices(len(self)))]
        place = self._places[slot]
        return self.block[place] if place >= 0 else self.apart.get(slot, NO_COLUMN)


class Named:
    """The features of one declaration as rows of a step's block, ratios made beside them."""

    def __init__(
        self,
        declared: Sequence[Window | Ratio],
        slots: list[tuple[str, int]],
        ratios: Sequence[Ratio],
        places: Sequence[int],
        height: int,
    ) -> None:
        self.slots = slots
        rows = {name: places[slot] for name, slot in slots}
        self._names = tuple(window.name for window in declared)
        self._rows = {name: row for row, name in enumerate(self._names)} if ratios else rows
        self._ratios = np.array([self._rows[one.name] for one in ratios], np.int64)
        self._over = np.array([rows[one.over] for one in ratios], np.int64)
        self._under = np.array([rows[one.under] for one in ratios], np.int64)
        order = list(self._rows.values())
        self._order = (
            None if order == list(range(len(self._names) if ratios else height)) else np.array(order, np.int64)
        )
        self._taken = np.array([rows.get(name, 0) for name in self._names], np.int64)

    def laid(self, block: np.ndarray) -> Laid:
        """Return the features; without ratios they are the rows of the block, else copied from it."""
        if len(self._ratios):
            over, under = block[self._over], block[self._under]
            quotients = np.full(over.shape, np.nan)
            np.divide(over, under, out=quotients, where=under != 0)
            block = block[self._taken]
            block[self._ratios] = quotients
        return Laid(block, self._rows, self._names, self._order)

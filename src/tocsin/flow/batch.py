"""Batches and feature tables: the stream as columns, in the shapes of ``core.desk``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tocsin.core.events import Event


class PlainBatch:
    """A slice of the stream held as events; columns are built on demand and kept (``core.desk.Batch``)."""

    __slots__ = ("_columns", "_texts", "_types", "events", "kept", "n", "passed")

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.n = len(events)
        self._columns: dict[str, Column] = {}
        self._texts: dict[str, list[str | None]] = {}
        self._types: np.ndarray | None = None
        self.kept: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
        """Typed fields that expressions have read (``cel_rows``)."""
        self.passed: dict[tuple[str, tuple[str, ...]], list[bool]] = {}
        """Filters that have been evaluated (``filters``)."""

    def column(self, name: str) -> Column:
        """Return a field of data as float64 (booleans 0/1, missing NaN) with its present mask."""
        column = self._columns.get(name)
        if column is None:
            raw = [event.data.get(name) for event in self.events]
            present = np.fromiter((isinstance(value, (int, float)) for value in raw), bool, self.n)
            values = np.array([float(v) if isinstance(v, (int, float)) else np.nan for v in raw], np.float64)
            column = self._columns[name] = Column(values, present)
        return column

    def texts(self, name: str) -> Sequence[str | None]:
        """Return a field of data as strings, None where it is missing or no string."""
        texts = self._texts.get(name)
        if texts is None:
            raw = [event.data.get(name) for event in self.events]
            texts = self._texts[name] = [value if isinstance(value, str) else None for value in raw]
        return texts

    def of_type(self, *names: str) -> np.ndarray:
        """Return the bool mask [n] of the rows of these event types."""
        if self._types is None:
            self._types = np.array([event.type for event in self.events], dtype=object)
        mask = np.zeros(self.n, bool)
        for name in names:
            mask |= self._types == name
        return mask

    def pick(self, rows: np.ndarray) -> PlainBatch:
        """Return the batch of these rows (positions, ascending); itself where they are all."""
        return self if len(rows) == self.n else PlainBatch([self.events[row] for row in rows.tolist()])


FEW = 64
"""Columns of so few rows are laid together once, and read from there."""


class Laid(Mapping[str, np.ndarray]):
    """Columns that are rows of one block, by name.

    Parameters
    ----------
    block
        float64 [columns, n].
    places
        Name -> row of the block: not to be changed.
    names
        In their order.
    order
        The rows of the block in that order, int64; None where that is all of them as they are.
    """

    __slots__ = ("block", "names", "order", "places")

    def __init__(
        self, block: np.ndarray, places: Mapping[str, int], names: tuple[str, ...], order: np.ndarray | None
    ) -> None:
        self.block, self.places, self.names, self.order = block, places, names, order

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a column, float64 [n]."""
        column: np.ndarray = self.block[self.places[name]]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def few(self) -> np.ndarray:
        """Return the columns as float64 [columns, n] in the order of their names."""
        block: np.ndarray = self.block if self.order is None else self.block[self.order]
        return block


class FeatureTable:
    """The features of one desk, row by row with a batch (``core.desk.Features``).

    Parameters
    ----------
    n
        Rows.
    columns
        Feature name -> float64, NaN where the value is missing.
    rows
        Which places of the columns the rows are (None: all); a column is picked when it is first read.
    """

    __slots__ = ("_block", "_columns", "_dicts", "_read", "_rows", "n")

    def __init__(self, n: int, columns: Mapping[str, np.ndarray], rows: np.ndarray | None = None) -> None:
        self.n = n
        self._columns = columns
        self._rows = rows
        self._block: np.ndarray | None = None
        """The rows as float64 [n, columns], where they are few."""
        self._read: dict[str, Column] = {}
        self._dicts: dict[int, dict[str, float | None]] = {}

    def __getitem__(self, name: str) -> Column:
        """Return the feature of that declared name; KeyError where the desk declares none."""
        column = self._read.get(name)
        if column is None:
            values = self._values(name)
            column = self._read[name] = Column(values, ~np.isnan(values))
        return column

    def _values(self, name: str) -> np.ndarray:
        known = self._read.get(name)
        if known is not None:
            return known.values
        values = self._columns[name]
        return values if self._rows is None else values[self._rows]

    @property
    def places(self) -> np.ndarray | None:
        """Row -> place in the columns of ``raw``, int64 [n]; None where row i is at place i."""
        return self._rows

    def raw(self, name: str) -> np.ndarray | None:
        """Return a feature's column before rows are picked from it, NaN where it is missing; None without the name."""
        return self._columns.get(name)

    def block(self) -> np.ndarray:
        """Return so few rows as ``FEW`` as float64 [columns, n], a column after the other: not to be written to."""
        return self._few().T

    def matrix(self, names: Sequence[str]) -> np.ndarray:
        """Return float64 [n, len(names)] with NaN where a value is missing."""
        if self.n <= FEW and tuple(names) == self.names:
            return self._few().copy()
        return np.column_stack([self._values(name) for name in names]) if names else np.empty((self.n, 0))

    @property
    def names(self) -> Sequence[str]:
        """The declared names in their order."""
        return self._columns.names if isinstance(self._columns, Laid) else tuple(self._columns)

    def pick(self, rows: np.ndarray) -> FeatureTable:
        """Return the table of these rows; itself where they are all."""
        if len(rows) == self.n:
            return self
        return FeatureTable(len(rows), self._columns, rows if self._rows is None else self._rows[rows])

    def beside(self, name: str, values: np.ndarray) -> FeatureTable:
        """Return the table with one more feature: float64 [n], NaN where the value is missing."""
        if self._rows is not None:
            # As long as the other columns: what is picked from them is picked from it.
            whole = np.full(len(next(iter(self._columns.values()))), np.nan)
            whole[self._rows] = values
            values = whole
        return FeatureTable(self.n, {**self._columns, name: values}, self._rows)

    def dicts(self, rows: np.ndarray) -> list[dict[str, float | None]]:
        """Return these rows by name, None where a value is missing: what is journaled with a verdict."""
        if self.n <= FEW:
            known = self._dicts
            if len(rows) > 1 and len(known) < self.n:
                names = tuple(self._columns)
                for row, values in enumerate(self._few().tolist()):
                    if row not in known:
                        known[row] = dict(zip(names, [None if one != one else one for one in values], strict=True))
            return [self.one(row) for row in rows.tolist()]
        columns = []
        for name in self._columns:
            picked = self._values(name)[rows]
            shown = picked.astype(object)
            shown[np.isnan(picked)] = None
            columns.append(shown.tolist())
        if not columns:
            return [{} for _ in range(len(rows))]
        return [dict(zip(self._columns, row, strict=True)) for row in zip(*columns, strict=True)]

    def one(self, row: int) -> dict[str, float | None]:
        """Return one row by name, as ``dicts`` does; not to be written to: the next who asks gets the same object."""
        found = self._dicts.get(row)
        if found is None:
            if self.n > FEW:
                return self.pick(np.array([row])).one(0)
            values: list[float] = self._few()[row].tolist()
            shown = [value if value == value else None for value in values]
            found = self._dicts[row] = dict(zip(self._columns, shown, strict=True))
        return found

    def _few(self) -> np.ndarray:
        if self._block is None and isinstance(self._columns, Laid):
            block = self._columns.few()
            self._block = (block if self._rows is None else block[:, self._rows]).T
        if self._block is None:
            columns: Iterable[np.ndarray] = self._columns.values()
            if self._rows is not None:
                columns = [column[self._rows] for column in columns]
            self._block = np.array(list(columns)).T if self._columns else np.empty((self.n, 0))
        return self._block

"""LineRows: scanned lines as a batch of columns, the very columns that ``rows.Rows`` makes of their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from tocsin.core.desk import Column
from tocsin.core.events import Event
from tocsin.flow.batch import PlainBatch
from tocsin.flow.names import ITEM_FIELDS, OTHER
from tocsin.flow.wide import lines_columns as made
from tocsin.flow.wide.lines_cells import Cells
from tocsin.flow.wide.rows import ItemRows, Keyed, Rows, Typed, codes_in
from tocsin.flow.wide.scan_checks import HEADS, MISSING, TEXT
from tocsin.flow.wide.scan_chunk import CAPACITY, Chunk
from tocsin.flow.wide.sip import sip_spans

NO_INDEX = np.zeros(0, np.int64)
__all__ = ["CAPACITY", "Chunk", "LineItems", "LineRows"]


CLEARED = "the chunk of these rows was cleared"


class LineEvents(Sequence[Event]):
    """The events of rows; each is decoded when it is asked for, and then kept with the chunk.

    It does not know the rows, which know it: what a cycle leaves behind is freed without the collector.
    """

    def __init__(self, chunk: Chunk, start: int, index: np.ndarray | None, n: int) -> None:
        self._chunk, self._generation = chunk, chunk.generation
        self._start, self._index, self._n = start, index, n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> list[Event]: ...
    def __getitem__(self, at: int | slice) -> Event | list[Event]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(self._n))]
        if not -self._n <= at < self._n:
            raise IndexError(at)
        if self._chunk.generation != self._generation:
            raise RuntimeError(CLEARED)
        row = at % self._n
        return self._chunk.event(self._start + row if self._index is None else int(self._index[row]))


class LineRows(PlainBatch, Cells):
    """Rows of a chunk as a batch, with the columns and methods of ``rows.Rows``; good until the chunk is cleared.

    Parameters
    ----------
    chunk, start, stop
        The rows [start, stop); all by default.
    index
        Rows of the chunk instead, ascending.
    """

    def __init__(
        self, chunk: Chunk, start: int = 0, stop: int | None = None, *, index: np.ndarray | None = None
    ) -> None:
        self.chunk, self.names, self.hasher = chunk, chunk.names, chunk.hasher
        self._slice = slice(start, chunk.n if stop is None else stop)
        self._index, self._generation = index, chunk.generation
        self.n = self._slice.stop - start if index is None else len(index)
        PlainBatch.__init__(self, LineEvents(chunk, start, index, self.n))
        Keyed.__init__(self)
        self._items: LineItems | None = None
        self._plain: Rows | None = None

    # Places ---------------------------------------------------------------------------------------------------------

    def live(self) -> Chunk:
        """Return the chunk; RuntimeError once it was cleared."""
        if self.chunk.generation != self._generation:
            raise RuntimeError(CLEARED)
        return self.chunk

    def of(self, column: np.ndarray) -> np.ndarray:
        """Return these rows of a column of the chunk."""
        self.live()
        picked: np.ndarray = column[self._slice] if self._index is None else column[self._index]
        return picked

    @property
    def whereabouts(self) -> tuple[np.ndarray, int]:
        """Which rows of the chunk: (int64 [n], 0), or (none, the first) where they are side by side."""
        return (NO_INDEX, self._slice.start) if self._index is None else (self._index, 0)

    def pick(self, rows: np.ndarray) -> LineRows:
        """Return the batch of these rows (positions, ascending); itself where they are all."""
        if len(rows) == self.n:
            return self
        index = rows + self._slice.start if self._index is None else self._index[rows]
        return LineRows(self.live(), index=index)

    def lines(self) -> bytes:
        """Return the lines of these rows, joined by line feeds."""
        return made.gathered(self.live().text, self.of(self.chunk.lines))

    def lines_of(self, keep: np.ndarray) -> bytes:
        """Return the lines of the rows where ``keep`` (bool [n]) says so, joined by line feeds."""
        return made.gathered(self.live().text, self.of(self.chunk.lines)[keep])

    # Columns --------------------------------------------------------------------------------------------------------

    @property
    def taus(self) -> np.ndarray:
        """As stamped."""
        return self.of(self.chunk.taus)

    @property
    def times(self) -> np.ndarray:
        """Times of the events."""
        return self.of(self.chunk.times)

    @property
    def seqs(self) -> np.ndarray:
        """As stamped."""
        return self.of(self.chunk.seqs)

    @property
    def kinds(self) -> np.ndarray:
        """Codes of ``names.types``."""
        return self.of(self.chunk.kinds)

    @property
    def codes(self) -> list[int]:
        """The codes of the types that there are, each once."""
        return self._once(("codes",), lambda: codes_in(self.kinds))

    @property
    def shops(self) -> np.ndarray:
        """Codes of ``names.shops``."""
        return self.of(self.chunk.shops)

    @property
    def shop_hashes(self) -> np.ndarray:
        """Hashes of the shops."""
        return self._once(("shop hashes",), lambda: self.live().shop_hashes[self.shops])

    def of_type(self, *types: str) -> np.ndarray:
        """Return the bool mask [n] of the rows of these event types."""
        mask: np.ndarray = self.names.among(types)[self.kinds]
        return mask

    def column(self, name: str) -> Column:
        """Return a field of data as float64 (booleans 0/1, missing NaN) with its present mask."""
        column = self._columns.get(name)
        if column is None:
            found = self.cells(name)
            column = self.plain().column(name) if found is None else Column(*made.numbers(*found))
            self._columns[name] = column
        return column

    def texts(self, name: str) -> Sequence[str | None]:
        """Return a field of data as strings, None where it is missing or no string."""
        texts = self._texts.get(name)
        if texts is None:
            found = self.cells(name)
            if found is None:
                texts = list(self.plain().texts(name))
            else:
                texts = made.texts(found[0] == TEXT, found[1], self.buffer())
            self._texts[name] = texts
        return texts

    def currencies(self, default: str) -> np.ndarray:
        """Return the hash of the currency of every row's amounts, ``default`` where it names none: uint64 [n]."""
        return self._once(("currencies", default), lambda: self._currencies(default))

    @property
    def items(self) -> LineItems:
        """The items of all rows, one after the other."""
        if self._items is None:
            self._items = LineItems(self)
        return self._items

    def strings(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        """Return the texts of a field in these rows, "" where there is none."""
        if root != "event":
            return self._strings_of(root, name, rows)
        heads = {"id": self.chunk.ids, "source": self.chunk.sources, "subject": self.chunk.subjects}
        if name not in heads:
            return self.plain().strings(root, name, rows)
        spans = self.of(heads[name])
        spans = spans if rows is None else spans[rows]
        return made.strings(np.ones(len(spans), bool), spans, self.buffer())

    def cells(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (tags, cells) of a field of data, None where the vocabulary does not know it."""
        slot = self.names.slot.get(name)
        if slot is None:
            return None
        return self.of(self.chunk.tags[slot]), self.of(self.chunk.frame[HEADS + slot])

    def buffer(self) -> np.ndarray:
        """Return the chunk's text."""
        return self.live().text

    def owners(self) -> np.ndarray:
        """Return the hashes of the shops."""
        return self.shop_hashes

    def plain(self) -> Rows:
        """Return the same rows made from events: for fields that the vocabulary does not know."""
        if self._plain is None:
            self._plain = Rows(list(self.events), self.names, self.hasher)
        return self._plain

    def _coded(self, texts: list[str], codes: np.ndarray) -> np.ndarray:
        hashes: np.ndarray = np.fromiter(map(self.hasher.text, texts), np.uint64, len(texts))[codes]
        return hashes

    def _typed(self, root: str, name: str, type_: str) -> Typed:
        return (self._stamped(name), None) if root == "event" else self._typed_cells(root, name, type_)

    def _stamped(self, name: str) -> np.ndarray:
        if name == "type":
            codes = self._coded(self.names.types, self.kinds)
            for row in np.flatnonzero(self.kinds == OTHER).tolist():
                codes[row] = self.hasher.text(self.events[row].type)
            return codes
        if name == "shop":
            return self.shop_hashes
        known = {"time": self.times, "tau": self.taus, "seq": self.seqs}.get(name)
        if known is not None:
            return known
        spans = {"id": self.chunk.ids, "source": self.chunk.sources, "subject": self.chunk.subjects}[name]
        hashes = np.empty(self.n, np.uint64)
        present = np.ones(self.n, bool)
        sip_spans(self.buffer(), self.of(spans), present, np.uint64(self.hasher.k0), np.uint64(self.hasher.k1), hashes)
        return hashes

    def _currencies(self, default: str) -> np.ndarray:
        tags, cells = self.of(self.chunk.tags[self.names.slot["currency"]]), self.text_hashes("currency")
        spans = self.of(self.chunk.frame[HEADS + self.names.slot["currency"]])
        named = (tags == TEXT) & ((spans & np.uint64(0xFFFFFFFF)) != 0)
        hashes = np.where(named, cells[0], np.uint64(self.hasher.text(default)))
        for row in np.flatnonzero((tags != TEXT) & (tags != MISSING)).tolist():
            hashes[row] = self.hasher.text(str(self.events[row].data.get("currency") or default))
        return hashes


class LineItems(Cells):
    """The order items of a batch of lines: ``row`` int32 [m] names the row that each belongs to, ascending."""

    of_items = True

    def __init__(self, rows: LineRows) -> None:
        super().__init__()
        self._rows, self.hasher = rows, rows.hasher
        chunk = rows.live()
        owner = chunk.item_rows[: chunk.n_items]
        place = np.full(chunk.n + 1, -1, np.int32)
        place[rows.of(np.arange(chunk.n))] = np.arange(rows.n, dtype=np.int32)
        found = place[owner]
        picked = np.flatnonzero(found >= 0)
        # Items of lines that took the plain door come behind those of later lines.
        self._picked = picked[np.argsort(found[picked], kind="stable")]
        self.row = found[self._picked]
        self.n = len(self._picked)
        self._plain: ItemRows | None = None

    @property
    def docs(self) -> list[dict[str, Any]]:
        """The items as they stand in the events."""
        return self.plain().docs

    def cells(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return (tags, cells) of a field of the items, None for one that an order line does not have."""
        if name not in ITEM_FIELDS:
            return None
        slot, chunk = ITEM_FIELDS.index(name), self._rows.live()
        return chunk.item_tags[slot][self._picked], chunk.item_frame[1 + slot][self._picked]

    def buffer(self) -> np.ndarray:
        """Return the chunk's text."""
        return self._rows.buffer()

    def owners(self) -> np.ndarray:
        """Return the hash of the shop of each item's event."""
        owners: np.ndarray = self._rows.shop_hashes[self.row]
        return owners

    def plain(self) -> ItemRows:
        """Return the same items made from events."""
        if self._plain is None:
            self._plain = ItemRows(self._rows.plain())
        return self._plain

    def strings(self, root: str, name: str, rows: np.ndarray | None) -> Sequence[str]:
        """Return the texts of a field in these rows, "" where there is none."""
        if root != "item":
            return self._rows.strings(root, name, self.row if rows is None else self.row[rows])
        return self._strings_of(root, name, rows)

    def _typed(self, root: str, name: str, type_: str) -> Typed:
        if root == "item":
            return self._typed_cells(root, name, type_)
        values, codes = self._rows.typed(root, name, type_)
        return values[self.row], None if codes is None else codes[self.row]

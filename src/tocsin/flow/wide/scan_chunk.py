"""Chunk: an arena that bodies of lines are scanned into, until the host takes it and later clears it for new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.events import Event
from tocsin.flow.names import ITEM_FIELDS
from tocsin.flow.wide.memory import address_of
from tocsin.flow.wide.scan_bytes import PAD
from tocsin.flow.wide.scan_checks import BOOL, FLOAT, HEADS, INT, MISSING, OTHER, TEXT
from tocsin.flow.wide.scan_layout import (
    H_ID,
    H_IDENTITY,
    H_LINE,
    H_SEQ,
    H_SOURCE,
    H_SUBJECT,
    H_TAU,
    H_TIME,
    LONGEST_LINE,
    SHORTEST_ITEM,
    SPARE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.hashing import Hasher
    from tocsin.flow.names import Names

CAPACITY = 8192
C_CELLS, C_TAGS, C_KINDS, C_TAUS, C_ROW_BYTES, C_SHOPS, C_K0, C_K1 = range(8)
"""Addresses of the cells, their tags, the codes of types (those of shops behind them) and taus; the bytes from the
cells of one field to the next (of tags an eighth, of codes a half); the address of the shops' hashes by code, and the
key of hashes."""
_INT64 = 1 << 63
_decode = msgspec.json.Decoder(Event).decode


class Chunk:
    """Rows of accepted events as cells.

    ``tags`` uint8 [fields, capacity] says what the cell holds (MISSING, INT, FLOAT, BOOL, TEXT, OTHER), ``cells``
    uint64 [fields, capacity]: an int64, the bits of a float64, 0 or 1, or where the text lies in ``text`` (start << 32
    | length). Per row ``kinds`` and ``shops`` int32 (codes of ``names``), ``times``, ``taus``, ``seqs`` int64 (the last
    two filled by who stamps), ``identity`` uint64 (the hash of source, 0x1f and id), and where ``ids``, ``sources``,
    ``subjects`` and ``lines`` lie. Items are rows of their own: ``item_rows`` names the event of each.
    A line is the event after the door as JSON, without seq and tau; ``Event`` decodes from it.

    Parameters
    ----------
    capacity
        Rows.
    text_bytes
        Room for lines at first; it grows when a line needs more.
    """

    def __init__(
        self,
        names: Names,
        hasher: Hasher,
        *,
        capacity: int = CAPACITY,
        text_bytes: int = 0,
    ) -> None:
        fields = len(names.fields)
        self.names, self.hasher, self.capacity = names, hasher, capacity
        self.frame = np.zeros((HEADS + fields, capacity), np.uint64)
        self.cells: np.ndarray = self.frame[HEADS:]
        self.times: np.ndarray = self.frame[H_TIME].view(np.int64)
        self.taus: np.ndarray = self.frame[H_TAU].view(np.int64)
        self.seqs: np.ndarray = self.frame[H_SEQ].view(np.int64)
        self.identity: np.ndarray = self.frame[H_IDENTITY]
        self.ids: np.ndarray = self.frame[H_ID]
        self.sources: np.ndarray = self.frame[H_SOURCE]
        self.subjects: np.ndarray = self.frame[H_SUBJECT]
        self.lines: np.ndarray = self.frame[H_LINE]
        self.tags = np.zeros((fields, capacity), np.uint8)
        self.codes = np.zeros((2, capacity), np.int32)
        self.kinds: np.ndarray = self.codes[0]
        self.shops: np.ndarray = self.codes[1]
        self.text = np.zeros(max(text_bytes, 512 * capacity, 4 * LONGEST_LINE + SPARE) + PAD, np.uint8)
        item_rows = max(2 * capacity, LONGEST_LINE // SHORTEST_ITEM + 1)
        self.item_frame = np.zeros((1 + len(ITEM_FIELDS), item_rows), np.uint64)
        self.item_tags = np.zeros((len(ITEM_FIELDS), item_rows), np.uint8)
        self._shop_hashes = np.zeros(0, np.uint64)
        self._lying = np.array(
            [address_of(self.cells), address_of(self.tags), address_of(self.kinds), address_of(self.taus),
             8 * capacity, 0, *np.array([hasher.k0, hasher.k1], np.uint64).view(np.int64)], np.int64
        )  # fmt: skip
        self.n = self.used = self.n_items = 0
        self.generation = 0
        """Counts how often the chunk was cleared: what was read from it before is no longer there."""
        self.kept: dict[int, Event] = {}
        """Events that were made or decoded already, by row."""

    def clear(self) -> None:
        """Forget all rows."""
        self.tags[:, : self.n] = MISSING
        self.seqs[: self.n] = 0
        self.taus[: self.n] = 0
        self.n = self.used = self.n_items = 0
        self.kept.clear()
        self.generation += 1

    @property
    def shop_hashes(self) -> np.ndarray:
        """The hashes of all shops by code, uint64."""
        if len(self._shop_hashes) < len(self.names.shops):
            self._hash_shops()
        return self._shop_hashes

    @property
    def lying(self) -> np.ndarray:
        """Where kernels find the cells, int64: see ``C_CELLS``. Good until it is asked for again."""
        if len(self._shop_hashes) < len(self.names.shops):
            self._hash_shops()
        return self._lying

    def _hash_shops(self) -> None:
        known = len(self._shop_hashes)
        more = np.array([self.hasher.text(shop) for shop in self.names.shops[known:]], np.uint64)
        self._shop_hashes = np.concatenate([self._shop_hashes, more])
        self._lying[C_SHOPS] = address_of(self._shop_hashes)

    @property
    def item_rows(self) -> np.ndarray:
        """The event of each item."""
        rows: np.ndarray = self.item_frame[0].view(np.int64)
        return rows

    def event(self, row: int) -> Event:
        """Return the event of a row, as stamped so far."""
        event = self.kept.get(row)
        if event is None:
            event = _decode(self.bytes_at(self.frame[H_LINE, row]))
        seq, tau = int(self.seqs[row]), int(self.taus[row])
        if event.seq != seq or event.tau != tau:
            event = msgspec.structs.replace(event, seq=seq, tau=tau)
        self.kept[row] = event
        return event

    def bytes_at(self, span: Any) -> bytes:
        """Return the bytes of a span."""
        start, length = int(span) >> 32, int(span) & 0xFFFFFFFF
        return self.text[start : start + length].tobytes()

    def append(self, event: Event) -> int:
        """Add an event as a row and return the row; ValueError where the chunk is full."""
        if self.n == self.capacity:
            raise ValueError("the chunk is full")
        self.n += 1
        self.put(self.n - 1, event)
        return self.n - 1

    def put(self, row: int, event: Event) -> None:
        """Fill a row that was set aside, with an event that came through the plain door."""
        line = msgspec.json.encode(event)
        frame, names = self.frame, self.names
        frame[H_LINE, row] = self._text(line)
        frame[H_ID, row] = self._text(event.id.encode())
        frame[H_SOURCE, row] = self._text(event.source.encode())
        frame[H_SUBJECT, row] = self._text(event.subject.encode()) if event.subject else 0
        frame[H_IDENTITY, row] = self.hasher.text(f"{event.source}\x1f{event.id}")
        self.times[row], self.seqs[row], self.taus[row] = event.time, event.seq, event.tau
        self.codes[:, row] = names.type(event.type), names.shop(event.shop)
        for name, value in event.data.items():
            slot = names.slot.get(name)
            if slot is not None:
                self.tags[slot, row], frame[HEADS + slot, row] = self._cell(value)
            elif name == "items" and isinstance(value, list):
                self._put_items(row, value)
        self.kept[row] = event

    def _put_items(self, row: int, items: Sequence[Any]) -> None:
        for item in items:
            if not isinstance(item, dict):
                continue
            at = self.n_items
            if at == self.item_frame.shape[1]:
                self.item_frame = np.pad(self.item_frame, ((0, 0), (0, at)))
                self.item_tags = np.pad(self.item_tags, ((0, 0), (0, at)))
            self.item_frame[0, at] = row
            for slot, name in enumerate(ITEM_FIELDS):
                self.item_tags[slot, at], self.item_frame[1 + slot, at] = self._cell(item.get(name))
            self.n_items += 1

    def _cell(self, value: Any) -> tuple[int, int]:
        if value.__class__ is str:
            return TEXT, self._text(value.encode())
        if value.__class__ is bool:
            return BOOL, int(value)
        if value.__class__ is int and -_INT64 <= value < _INT64:
            return INT, value & (2 * _INT64 - 1)
        if value.__class__ is float:
            return FLOAT, int(np.float64(value).view(np.uint64))
        return (MISSING if value is None else OTHER), 0

    def _text(self, text: bytes) -> int:
        start, end = self.used, self.used + len(text)
        self.reserve(len(text))
        self.text[start:end] = np.frombuffer(text, np.uint8)
        self.used = end
        return start << 32 | len(text)

    def reserve(self, more: int) -> None:
        """Make room for so many bytes of text."""
        if self.used + more + PAD > len(self.text):
            grown = np.zeros(max(2 * len(self.text), self.used + more + PAD), np.uint8)
            grown[: self.used] = self.text[: self.used]
            self.text = grown

    def back_to(self, n: int, used: int, n_items: int) -> None:
        """Give up all rows from ``n`` on, with the text and the items that came with them."""
        self.tags[:, n : self.n] = MISSING
        self.seqs[n : self.n] = 0
        self.taus[n : self.n] = 0
        self.kept = {row: event for row, event in self.kept.items() if row < n}
        self.n, self.used, self.n_items = n, used, n_items

    def drop(self, rows: Sequence[int]) -> None:
        """Take rows out again (positions, ascending); the ones behind move up."""
        first, n = rows[0], self.n
        keep = np.setdiff1d(np.arange(first, n), rows)
        stop = first + len(keep)
        self.frame[:, first:stop] = self.frame[:, keep]
        self.tags[:, first:stop] = self.tags[:, keep]
        self.tags[:, stop:n] = MISSING
        self.codes[:, first:stop] = self.codes[:, keep]
        # Rows that are taken out have no items.
        moved = np.arange(n)
        moved[keep] = np.arange(first, stop)
        items = self.item_frame[0, : self.n_items]
        items[:] = moved[items.astype(np.int64)]
        self.kept = {int(moved[row]): event for row, event in self.kept.items()}
        self.n = stop

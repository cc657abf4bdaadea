"""Lines of the journal back into cells: what a door once admitted is neither checked nor changed, only read.

A line that holds what the kernel does not read (escapes, sealed values, lists, types that Tocsin itself makes) is
decoded as an event and put into its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.events import Event
from tocsin.core.vocabulary import VOCABULARY
from tocsin.flow.wide import scan_values as at_
from tocsin.flow.wide.scan_bytes import (
    PAD,
)
from tocsin.flow.wide.scan_layout import (
    LITERALS,
)
from tocsin.flow.wide.scan_tables import (
    Rules,
    Tables,
)
from tocsin.flow.wide.scan_values import (
    AT,
    END,
    ITEM,
    ITEMS,
    K0,
    K1,
    ROOM,
    ROW,
    ROWS,
    SHOP,
    SHOP_BYTES,
    SLOW,
    USED,
)

if TYPE_CHECKING:
    from tocsin.flow.hashing import Hasher
    from tocsin.flow.names import Names
    from tocsin.flow.wide.scan_chunk import Chunk
from tocsin.flow.wide.scan_journal import read_block

_DEFAULT_SHOP = "default"
_decode = msgspec.json.Decoder(Event).decode


def unchecked() -> Rules:
    """Return rules that check nothing."""
    fields: dict[str, dict[str, Any]] = {name: {} for name in VOCABULARY}
    return Rules(fields=fields, required=dict.fromkeys(fields, ()), masked=frozenset(), personal=(), subjects={})


class Replayer:
    """Reads lines of the journal into chunks; not for two threads at once.

    Parameters
    ----------
    shop
        The shop that most lines belong to; lines of others are decoded one by one.
    """

    def __init__(self, names: Names, hasher: Hasher, shop: str = _DEFAULT_SHOP) -> None:
        self._names, self._hasher = names, hasher
        self._tables = Tables(names, unchecked())
        self._flat = self._tables.names.reshape(-1)
        self._slots = np.arange(len(names.fields) + 1)
        self._shop, raw = shop, shop.encode()
        self._raw, self._bytes = np.frombuffer(raw + bytes(PAD), np.uint8), len(raw)
        self._body = np.zeros(1 << 20, np.uint8)
        self._control = np.zeros(at_.CONTROLS, np.int64)
        self.lines = self.slow = 0

    def read(self, lines: bytes | memoryview | np.ndarray, chunk: Chunk, at: int = 0) -> int:
        """Read lines, joined by line feeds, from ``at`` on into the chunk's free rows.

        Returns where the first line lies that had no room, -1 where all were read. ``msgspec.ValidationError`` or
        ``DecodeError`` for a line that is no event.
        """
        size = len(lines)
        if size + PAD > len(self._body):
            self._body = np.zeros(size + size // 2 + PAD, np.uint8)
        self._body[at:size] = np.frombuffer(lines, np.uint8)[at:]
        self._body[size : size + PAD] = 0
        control, start = self._control, chunk.n
        slow = np.zeros((chunk.capacity - start, 4), np.int64)
        control[:] = 0
        control[AT], control[END], control[ROW], control[ROWS] = at, size, start, chunk.capacity
        control[USED], control[ROOM] = chunk.used, len(chunk.text) - PAD
        control[ITEM], control[ITEMS] = chunk.n_items, chunk.item_frame.shape[1]
        control[SHOP], control[SHOP_BYTES] = self._names.shop(self._shop), self._bytes
        control[K0 : K1 + 1] = np.array([self._hasher.k0, self._hasher.k1], np.uint64).view(np.int64)
        read_block(
            self._body,
            chunk.text,
            chunk.frame,
            chunk.codes,
            chunk.tags,
            self._slots,
            chunk.item_frame,
            chunk.item_tags,
            self._tables.item_slot,
            self._flat,
            LITERALS,
            self._raw,
            slow,
            control,
        )
        chunk.n, chunk.used, chunk.n_items = int(control[ROW]), int(control[USED]), int(control[ITEM])
        self.lines += chunk.n - start
        self.slow += int(control[SLOW])
        for row, first, length, _ in slow[: control[SLOW]].tolist():
            chunk.put(row, _decode(self._body[first : first + length].tobytes()))
        rest = int(control[AT])
        return rest if rest < size else -1

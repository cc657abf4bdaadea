"""Scanner: bytes of NDJSON, structured CloudEvents, straight to the cells of a chunk; what is unusual is set aside.

A line that the kernel takes becomes exactly the event that ``sources.door.Door`` makes of it. Everything else (escapes,
duplicate names, exponents, wrong UTF-8, texts that may need masking, sealed values, whatever is refused) it leaves to
that door, line by line.

References: CloudEvents 1.0.2 structured mode; RFC 8259; Langdale and Lemire, Parsing gigabytes of JSON per second, VLDB
Journal 2019, for strings in vectors.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.events import AHEAD_LIMIT, LATE_LIMIT
from tocsin.flow.wide import scan_values as at_
from tocsin.flow.wide.blake import STATE_WORDS, key_state
from tocsin.flow.wide.scan_body import scan_body, scan_few
from tocsin.flow.wide.scan_bytes import PAD
from tocsin.flow.wide.scan_checks import CAUSES
from tocsin.flow.wide.scan_layout import LITERALS, LONGEST_ATTRIBUTE, LONGEST_LINE
from tocsin.flow.wide.scan_pseudonyms import CACHE_LINE, SCRATCH, fill_known
from tocsin.flow.wide.scan_tables import Check, Rule, Rules, Tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.flow.hashing import Hasher
    from tocsin.flow.names import Names
    from tocsin.flow.wide.scan_chunk import Chunk

__all__ = ["CAUSES", "Check", "Rule", "Rules", "Scanned", "Scanner", "Scope"]

CACHE_LINES = 1 << 16
KNOWN_FIRST = 1 << 16
KNOWN_MOST = 1 << 22
REPORTS = 16_384
FEW_BYTES = 16_384
"""Bodies of so few bytes are scanned without giving up the interpreter's lock."""
NOTHING = bytes(PAD)
NO_SLOW = np.zeros((0, 4), np.int64)
_CONTROL = struct.Struct(f"={at_.CONTROLS}q")
_FOREVER = (1 << 63) - 1


class Scope:
    """One shop: the keys of its pseudonyms, by entity in the order of the rules' ``personal``.

    ``keys`` are 32 bytes each. ``noted`` are the entities whose new keys are to be told.
    """

    def __init__(self, shop: str, number: int, keys: Mapping[str, bytes], noted: frozenset[str]) -> None:
        self.shop, self.number = shop, number
        raw = shop.encode()
        # A shop that JSON would write otherwise is left to the plain door.
        self.plain = len(raw) <= LONGEST_ATTRIBUTE and msgspec.json.encode(shop) == b'"' + raw + b'"'
        self.bytes = len(raw)
        self.raw = np.frombuffer(raw + bytes(PAD), np.uint8)
        self.states = np.empty((len(keys), STATE_WORDS), np.uint64)
        for place, key in enumerate(keys.values()):
            self.states[place] = key_state(key)
        self.noted = sum(1 << place for place, entity in enumerate(keys) if entity in noted)


class Scanned(msgspec.Struct, frozen=True):
    """What one call read: rows [start, stop); ``slow`` int64 [n, 4] are (row, start, length, cause) of those left over.

    ``rest`` is where the first line lies that was not read, -1 where all were; ``full`` says that the chunk lacked room
    for it (else call again). ``reports`` are keys that were not
    seen before: (place of the entity, key).
    """

    start: int
    stop: int
    rest: int
    full: bool
    slow: np.ndarray
    reports: list[tuple[int, str]]


class Scanner:
    """Scans bodies into chunks, one at a time; not for two threads at once.

    Parameters
    ----------
    rules
        What the door does with each field.
    """

    def __init__(self, names: Names, hasher: Hasher, rules: Rules) -> None:
        self.names = names
        self.tables = Tables(names, rules)
        self._flat = self.tables.names.reshape(-1)
        self._hold(1 << 20)
        self._key = np.array([hasher.k0, hasher.k1], np.uint64).view(np.int64).tolist()
        self._cache = np.zeros(CACHE_LINES * CACHE_LINE, np.uint8)
        self._known = np.zeros(KNOWN_FIRST, np.uint64)
        self._known_count = 0
        self._reports = np.zeros((REPORTS, 3), np.int64)
        self._slow = np.zeros((0, 4), np.int64)
        self._control = np.zeros(at_.CONTROLS, np.int64)
        self._settings = self._control.data
        self._scratch = np.zeros(SCRATCH, np.int64)
        self._spare = np.zeros(LONGEST_LINE + PAD, np.uint8)

    def forget(self) -> None:
        """Forget which keys were told of: each is told again."""
        self._cache[:] = 0
        self._known[:] = 0
        self._known_count = 0

    def scan(
        self, body: bytes | memoryview, at: int, chunk: Chunk, scope: Scope, *, now: int, live: bool, longest: int
    ) -> Scanned:
        """Read a body's lines from ``at`` on into the chunk's free rows; those of over ``longest`` bytes are left."""
        size, start = len(body), chunk.n
        if size + PAD > len(self._body):
            self._hold(size + size // 2 + PAD)
        self._text[at:size] = memoryview(body)[at:]
        self._text[size : size + PAD] = NOTHING
        if len(self._slow) < chunk.capacity:
            self._slow = np.zeros((chunk.capacity, 4), np.int64)
        if self._known_count + REPORTS > len(self._known) * 3 // 5:
            self._grow()
        _CONTROL.pack_into(
            self._settings, 0,
            at, size, start, chunk.capacity, chunk.used, len(chunk.text) - PAD, chunk.n_items,
            chunk.item_frame.shape[1], now, max(0, now - LATE_LIMIT) if live else 0,
            now + AHEAD_LIMIT if live else _FOREVER, self.names.shop(scope.shop), 0, 0, self._known_count, *self._key,
            min(longest, LONGEST_LINE) if scope.plain else 0, scope.noted, scope.number, 0, int(live), scope.bytes,
            0, 0, 0,
        )  # fmt: skip
        tables = self.tables
        (scan_few if size - at <= FEW_BYTES else scan_body)(
            self._body,
            chunk.text,
            chunk.frame,
            chunk.codes,
            chunk.tags,
            chunk.item_frame,
            chunk.item_tags,
            tables.item_slot,
            self._flat,
            tables.plan,
            tables.needed,
            tables.limit,
            tables.choices,
            LITERALS,
            scope.raw,
            scope.states,
            self._cache,
            self._known,
            self._reports,
            self._slow,
            self._control,
            self._scratch,
            self._spare,
        )
        done = self._control.tolist()
        chunk.n, chunk.used, chunk.n_items = done[at_.ROW], done[at_.USED], done[at_.ITEM]
        self._known_count = done[at_.KNOWN]
        rest, count, text = done[at_.AT], done[at_.REPORTS], self._text
        reports = [
            (entity, str(text[first : first + length], "utf-8"))
            for entity, first, length in (self._reports[:count].tolist() if count else ())
        ]
        slow = self._slow[: done[at_.SLOW]].copy() if done[at_.SLOW] else NO_SLOW
        return Scanned(start, chunk.n, rest if rest < size else -1, bool(done[at_.FULL]), slow, reports)

    def _hold(self, size: int) -> None:
        """Make room for bodies of so many bytes."""
        self._body = np.zeros(size, np.uint8)
        self._text: Any = self._body.data

    def _grow(self) -> None:
        if len(self._known) == KNOWN_MOST:
            self.forget()
            return
        known = self._known[self._known != 0]
        self._known = np.zeros(4 * len(self._known), np.uint64)
        fill_known(self._known, known)

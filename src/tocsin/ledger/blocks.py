"""What the bulk lane writes: blocks of events as JSON lines, and served verdicts as columns.

Both are payloads of one record (``tocsin.ledger.segments``), little-endian throughout.

=======  ==============================================================================================
block    u64 first seq, i64 first tau, u32 count, u8 width of a tau step (0, 1, 2, 4, 8), u8 flags (1: singly),
         u16 length of the types; the distinct event types, UTF-8, joined by line feeds (none: not known);
         count - 1 tau steps; then the lines, joined by line feeds
columns  u32 length of the head, u32 rows; the head as msgpack; then seq i64, tau i64, score f64,
         decision u8, features f64 (row by row), each ``rows`` long
=======  ==============================================================================================
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.events import Event
from tocsin.core.signal import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BLOCK = struct.Struct("<QqIBBH")
_COLUMNS = struct.Struct("<II")
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}
_LINES = msgspec.json.Decoder(Event).decode_lines
_LINE = msgspec.json.Decoder(Event).decode
_LINE_FEED = 10
_SINGLY = 1
DECISIONS = tuple(Decision)
"""The decision of a row of ``Columns`` is a place in this tuple."""

Buffer = bytes | bytearray | memoryview
"""What lines lie in; of an array of uint8 its ``data``."""


class Malformed(ValueError):
    """A payload whose checksum holds but which says something impossible."""


class _Kind(msgspec.Struct):
    type: str


_KINDS = msgspec.json.Decoder(_Kind).decode_lines


class Block(msgspec.Struct, frozen=True):
    """Events with consecutive seqs as JSON lines: what the door accepted, without seq and tau, which are columns.

    Each line reads back as an ``Event``. ``taus`` int64 [n] ascend. ``lines`` holds n lines joined by line feeds (one
    may stand at the end) and no other line feed. ``types`` names the distinct event types where the writer knows
    them: it spares the history a look into blocks that hold nothing to keep. ``singly``: what callers asked about, and
    the verdicts on it; a replay reads these one by one, not as rows of the wide lane.
    """

    first_seq: int
    taus: np.ndarray
    lines: Buffer
    types: tuple[str, ...] = ()
    singly: bool = False

    @property
    def count(self) -> int:
        """How many events."""
        return len(self.taus)

    @property
    def last_seq(self) -> int:
        """The seq of the last event."""
        return self.first_seq + len(self.taus) - 1

    def events(self) -> list[Event]:
        """Return the events, stamped; Malformed where the lines are not as many events as there are taus."""
        try:
            events = _LINES(self.lines)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Malformed(f"a line of a block is no event: {error}") from error
        if len(events) != self.count:
            raise Malformed(f"a block of {self.count} events holds {len(events)} lines")
        stamp = msgspec.structs.force_setattr
        for seq, (event, tau) in enumerate(zip(events, self.taus.tolist(), strict=True), self.first_seq):
            stamp(event, "seq", seq)
            stamp(event, "tau", tau)
        return events

    def chosen(self, wanted: Callable[[str], bool]) -> list[Event]:
        """Return the events whose type is ``wanted``, without decoding the others; errors as of ``events``."""
        if self.types and all(map(wanted, self.types)):
            return self.events()
        if self.types and not any(map(wanted, self.types)):
            return []
        try:
            kinds = _KINDS(self.lines)
            rows = [row for row, one in enumerate(kinds) if wanted(one.type)]
            if len(kinds) != self.count:
                raise Malformed(f"a block of {self.count} events holds {len(kinds)} lines")
            lines = bytes(self.lines).split(b"\n") if rows else []
            events = [_LINE(lines[row]) for row in rows]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Malformed(f"a line of a block is no event: {error}") from error
        stamp = msgspec.structs.force_setattr
        for row, event in zip(rows, events, strict=True):
            stamp(event, "seq", self.first_seq + row)
            stamp(event, "tau", int(self.taus[row]))
        return events

    def after(self, seq: int) -> Block:
        """Return the block without its events up to ``seq``; itself where that is all of it."""
        cut = seq - self.first_seq + 1
        if cut <= 0:
            return self
        view = np.frombuffer(self.lines, np.uint8)
        ends = np.flatnonzero(view == _LINE_FEED)
        start = int(ends[cut - 1]) + 1 if cut < self.count else len(view)
        return Block(self.first_seq + cut, self.taus[cut:], memoryview(self.lines)[start:], self.types, self.singly)


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts of one desk that nobody waited for, with the features that they were made from, one row an event.

    ``until`` is the last seq that was judged for them: events up to there without a row had no verdict. ``seq``,
    ``tau`` int64 [n] (seq ascending); ``score`` float64 [n], NaN for none; ``decision`` uint8 [n], places in
    ``DECISIONS``; ``features`` float64 [n, k], NaN for missing, with the names in ``names``.
    """

    seq: np.ndarray
    tau: np.ndarray
    score: np.ndarray
    decision: np.ndarray
    features: np.ndarray
    names: tuple[str, ...]
    desk: str
    model: str = ""
    until: int = 0
    kind: str = "verdicts"

    def after(self, seq: int) -> Columns:
        """Return the rows above ``seq``."""
        cut = int(np.searchsorted(self.seq, seq, "right"))
        if not cut:
            return self
        return msgspec.structs.replace(
            self,
            seq=self.seq[cut:],
            tau=self.tau[cut:],
            score=self.score[cut:],
            decision=self.decision[cut:],
            features=self.features[cut:],
        )


class _Head(msgspec.Struct, array_like=True):
    kind: str
    desk: str
    model: str
    names: tuple[str, ...]
    until: int


def block_head(block: Block, tau_before: int) -> bytes:
    """Return what stands before the lines; ValueError where the taus run back or there is no event."""
    taus = block.taus
    if not len(taus):
        raise ValueError("a block holds at least one event")
    steps = np.diff(taus)
    least, most = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    first = int(taus[0])
    if least < 0 or first < tau_before:
        raise ValueError(f"stamped with a tau that runs back, after ({block.first_seq - 1}, {tau_before})")
    width = 0 if not most else 1 if most < 1 << 8 else 2 if most < 1 << 16 else 4 if most < 1 << 32 else 8
    types = "\n".join(block.types).encode()
    if len(types) > 0xFFFF:
        types = b""
    head = _BLOCK.pack(block.first_seq, first, len(taus), width, _SINGLY * block.singly, len(types)) + types
    return head + steps.astype(_WIDTHS[width]).tobytes() if width else head


def block_of(payload: memoryview) -> Block:
    """Return the block of a payload; its lines are a view of it. Malformed where that is impossible."""
    first_seq, start, count, width, flags, types, at = _block_start(payload)
    taus = np.full(count, start, np.int64)
    if width:
        taus[1:] += np.cumsum(np.frombuffer(payload, _WIDTHS[width], count - 1, at).astype(np.int64))
        at += width * (count - 1)
    return Block(first_seq, taus, payload[at:], types, flags == _SINGLY)


def block_span(payload: memoryview) -> tuple[int, int]:
    """Return (first seq, count) of a block's payload, without a look at the rest."""
    first_seq, _, count, *_ = _block_start(payload)
    return first_seq, count


def _block_start(payload: memoryview) -> tuple[int, int, int, int, int, tuple[str, ...], int]:
    if len(payload) < _BLOCK.size:
        raise Malformed("a block is shorter than its head")
    first_seq, start, count, width, flags, size = _BLOCK.unpack_from(payload)
    at = _BLOCK.size + size
    if flags > _SINGLY or not count or (width and width not in _WIDTHS) or at + width * (count - 1) > len(payload):
        raise Malformed("the head of a block says something impossible")
    text = str(payload[_BLOCK.size : at], "utf-8")
    return first_seq, start, count, width, flags, tuple(text.split("\n")) if text else (), at


def columns_buffers(columns: Columns) -> list[memoryview | bytes]:
    """Return a columns record as it is written; ValueError where the columns are not equally long."""
    n, k = len(columns.seq), len(columns.names)
    parts: list[tuple[np.ndarray, str, tuple[int, ...]]] = [
        (columns.seq, "<i8", (n,)),
        (columns.tau, "<i8", (n,)),
        (columns.score, "<f8", (n,)),
        (columns.decision, "<u1", (n,)),
        (columns.features, "<f8", (n, k)),
    ]
    for values, _, shape in parts:
        if values.shape != shape:
            raise ValueError(f"a column of shape {values.shape} where {shape} should be")
    if n > 1 and int(np.diff(columns.seq).min()) <= 0:
        raise ValueError("the seqs of columns ascend")
    head = msgspec.msgpack.encode(_Head(columns.kind, columns.desk, columns.model, columns.names, columns.until))
    arrays = [np.ascontiguousarray(values, kind).reshape(-1).view(np.uint8).data for values, kind, _ in parts]
    return [_COLUMNS.pack(len(head), n) + head, *arrays]


def columns_of(payload: memoryview) -> Columns:
    """Return the columns of a payload; Malformed where that is impossible."""
    if len(payload) < _COLUMNS.size:
        raise Malformed("columns are shorter than their head")
    size, n = _COLUMNS.unpack_from(payload)
    try:
        head = msgspec.msgpack.decode(payload[_COLUMNS.size : _COLUMNS.size + size], type=_Head)
    except msgspec.MsgspecError as error:
        raise Malformed(f"the head of columns cannot be read: {error}") from error
    k = len(head.names)
    at = _COLUMNS.size + size
    if len(payload) != at + n * (25 + 8 * k):
        raise Malformed(f"{n} rows of {k} features do not fill the record")
    return Columns(
        seq=_array(payload, "<i8", n, at),
        tau=_array(payload, "<i8", n, at + 8 * n),
        score=_array(payload, "<f8", n, at + 16 * n),
        decision=_array(payload, "<u1", n, at + 24 * n),
        features=_array(payload, "<f8", n * k, at + 25 * n).reshape(n, k),
        names=head.names,
        desk=head.desk,
        model=head.model,
        until=head.until,
        kind=head.kind,
    )


def _array(payload: memoryview, kind: str, n: int, at: int) -> np.ndarray[Any, Any]:
    # Copied: behind an odd number of decisions the features would lie unaligned, and the record's chunk would live on.
    return np.frombuffer(payload, kind, n, at).copy()


def block_from(events: Sequence[Event], *, singly: bool = False) -> Block:
    """Return stamped events with consecutive seqs as a block."""
    encode, bare = msgspec.json.encode, msgspec.structs.replace
    return Block(
        events[0].seq,
        np.array([event.tau for event in events], np.int64),
        b"\n".join(encode(bare(event, seq=0, tau=0)) for event in events),
        tuple(sorted({event.type for event in events})),
        singly,
    )

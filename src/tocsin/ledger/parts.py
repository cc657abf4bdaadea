"""What is appended to a journal, from its parts to the buffers of one write."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.core.events import Event
from tocsin.ledger import segments
from tocsin.ledger.blocks import Block, Columns, block_head, columns_buffers

Part = Block | Columns | Sequence[Event]
"""Events one by one, a block of them as lines, or verdicts as columns."""

_ENCODER = msgspec.msgpack.Encoder()


class Place(msgspec.Struct, frozen=True):
    """Where a journal stands: the last seq and tau, and the last seq that columns say was judged."""

    seq: int = 0
    tau: int = 0
    judged: int = 0


class Prepared(msgspec.Struct, frozen=True):
    """One part ready to be framed: records of single events, or the buffers of one record of another kind."""

    kind: int
    buffers: Sequence[bytes | memoryview]


def prepare(parts: Sequence[Part], place: Place) -> tuple[list[Prepared], Place]:
    """Return the parts as they will be written and where the journal stands behind them.

    ValueError where a stamp does not follow the one before, or where columns speak of events that are not there.
    """
    prepared: list[Prepared] = []
    seq, tau, judged = place.seq, place.tau, place.judged
    for part in parts:
        if isinstance(part, Block):
            if part.first_seq != seq + 1:
                raise ValueError(f"a block stamped {part.first_seq} after {seq}")
            head = block_head(part, tau)
            prepared.append(Prepared(segments.BLOCK, (head, memoryview(part.lines).cast("B"))))
            seq, tau = part.last_seq, int(part.taus[-1])
        elif isinstance(part, Columns):
            if part.until > seq or (len(part.seq) and int(part.seq[-1]) > part.until):
                raise ValueError(f"verdicts stamped up to {part.until} where {seq} is the last event")
            prepared.append(Prepared(segments.COLUMNS, columns_buffers(part)))
            judged = max(judged, part.until)
        elif part:
            for event in part:
                if event.seq != seq + 1 or event.tau < tau:
                    raise ValueError(f"stamped ({event.seq}, {event.tau}) after ({seq}, {tau})")
                seq, tau = event.seq, event.tau
            prepared.append(Prepared(segments.EVENT, list(map(_ENCODER.encode, part))))
    for one in prepared:
        segments.check_length(one.buffers, single=one.kind != segments.EVENT)
    return prepared, Place(seq, tau, judged)


def framed(prepared: Sequence[Prepared], salt: int) -> list[bytes | memoryview]:
    """Return what a segment with that salt is to hold, in order."""
    buffers: list[bytes | memoryview] = []
    for one in prepared:
        if one.kind == segments.EVENT:
            buffers.append(segments.framed(one.buffers, salt))
        else:
            buffers += [segments.frame_of(one.kind, one.buffers, salt), *one.buffers]
    return buffers

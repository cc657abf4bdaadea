"""Changing stored events in place, for forgetting alone."""

from __future__ import annotations

from operator import ne
from typing import TYPE_CHECKING

import msgspec

from tocsin.ledger import segments
from tocsin.ledger.blocks import Block, Columns, block_from
from tocsin.ledger.opening import events_in, items_of
from tocsin.ledger.parts import Part, Place, framed, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.core.events import Event
    from tocsin.ledger.shelf import Segment


def rewritten(segment: Segment, end: int | None, change: Callable[[Event], Event], holding: bytes) -> tuple[bytes, int]:
    """Return a segment's whole new content, and how many events ``change`` changed (0: content is empty).

    Stamps stay. A block whose lines hold neither ``holding`` nor an escape, behind which it could hide, is kept as it
    is; events that are not in blocks are all offered.
    """
    head = segments.header(segment.first)
    salt, changed, parts = segments.salt_of(head), 0, list[bytes | memoryview]([head])
    place = Place(segment.first - 1)
    for item in items_of(segment.path, segment.first, end):
        part: Part = item
        if not isinstance(item, Columns) and not (isinstance(item, Block) and _spared(item, holding)):
            events = events_in(segment.path, item) if isinstance(item, Block) else item
            others = [msgspec.structs.replace(change(event), seq=event.seq, tau=event.tau) for event in events]
            differ = sum(map(ne, events, others))
            changed += differ
            if differ:
                part = block_from(others, singly=item.singly) if isinstance(item, Block) else others
        prepared, place = prepare([part], place)
        parts += framed(prepared, salt)
    if not changed:
        return b"", 0
    body = b"".join(parts)
    return body + segments.mark(len(body), salt), changed


def _spared(block: Block, holding: bytes) -> bool:
    lines = bytes(block.lines)
    return bool(holding) and holding not in lines and b"\\u" not in lines

"""Events as rows of a chunk, for tests that take either kind of rows."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.core.events import Event
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.lines import Chunk, LineRows
from tocsin.flow.wide.rows import Rows


def rows_of(events: Sequence[Event], names: Names, hasher: Hasher, *, lines: bool) -> Rows:
    """Return the events as rows, or the same as lines of a chunk that nothing has decoded yet."""
    if not lines:
        return Rows(events, names, hasher)
    chunk = Chunk(names, hasher, capacity=max(16, len(events)))
    for one in events:
        chunk.append(one)
    chunk.kept.clear()
    return LineRows(chunk)  # type: ignore[return-value]

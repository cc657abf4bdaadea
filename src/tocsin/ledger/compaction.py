"""What one segment of the journal becomes in the history: frames by table and day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tocsin.core.events import DAY
from tocsin.ledger.blocks import Block, Columns
from tocsin.ledger.opening import events_in, items_of
from tocsin.ledger.tables import frame_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from tocsin.core.events import Event
    from tocsin.ledger.shelf import Closed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS = 16_384
"""So many events become columns together: as objects they take ten times the room."""


def frames_of(
    segment: Closed, wanted: Callable[[str], bool], pause: Callable[[], object]
) -> tuple[dict[tuple[str, str], list[pl.DataFrame]], list[Columns]]:
    """Return a segment's wanted events by table and day, and its columns with rows."""
    frames: dict[tuple[str, str], list[pl.DataFrame]] = {}
    groups: dict[tuple[str, str], list[Event]] = {}
    columns: list[Columns] = []
    waiting = 0
    for item in items_of(segment.path, segment.first, None):
        pause()
        if isinstance(item, Columns):
            if len(item.seq):
                columns.append(item)
            continue
        if isinstance(item, Block):
            events: Sequence[Event] = events_in(segment.path, item, wanted)
        else:
            events = [event for event in item if wanted(event.type)]
        _group(events, groups)
        waiting += len(events)
        if waiting >= ROWS:
            _flush(groups, frames)
            waiting = 0
    _flush(groups, frames)
    return frames, _joined(columns)


def _group(events: Sequence[Event], groups: dict[tuple[str, str], list[Event]]) -> None:
    """Put events to those of their table and day."""
    day, start = "", 1 << 62
    for event in events:
        if not start <= event.tau < start + DAY:
            day, start = day_of(event.tau), event.tau - event.tau % DAY
        groups.setdefault((table_of(event.type), day), []).append(event)


def _flush(groups: dict[tuple[str, str], list[Event]], frames: dict[tuple[str, str], list[pl.DataFrame]]) -> None:
    for key, events in groups.items():
        frames.setdefault(key, []).append(frame_of(key[0], events))
    groups.clear()


def _joined(columns: list[Columns]) -> list[Columns]:
    """Return the columns with those of one desk, model and set of features put together."""
    groups: dict[tuple[str, str, tuple[str, ...], int], list[Columns]] = {}
    for one in columns:
        groups.setdefault((one.desk, one.model, one.names, int(one.tau[0]) // DAY), []).append(one)
    return [_concatenated(group) for group in groups.values()]


def _concatenated(group: list[Columns]) -> Columns:
    return msgspec.structs.replace(
        group[-1],
        seq=np.concatenate([one.seq for one in group]),
        tau=np.concatenate([one.tau for one in group]),
        score=np.concatenate([one.score for one in group]),
        decision=np.concatenate([one.decision for one in group]),
        features=np.concatenate([one.features for one in group]),
    )


def day_of(tau: int, less: int = 0) -> str:
    """Return the day (UTC) of a moment, or of one so many days before it."""
    return f"{_EPOCH + timedelta(microseconds=tau) - timedelta(days=less):%Y-%m-%d}"

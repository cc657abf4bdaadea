"""What one segment of the journal becomes in the history: frames by table and day, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from tocsin.core.events import DAY
from tocsin.ledger.blocks import Block, Columns
from tocsin.ledger.files import day_of
from tocsin.ledger.opening import events_in, items_of
from tocsin.ledger.tables import FEATURES, frame_of, frame_of_columns, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.events import Event
    from tocsin.ledger.files import File, Files
    from tocsin.ledger.shelf import Closed

ROWS = 16_384
"""So many events, or rows of features, become columns together: as objects they take ten times the room."""
MOST_BYTES = 128_000_000
"""As frames no more than about this waits to be written; what is larger becomes several files a table and day."""


def compacted(
    segment: Closed,
    wanted: Callable[[str], bool],
    files: Files,
    pause: Callable[[], object] = lambda: None,
    *,
    most_bytes: int = MOST_BYTES,
) -> list[File]:
    """Write a segment's events whose type is ``wanted``, and all its columns; return the files, durable.

    ``pause`` is called before every record and may wait. OSError where the disk refuses, Misconfigured where the
    segment is damaged; then files may be left behind. Beside ``most_bytes`` of frames the memory holds ``ROWS`` events
    and one file.
    """
    frames = _Frames(f"{segment.first:020d}-{segment.last:020d}", files, most_bytes)
    for item in items_of(segment.path, segment.first, None):
        pause()
        if isinstance(item, Columns):
            frames.take_columns(item)
        elif isinstance(item, Block):
            frames.take(events_in(segment.path, item, wanted))
        else:
            frames.take([event for event in item if wanted(event.type)])
    return frames.written()


class _Frames:
    """What a segment becomes, table by table, until it is written."""

    def __init__(self, stem: str, files: Files, most_bytes: int) -> None:
        self._stem = stem
        self._files = files
        self._most = most_bytes
        self._events: dict[tuple[str, str], list[Event]] = {}
        self._columns: list[Columns] = []
        self._rows = [0, 0]
        self._frames: dict[tuple[str, str, tuple[str, ...]], list[pl.DataFrame]] = {}
        """By table, day and, of features, what else must be equal for rows to be of one file."""
        self._bytes = 0
        self._numbers: dict[tuple[str, str], int] = {}
        self._done: list[File] = []

    def take(self, events: Sequence[Event]) -> None:
        day, start = "", 1 << 62
        for event in events:
            if not start <= event.tau < start + DAY:
                day, start = day_of(event.tau), event.tau - event.tau % DAY
            self._events.setdefault((table_of(event.type), day), []).append(event)
        self._rows[0] += len(events)
        if self._rows[0] >= ROWS:
            self._frame_events()

    def take_columns(self, columns: Columns) -> None:
        if not len(columns.seq):
            return
        self._columns.append(columns)
        self._rows[1] += len(columns.seq)
        if self._rows[1] >= ROWS:
            self._frame_columns()

    def written(self) -> list[File]:
        """Write what still waits; return all files in their order."""
        self._frame_events()
        self._frame_columns()
        self._write()
        return self._done

    def _frame_events(self) -> None:
        for (table, day), events in self._events.items():
            self._add((table, day, ()), frame_of(table, events))
        self._events.clear()
        self._rows[0] = 0
        self._write_much()

    def _frame_columns(self) -> None:
        for one in _joined(self._columns):
            key = (FEATURES + one.desk, day_of(int(one.tau[0])), (one.model, *one.names))
            self._add(key, frame_of_columns(one))
        self._columns.clear()
        self._rows[1] = 0
        self._write_much()

    def _add(self, key: tuple[str, str, tuple[str, ...]], frame: pl.DataFrame) -> None:
        self._frames.setdefault(key, []).append(frame)
        self._bytes += int(frame.estimated_size())

    def _write_much(self) -> None:
        # All tables at once, not the largest alone: so the files of one stay in the order of seq.
        if self._bytes >= self._most:
            self._write()

    def _write(self) -> None:
        for table, day, more in list(self._frames):
            number = self._numbers.get((table, day), 0)
            self._numbers[table, day] = number + 1
            name = f"{self._stem}-{number:06d}" if number else self._stem
            parts = self._frames.pop((table, day, more))
            self._done.append(self._files.add(pl.concat(parts), table, day, name))
        self._bytes = 0


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

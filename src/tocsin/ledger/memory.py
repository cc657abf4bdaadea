"""The first backend: journal and records in memory, under the same contract as those on disk."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tocsin.core.ports import Page
from tocsin.errors import Conflict
from tocsin.ledger.blocks import Block, Columns
from tocsin.ledger.opening import RUN
from tocsin.ledger.parts import Part, Place, prepare
from tocsin.ledger.shapes import Question, Shape, conditions_of, cursor, question, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tocsin.core.events import Event

T = TypeVar("T")


class MemoryJournal:
    """Implements ``ports.Journal``; nothing outlives the process."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._columns: list[Columns] = []
        self._pending: list[Event] = []
        self._pending_columns: list[Columns] = []
        self._at = self._next = Place()

    def append(self, events: Sequence[Event]) -> None:
        """Take stamped events; ValueError on a wrong stamp."""
        self.extend([events])

    def append_record(self, part: Part) -> None:
        """Write a block of events, or verdicts on events that were appended before; errors as of ``append``."""
        self.extend([part])

    def extend(self, parts: Sequence[Part]) -> None:
        """Take all parts in their order, or none of them; errors as of ``append``."""
        _, self._next = prepare(parts, self._next)
        for part in parts:
            if isinstance(part, Columns):
                self._pending_columns.append(part)
            else:
                self._pending.extend(part.events() if isinstance(part, Block) else part)

    def commit(self) -> None:
        """Let readers see what was appended."""
        self._events.extend(self._pending)
        self._columns.extend(self._pending_columns)
        self._pending.clear()
        self._pending_columns.clear()
        self._at = self._next

    def recover(self) -> None:
        """Nothing to recover from: memory does not refuse."""

    def read(self, after_seq: int = 0) -> Iterator[Event]:
        """Yield the committed events with seq > after_seq in order."""
        yield from self._events[max(0, after_seq) :]

    def read_blocks(self, after_seq: int = 0) -> Iterator[Block | list[Event]]:
        """Yield the same events in lists."""
        events = self._events[max(0, after_seq) :]
        for start in range(0, len(events), RUN):
            yield events[start : start + RUN]

    def read_columns(self, after_seq: int = 0) -> Iterator[Columns]:
        """Yield the committed columns that were judged beyond ``after_seq``, without their rows up to there."""
        for columns in list(self._columns):
            if columns.until > after_seq:
                yield columns.after(after_seq)

    def judged(self) -> int:
        """Return the last seq up to which committed columns hold the verdicts of the bulk lane; 0 without columns."""
        return self._at.judged

    def last(self) -> tuple[int, int]:
        """Return (seq, tau) of the last committed event, (0, 0) where there is none."""
        return self._at.seq, self._at.tau

    def columns_behind(self, after_seq: int) -> Iterator[Columns]:
        """Yield all columns that were made of a later event, whole."""
        return (columns for columns in list(self._columns) if columns.until > after_seq)

    def first(self) -> int:
        """Return the seq of the first event that is kept: none is ever removed."""
        return 1

    def rewrite(self, change: Callable[[Event], Event], holding: bytes = b"") -> int:
        """Replace stored events by what ``change`` makes of them (seq and tau stay); return how many changed."""
        self.commit()
        changed = 0
        for position, event in enumerate(self._events):
            other = change(event)
            changed += other != event
            self._events[position] = msgspec.structs.replace(other, seq=event.seq, tau=event.tau)
        return changed

    def close(self) -> None:
        """Commit."""
        self.commit()


class MemoryRecords:
    """Implements ``ports.Records``; one lock, so readers wait for a transaction to end."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._tables: dict[type[Any], MemoryTable[Any]] = {}
        self._undo: list[Callable[[], None]] = []
        self._depth = 0

    def table(self, kind: type[T]) -> MemoryTable[T]:
        """Return the table of a record type; Misconfigured where it is not a record."""
        with self._guard:
            if kind not in self._tables:
                self._tables[kind] = MemoryTable(shape_of(kind), self)
            return self._tables[kind]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything put inside is stored together or not at all; the outermost counts."""
        with self._guard:
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    for step in reversed(self._undo):
                        step()
                raise
            finally:
                self._depth -= 1
                if not self._depth:
                    self._undo.clear()

    def checkpoint(self) -> None:
        """Nothing lies anywhere else."""

    def close(self) -> None:
        """Nothing to let go of."""

    def note_undo(self, step: Callable[[], None]) -> None:
        """Remember how to take one change of the running transaction back."""
        self._undo.append(step)


class MemoryTable(Generic[T]):
    """Implements ``ports.Table``: bodies are JSON, so what is read is what was stored, never the caller's object."""

    def __init__(self, shape: Shape, records: MemoryRecords) -> None:
        self._shape = shape
        self._records = records
        self._rows: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._decode = msgspec.json.Decoder(shape.kind).decode

    def get(self, id: str) -> T | None:
        """Return the record of that identity, or None."""
        with self._records.transaction():
            found = self._rows.get(id)
        return None if found is None else self._decode(found[1])

    def put(self, record: T) -> None:
        """Insert or replace; Conflict where the stored version is neither the predecessor's nor the record's own."""
        row = self._shape.row(record)
        id = str(record.id)  # type: ignore[attr-defined]
        body = msgspec.json.encode(record)
        with self._records.transaction():
            before = self._rows.get(id)
            if before and self._shape.versioned and before[0]["version"] not in (row["version"], row["version"] - 1):
                raise conflict(self._shape, id)
            self._set(id, (row, body))

    def put_many(self, records: Iterable[T]) -> None:
        """Put them all, together or not at all."""
        with self._records.transaction():
            for record in records:
                self.put(record)

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        order: str = "-id",
        limit: int = 100,
        after: str = "",
        search: str = "",
    ) -> Page[T]:
        """Return a page of records; see ``ports.Table``."""
        asked = question(self._shape, where, order, after, search, limit)
        with self._records.transaction():
            found = [
                ({"id": id, **row}, body)
                for id, (row, body) in self._rows.items()
                if _passes(asked.conditions, id, row) and asked.search in row.get("search", "")
            ]
        found.sort(key=lambda one: _place(one[0][asked.order], one[0]["id"]), reverse=asked.descending)
        found = [one for one in found if _behind(asked, one[0])]
        page = Page(self._decode(body) for _, body in found[:limit])
        if len(found) > limit:
            last = found[limit - 1][0]
            page.next = cursor(self._shape, order, last[asked.order], last["id"])
        return page

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """Return how many there are."""
        conditions = conditions_of(self._shape, where)
        with self._records.transaction():
            return sum(_passes(conditions, id, row) for id, (row, _) in self._rows.items())

    def drop(self, id: str) -> None:
        """Delete the record; nothing happens where there is none."""
        with self._records.transaction():
            self._set(id, None)

    def _set(self, id: str, value: tuple[dict[str, Any], bytes] | None) -> None:
        before = self._rows.get(id)

        def back() -> None:
            if before is None:
                self._rows.pop(id, None)
            else:
                self._rows[id] = before

        self._records.note_undo(back)
        if value is None:
            self._rows.pop(id, None)
        else:
            self._rows[id] = value


def conflict(shape: Shape, id: str) -> Conflict:
    """Return the error of a record that was changed meanwhile."""
    return Conflict(f"{shape.name}: {id} has changed since it was read")


def _passes(conditions: tuple[tuple[str, str, Any], ...], id: str, row: dict[str, Any]) -> bool:
    for name, operator, value in conditions:
        stored = id if name == "id" else row[name]
        if operator == "in":
            if stored not in value:
                return False
        elif stored is None or not (stored >= value if operator == "gte" else stored < value):
            return False
    return True


def _place(value: Any, id: str) -> tuple[bool, Any, str]:
    """Sort key: a missing value comes before any other, ties by id."""
    return (value is not None, value if value is not None else 0, id)


def _behind(asked: Question, row: dict[str, Any]) -> bool:
    if asked.after is None:
        return True
    here, there = _place(row[asked.order], row["id"]), _place(*asked.after)
    return here < there if asked.descending else here > there

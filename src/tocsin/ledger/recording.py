"""The process that writes the records of verdicts: ``python -m tocsin.ledger.recording PARENT``.

It says when it is ready. The first line that it reads says where the records are and how a row is put (``Store``).
Then come portions of verdicts, each a line about it (``Portion``) and a line for each verdict. The last of a batch has
them all written in one transaction, with the cursor, and is answered with a line: empty, or the error (``Answer``).

It needs nothing but the standard library's SQLite: it starts in a tenth of a second. It ends with its input, and with
the process PARENT whatever ends that.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from operator import attrgetter, itemgetter
from typing import IO, TYPE_CHECKING, Annotated, Any, get_args

import msgspec

from tocsin.core.records import Switch
from tocsin.core.signal import Verdict
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.helper import bound
from tocsin.ledger.refusals import refusal
from tocsin.ledger.shapes import LEAST, LONGEST_KEY, MOST, SHAPES, ColumnKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec.structs import FieldInfo

    from tocsin.ledger.shapes import Shape

NICE = 10
"""It gives way to those who answer callers; a tenth of a core is left to it, which is some thousand rows a second."""


class Put(msgspec.Struct, frozen=True):
    """How rows of one table are put: the statement, and the columns whose values it takes, in order."""

    statement: str
    columns: tuple[str, ...]


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """Where the records are, what a connection is told first, and how verdicts and the cursor are put."""

    path: str
    pragmas: tuple[str, ...]
    verdicts: Put
    cursor: Put


class Portion(msgspec.Struct, frozen=True):
    """A part of a batch: ``size`` bytes of verdicts; with the ``last`` come the cursor, if it moves, and the commit."""

    size: int
    last: bool
    cursor: Switch | None = None


class Answer(msgspec.Struct, frozen=True):
    """Why a batch was not written: ``retry`` or ``stop``, with the text."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: Retryable | Misconfigured) -> Answer:
        """Return the answer that brings an error to the parent."""
        return cls("retry" if isinstance(error, Retryable) else "stop", str(error))

    def error(self) -> Retryable | Misconfigured:
        """Return the error that it brings."""
        return Retryable(self.text) if self.kind == "retry" else Misconfigured(self.text)


class Writer:
    """Writes batches to one SQLite file, each with all its rows or none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: sqlite3.Connection | None = None
        self._id = store.verdicts.columns.index("id")
        self._verdict, self._cursor = itemgetter(*store.verdicts.columns), itemgetter(*store.cursor.columns)
        self._whole = msgspec.json.Decoder(Verdict).decode
        self._usual = msgspec.json.Decoder(_usual_of(Verdict)).decode_lines
        *names, search, body = store.verdicts.columns
        assert (search, body) == ("search", "body")
        self._values, self._texts = attrgetter(*names), attrgetter(*SHAPES[Verdict].search)

    def rows(self, lines: bytes) -> list[tuple[Any, ...]]:
        """Return the rows of verdicts: a line is the body of its row as it is, and only the columns are read off it."""
        bodies = lines.decode().split("\n")[:-1]
        # A NUL comes as an escape, and that there is no escape at all is seen much faster.
        if b"\\" not in lines or b"\\u0000" not in lines:
            with suppress(msgspec.ValidationError):
                found, values, texts = self._usual(lines), self._values, self._texts
                return [
                    (*values(one), "\n".join(texts(one)).casefold(), body)
                    for one, body in zip(found, bodies, strict=True)
                ]
        return [self._row(body) for body in bodies]

    def _row(self, body: str) -> tuple[Any, ...]:
        """Return the row of any verdict, one that has to be cut to its columns included."""
        verdict = self._whole(body)
        row: tuple[Any, ...] = self._verdict({"id": verdict.id, "body": body, **SHAPES[Verdict].row(verdict)})
        return row

    def write(self, rows: list[tuple[Any, ...]], cursor: Switch | None) -> None:
        """Write rows and cursor, durable when it returns; sqlite3.Error where nothing was written."""
        # In the order of the index that is in no order of time: each of its pages is looked at once.
        rows.sort(key=itemgetter(self._id))
        connection = self._connection = self._connection or self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(self._store.verdicts.statement, rows)
            if cursor is not None:
                row = {"id": cursor.id, "body": msgspec.json.encode(cursor).decode(), **SHAPES[Switch].row(cursor)}
                connection.execute(self._store.cursor.statement, self._cursor(row))
            connection.execute("COMMIT")
        except sqlite3.Error:
            # A disk that is full may have ended the transaction already.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._store.path, isolation_level=None)
        try:
            for pragma in self._store.pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def main() -> None:
    """Write batch after batch."""
    together, answers = bound(int(sys.argv[1]))
    os.nice(NICE)
    # A service manager tells every process to end, but the server has yet to write what waits.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    given = sys.stdin.buffer
    with closing(Writer(msgspec.json.decode(given.readline(), type=Store))) as writer:
        rows: list[tuple[Any, ...]] = []
        for portion, lines in _portions(given):
            # Made as they come: a transaction is as short as the database lets it be, for people's changes wait for it.
            rows += writer.rows(lines)
            if portion.last:
                together()
                answers.write(_written(writer, rows, portion.cursor) + b"\n")
                answers.flush()
                rows = []


def _portions(given: IO[bytes]) -> Iterator[tuple[Portion, bytes]]:
    take = msgspec.json.Decoder(Portion).decode
    while (head := given.readline()).endswith(b"\n"):
        portion = take(head)
        lines = given.read(portion.size)
        if len(lines) < portion.size:
            return
        yield portion, lines


def _written(writer: Writer, rows: list[tuple[Any, ...]], cursor: Switch | None) -> bytes:
    """Write a batch; return why it could not be, nothing where it was."""
    try:
        writer.write(rows, cursor)
    except sqlite3.DatabaseError as error:
        refused = refusal(str(error), operational=isinstance(error, sqlite3.OperationalError))
        if refused is None:
            raise
        return msgspec.json.encode(Answer.of(refused))
    return b""


def _usual_of(kind: type[msgspec.Struct]) -> type[Any]:
    """Return a record type with those fields alone that its row reads, each such that the column holds it as it is."""
    shape = SHAPES[kind]
    wanted = {"id", *shape.columns, *shape.search}
    fields = [field for field in msgspec.structs.fields(kind) if field.name in wanted]
    return msgspec.defstruct(
        f"Usual{kind.__name__}",
        [(field.name, _held(shape, field), *_default(field)) for field in fields],
        kw_only=True,
        gc=False,
    )


def _held(shape: Shape, field: FieldInfo) -> Any:
    """Return the type of what ``Shape.row`` leaves as it is: short texts, 64 bits; a word of an enum is its text."""
    if field.type is bool or field.name == "id":
        return field.type
    column = shape.columns.get(field.name, ColumnKind.TEXT)
    held: Any = {
        ColumnKind.TEXT: Annotated[str, msgspec.Meta(max_length=LONGEST_KEY)],
        ColumnKind.INTEGER: Annotated[int, msgspec.Meta(ge=LEAST, le=MOST)],
        ColumnKind.REAL: float,
    }[column]
    return held | None if type(None) in get_args(field.type) else held


def _default(field: FieldInfo) -> tuple[Any, ...]:
    """Return a field's default as the database takes it: a bool is a number there."""
    if field.required:
        return ()
    return (int(field.default) if field.type is bool else field.default,)


if __name__ == "__main__":
    main()

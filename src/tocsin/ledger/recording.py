"""The process that writes the records of verdicts: ``python -m tocsin.ledger.recording PARENT``.

It says when it is ready. The first line that it reads says where the records are and how a row is put (``Store``).
Then come portions of verdicts, each behind its length in four bytes; the last of a batch has them all written in one
transaction, with the cursor, and is answered with a line: empty, or the error (``Answer``).

It needs nothing but the standard library's SQLite: it starts in a tenth of a second. It ends with its input, and with
the process PARENT whatever ends that.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from operator import itemgetter
from typing import IO, TYPE_CHECKING, Any

import msgspec

from tocsin.core.records import Switch
from tocsin.core.signal import Verdict
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.helper import bound
from tocsin.ledger.refusals import refusal
from tocsin.ledger.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH = 4
"""Bytes of a portion's length, the least significant first."""
NICE = 5
"""It gives way to those who answer callers, but not to those who can wait (19)."""


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


class Portion(msgspec.Struct, frozen=True, array_like=True):
    """A part of a batch of verdicts; with the ``last`` one come the cursor, if it moves, and the transaction."""

    verdicts: list[Verdict]
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
        self._verdict, self._cursor = itemgetter(*store.verdicts.columns), itemgetter(*store.cursor.columns)

    def rows(self, portion: Portion) -> list[tuple[Any, ...]]:
        """Return the rows of a portion's verdicts."""
        return [self._verdict(_row(verdict)) for verdict in portion.verdicts]

    def write(self, rows: list[tuple[Any, ...]], cursor: Switch | None) -> None:
        """Write rows and cursor, durable when it returns; sqlite3.Error where nothing was written."""
        connection = self._connection = self._connection or self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(self._store.verdicts.statement, rows)
            if cursor is not None:
                connection.execute(self._store.cursor.statement, self._cursor(_row(cursor)))
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
    given = sys.stdin.buffer
    with closing(Writer(msgspec.json.decode(given.readline(), type=Store))) as writer:
        rows: list[tuple[Any, ...]] = []
        for portion in _portions(given):
            # Made as they come: a transaction is as short as the database lets it be, for people's changes wait for it.
            rows += writer.rows(portion)
            if portion.last:
                together()
                answers.write(_written(writer, rows, portion.cursor) + b"\n")
                answers.flush()
                rows = []


def _portions(given: IO[bytes]) -> Iterator[Portion]:
    take = msgspec.msgpack.Decoder(Portion).decode
    while head := given.read(LENGTH):
        size = int.from_bytes(head, "little")
        body = given.read(size)
        if len(body) < size:
            return
        yield take(body)


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


def _row(record: Verdict | Switch) -> dict[str, Any]:
    body = msgspec.json.encode(record).decode()
    return {"id": record.id, "body": body, **SHAPES[type(record)].row(record)}


if __name__ == "__main__":
    main()

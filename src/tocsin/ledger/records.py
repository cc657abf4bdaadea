"""SqlRecords: the control state in SQL, on SQLite in WAL mode by default, with types that PostgreSQL shares."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    TextClause,
    and_,
    create_engine,
    delete,
    event,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tocsin.core.ports import Page
from tocsin.core.records import Switch
from tocsin.core.signal import Verdict
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.memory import conflict
from tocsin.ledger.recording import Put, Store
from tocsin.ledger.refusals import refusal
from tocsin.ledger.schema import TABLES, unusual
from tocsin.ledger.shapes import Question, Shape, conditions_of, cursor, question, shape_of
from tocsin.ledger.upgrade import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Engine, Executable, Table

T = TypeVar("T")

BUSY_MS = 5000
"""How long a write waits for another process (``tocsin passwd``) before it is Retryable."""
LONG_BUSY_MS = 30_000
"""The same where nobody waits for the write."""


class SqlRecords:
    """Implements ``ports.Records`` behind a database URL such as ``sqlite:///data/records.db``.

    One writer at a time in this process, readers beside it: a read outside a transaction sees the last commit, a read
    inside one sees what it has put. Each commit is on disk when it returns (``synchronous=FULL``). The schema is
    brought up to date at start. Never wait for another thread inside a transaction.

    Raises
    ------
    Retryable
        The database is locked by another process, or the disk is full or failing.
    Misconfigured
        The file is no database, is damaged, or was written by a newer version.
    """

    def __init__(self, url: str, *, busy_ms: int = BUSY_MS) -> None:
        if url in ("sqlite://", "sqlite:///:memory:"):
            raise Misconfigured("records: SQLite needs a file; for a store in memory there is MemoryRecords")
        self.url = url
        self._engine = _engine(url, busy_ms, writes=True)
        self._readers = _engine(url, busy_ms, writes=False)
        self._writer = threading.RLock()
        self._local = threading.local()
        self._tables: dict[type[Any], SqlTable[Any]] = {}
        try:
            with translated(), self._engine.begin() as connection:
                upgrade(connection)
        except BaseException:
            self.close()
            raise

    def table(self, kind: type[T]) -> SqlTable[T]:
        """Return the table of a record type; Misconfigured where it is not a record."""
        found = self._tables.get(kind)
        if found is None:
            found = self._tables[kind] = SqlTable(shape_of(kind), self)
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything put inside is stored together or not at all; the outermost counts."""
        if getattr(self._local, "connection", None) is not None:
            yield
            return
        with self._writer, translated(), self._engine.begin() as connection:
            self._local.connection = connection
            try:
                yield
            finally:
                self._local.connection = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield the connection of the running transaction, or of one made for this step."""
        with self.transaction():
            yield self._local.connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield the running transaction's connection in its own thread, else one of the readers'."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            yield connection
            return
        with translated(), self._readers.connect() as fresh:
            yield fresh

    def checkpoint(self) -> None:
        """Fold SQLite's write-ahead log into the file and empty it, so that no overwritten row is left in it.

        Retryable where another process keeps it from being emptied.
        """
        if self._engine.dialect.name == "sqlite":
            with self._writer, translated(), self._readers.connect() as connection:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
            if busy:
                raise Retryable("records: others use the database; its log was not emptied")

    def store(self) -> Store | None:
        """Return what another process writes verdicts with; None where the records are no SQLite file."""
        path = self._engine.url.database
        verdicts, switches = self.table(Verdict).plain, self.table(Switch).plain
        if not path or verdicts is None or switches is None:
            return None
        return Store(
            path=str(Path(path).absolute()),
            pragmas=(*_pragmas(LONG_BUSY_MS), *_MUCH),
            verdicts=verdicts,
            cursor=switches,
        )

    def close(self) -> None:
        """Let go of the store."""
        self._readers.dispose()
        self._engine.dispose()


class SqlTable(Generic[T]):
    """Implements ``ports.Table``: a JSON body beside the columns that it can be asked by."""

    def __init__(self, shape: Shape, records: SqlRecords) -> None:
        self._shape = shape
        self._records = records
        self._table: Table = TABLES[shape.name]
        self._columns = self._table.c
        self._decode = msgspec.json.Decoder(shape.kind).decode
        self._upsert = _upsert(self._table, shape, records._engine.dialect.name)
        self.plain = _plain(self._upsert, records._engine)
        """How rows are put as the driver takes them; None for other databases than SQLite."""

    def get(self, id: str) -> T | None:
        """Return the record of that identity, or None."""
        with self._records.reading() as connection:
            body = connection.execute(select(self._columns.body).where(self._columns.id == id)).scalar()
        return None if body is None else self._decode(body)

    def put(self, record: T) -> None:
        """Insert or replace; Conflict where the stored version is neither the predecessor's nor the record's own."""
        row = self._row(record)
        with self._records.writing() as connection:
            result = connection.execute(self._upsert, row)
            if self._shape.versioned and result.rowcount == 0:
                raise conflict(self._shape, row["id"])

    def put_many(self, records: Iterable[T]) -> None:
        """Put them all, together or not at all."""
        if self._shape.versioned:
            with self._records.transaction():
                for record in records:
                    self.put(record)
            return
        rows = [self._row(record) for record in records]
        if not rows:
            return
        with self._records.writing() as connection:
            if self.plain is None:
                connection.execute(self._upsert, rows)
            else:
                values = itemgetter(*self.plain.columns)
                for row in rows:
                    row["body"] = _to_json(row["body"])
                connection.exec_driver_sql(self.plain.statement, [values(row) for row in rows])

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
        column, id = self._columns[asked.order], self._columns.id
        statement = select(self._columns.body, column.label("place"), id.label("identity"))
        statement = statement.where(*self._conditions(asked.conditions))
        if asked.search:
            statement = statement.where(self._columns.search.contains(asked.search, autoescape=True))
        optional = asked.order in self._shape.optional
        if asked.after is not None:
            statement = statement.where((_behind if optional else _behind_plain)(asked, column, id))
        # Where nulls lie is said only of columns that have them: an index is in the order of its database's default.
        if asked.descending:
            statement = statement.order_by(column.desc().nulls_last() if optional else column.desc(), id.desc())
        else:
            statement = statement.order_by(column.asc().nulls_first() if optional else column.asc(), id.asc())
        with self._records.reading() as connection:
            rows = connection.execute(statement.limit(limit + 1)).all()
        page: Page[T] = Page(self._decode(row.body) for row in rows[:limit])
        if len(rows) > limit:
            page.next = cursor(self._shape, order, rows[limit - 1].place, rows[limit - 1].identity)
        return page

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """Return how many there are."""
        conditions = self._conditions(conditions_of(self._shape, where))
        with self._records.reading() as connection:
            return int(
                connection.execute(select(func.count()).select_from(self._table).where(*conditions)).scalar_one()
            )

    def drop(self, id: str) -> None:
        """Delete the record; nothing happens where there is none."""
        with self._records.writing() as connection:
            connection.execute(delete(self._table).where(self._columns.id == id))

    def _row(self, record: Any) -> dict[str, Any]:
        return {"id": str(record.id), "body": record, **self._shape.row(record)}

    def _conditions(self, conditions: tuple[tuple[str, str, Any], ...]) -> list[ColumnElement[bool] | TextClause]:
        found: list[ColumnElement[bool] | TextClause] = []
        for name, operator, value in conditions:
            column = self._columns[name]
            if operator == "gte":
                found.append(column >= value)
            elif operator == "lt":
                found.append(column < value)
            elif None in value:
                found.append(or_(column.is_(None), column.in_([one for one in value if one is not None])))
            else:
                found.append(column == value[0] if len(value) == 1 else column.in_(value))
                usual = self._shape.usual.get(name)
                if usual is not None and usual not in value:
                    # It follows from the other one, but a database does not see that in a parameter.
                    found.append(text(unusual(name, usual)))
        return found


def _behind_plain(asked: Question, column: ColumnElement[Any], id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition of lying behind the cursor, for a column without missing values."""
    assert asked.after is not None
    here, there = tuple_(column, id), tuple_(*asked.after)
    return here < there if asked.descending else here > there


def _behind(asked: Question, column: ColumnElement[Any], id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition of lying behind the cursor; a missing value is less than any other."""
    assert asked.after is not None
    value, place = asked.after
    tie = id < place if asked.descending else id > place
    if value is None:
        return (
            and_(column.is_(None), tie) if asked.descending else or_(and_(column.is_(None), tie), column.is_not(None))
        )
    if asked.descending:
        return or_(column < value, and_(column == value, tie), column.is_(None))
    return or_(column > value, and_(column == value, tie))


def _upsert(table: Table, shape: Shape, dialect: str) -> Executable:
    """Return the statement that inserts a row or replaces it, checking the version in the same step."""
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    others = {column.name: insert.excluded[column.name] for column in table.columns if column.name != "id"}
    where = None
    if shape.versioned:
        new = insert.excluded.version
        where = or_(table.c.version == new, table.c.version == new - 1)
    statement: Executable = insert.on_conflict_do_update(index_elements=["id"], set_=others, where=where)
    return statement


def _plain(statement: Executable, engine: Engine) -> Put | None:
    """Return a statement as SQLite's driver takes it, with the order of its values; None for other databases.

    Binding each row by name costs as much as the database itself.
    """
    if engine.dialect.name != "sqlite":
        return None
    compiled: Any = statement.compile(engine)  # type: ignore[attr-defined]
    return Put(str(compiled), tuple(compiled.positiontup))


def _engine(url: str, busy_ms: int, *, writes: bool) -> Engine:
    options: dict[str, Any] = {} if writes else {"isolation_level": "AUTOCOMMIT", "pool_size": 8, "max_overflow": 24}
    engine = create_engine(url, json_serializer=_to_json, json_deserializer=str, **options)
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        if writes:
            # The driver must not begin by itself: its BEGIN is deferred and fails later, when it meets another writer.
            connection.isolation_level = None
        for pragma in _pragmas(busy_ms):
            connection.execute(f"PRAGMA {pragma}")

    if writes:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


_MUCH = ("cache_size=-32768",)
"""For who writes thousands of rows a second: an index in no order of time stays in memory (32 MB)."""
_LOG_PAGES = 32_000
"""So long the log grows (128 MB) before it is folded into the file: a page that changes with each batch is moved once
for many batches. The same for every connection: whoever commits past the shortest bound folds for all."""


def _pragmas(busy_ms: int) -> tuple[str, ...]:
    return (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={busy_ms}",
        "secure_delete=ON",
        f"wal_autocheckpoint={_LOG_PAGES}",
    )


def _to_json(record: Any) -> str:
    return msgspec.json.encode(record).decode()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours: what may pass by itself, and what a person must see to."""
    try:
        yield
    except PoolTimeout as error:
        raise Retryable("records: all connections are busy") from error
    except DatabaseError as error:
        refused = refusal(str(error.orig), operational=isinstance(error, OperationalError))
        if refused is not None:
            raise refused from error
        raise

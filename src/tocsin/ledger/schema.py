"""The tables of the control state for SQLAlchemy, made from the shapes; the migrations lead to exactly these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, Column, Float, Index, MetaData, String, Table, Text, text

from tocsin.ledger.shapes import SHAPES, ColumnKind, Shape

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

_TYPES: dict[ColumnKind, type[TypeEngine[Any]]] = {
    ColumnKind.TEXT: String,
    ColumnKind.INTEGER: BigInteger,
    ColumnKind.REAL: Float,
}

METADATA = MetaData()


def _table(shape: Shape) -> Table:
    columns: list[Column[Any]] = [Column("id", String, primary_key=True)]
    columns += [Column(name, _TYPES[kind], nullable=True) for name, kind in shape.columns.items()]
    if shape.versioned:
        columns.append(Column("version", BigInteger, nullable=False))
    if shape.search:
        columns.append(Column("search", Text, nullable=False))
    columns.append(Column("body", JSON, nullable=False))
    return Table(shape.name, METADATA, *columns, *(_index(shape, names) for names in shape.indexes))


def _index(shape: Shape, names: tuple[str, ...]) -> Index:
    rare = text(unusual(names[0], shape.usual[names[0]])) if names[0] in shape.usual else None
    return Index(f"ix_{shape.name}_{'_'.join(names)}", *names, sqlite_where=rare, postgresql_where=rare)


def unusual(column: str, usual: str) -> str:
    """Return the condition of not having the usual value, in the words by which a database knows its index."""
    return f"{column} <> '{usual}'"


TABLES: dict[str, Table] = {shape.name: _table(shape) for shape in SHAPES.values()}

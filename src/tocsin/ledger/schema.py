"""The tables of the control state for SQLAlchemy, made from the shapes; the migrations lead to exactly these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, Column, Float, Index, MetaData, String, Table, Text

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
    indexes = [Index(f"ix_{shape.name}_{'_'.join(names)}", *names) for names in shape.indexes]
    return Table(shape.name, METADATA, *columns, *indexes)


TABLES: dict[str, Table] = {shape.name: _table(shape) for shape in SHAPES.values()}

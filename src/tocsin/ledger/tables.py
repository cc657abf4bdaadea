"""Events as tables: what one Parquet file of the history holds, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from tocsin.core.events import Event, Kind, Privacy
from tocsin.core.vocabulary import VOCABULARY
from tocsin.ledger.blocks import DECISIONS, Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER = "other"
"""Where events go whose type the vocabulary does not know: outsiders must not make folders."""
FEATURES = "features."
"""What the name of a desk's table of served features begins with."""
_MOMENT = pl.Datetime("us", "UTC")
_TYPES: dict[Kind, Any] = {
    Kind.TEXT: pl.String,
    Kind.KEY: pl.String,
    Kind.IP: pl.String,
    Kind.CURRENCY: pl.String,
    Kind.INTEGER: pl.Int64,
    Kind.MONEY: pl.Int64,
    Kind.NUMBER: pl.Float64,
    Kind.BOOLEAN: pl.Boolean,
    Kind.TIME: _MOMENT,
    Kind.TEXTS: pl.List(pl.String),
}
"""Kinds that become a column of their own; items and objects stay in the JSON text alone."""
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_DATA = msgspec.json.Decoder(dict[str, Any])


def table_of(event_type: str) -> str:
    """Return the table that events of a type go to."""
    return event_type if event_type in VOCABULARY or event_type.startswith("tocsin.") else OTHER


def frame_of(table: str, events: Sequence[Event]) -> pl.DataFrame:
    """Return events of one table, one row each.

    Columns: ``seq``, ``tau``, ``time`` (UTC), ``id``, ``source``, ``shop``, ``type``, ``subject``, ``data`` (JSON
    text), then the vocabulary's fields of that type; a value that is not of its field's kind is null there. Sealed
    values are left out.
    """
    encode = msgspec.json.encode
    columns = [
        pl.Series("seq", [event.seq for event in events], pl.Int64),
        pl.Series("tau", [event.tau for event in events], pl.Int64).cast(_MOMENT),
        pl.Series("time", [event.time for event in events], pl.Int64).cast(_MOMENT),
        pl.Series("id", [event.id for event in events], pl.String),
        pl.Series("source", [event.source for event in events], pl.String),
        pl.Series("shop", [event.shop for event in events], pl.String),
        pl.Series("type", [event.type for event in events], pl.String),
        pl.Series("subject", [event.subject for event in events], pl.String),
        pl.Series("data", [encode(event.data).decode() for event in events], pl.String),
    ]
    known = VOCABULARY.get(table)
    for field in known.fields if known is not None else ():
        if field.kind in _TYPES and field.privacy is not Privacy.SEALED:
            columns.append(_column(field.name, field.kind, [event.data.get(field.name) for event in events]))
    return pl.DataFrame(columns)


def events_of(frame: pl.DataFrame) -> list[Event]:
    """Return the rows of a table as events, without sealed values."""
    plain = frame.with_columns(pl.col("tau", "time").cast(pl.Int64))
    names = ("seq", "tau", "time", "id", "source", "shop", "type", "subject")
    rows = zip(*(plain[name].to_list() for name in (*names, "data")), strict=True)
    return [Event(**dict(zip(names, row[:-1], strict=True)), data=_DATA.decode(row[-1])) for row in rows]


def frame_of_columns(columns: Columns) -> pl.DataFrame:
    """Return served verdicts: ``seq``, ``tau``, ``score``, ``decision``, ``desk``, ``model``, then the features."""
    n = len(columns.seq)
    features = [
        pl.Series(name, np.ascontiguousarray(columns.features[:, at])).fill_nan(None)
        for at, name in enumerate(columns.names)
    ]
    return pl.DataFrame(
        [
            pl.Series("seq", columns.seq),
            pl.Series("tau", columns.tau).cast(_MOMENT),
            pl.Series("score", columns.score).fill_nan(None),
            pl.Series("decision", [DECISIONS[code].value for code in columns.decision.tolist()], pl.String),
            pl.Series("desk", [columns.desk] * n, pl.String),
            pl.Series("model", [columns.model] * n, pl.String),
            *features,
        ]
    )


def columns_of_frame(frame: pl.DataFrame) -> Columns:
    """Return what ``frame_of_columns`` made a table of."""
    names = tuple(frame.columns[6:])
    codes = {decision.value: code for code, decision in enumerate(DECISIONS)}
    seq = frame["seq"].to_numpy()
    features = [frame[name].fill_null(np.nan).to_numpy() for name in names]
    return Columns(
        seq=seq,
        tau=frame["tau"].cast(pl.Int64).to_numpy(),
        score=frame["score"].fill_null(np.nan).to_numpy(),
        decision=np.array([codes[word] for word in frame["decision"].to_list()], np.uint8),
        features=np.stack(features, axis=1) if features else np.empty((len(seq), 0)),
        names=names,
        desk=frame["desk"][0],
        model=frame["model"][0],
        until=int(seq[-1]),
    )


def _column(name: str, kind: Kind, values: list[Any]) -> pl.Series:
    if kind in (Kind.INTEGER, Kind.MONEY, Kind.TIME):
        whole = [value if type(value) is int and _LEAST <= value <= _MOST else None for value in values]
        series = pl.Series(name, whole, pl.Int64)
        return series.cast(_MOMENT) if kind is Kind.TIME else series
    if kind is Kind.NUMBER:
        numbers = [float(value) if type(value) in (int, float) else None for value in values]
        return pl.Series(name, numbers, pl.Float64)
    if kind is Kind.BOOLEAN:
        return pl.Series(name, [value if type(value) is bool else None for value in values], pl.Boolean)
    if kind is Kind.TEXTS:
        texts = [
            value if isinstance(value, list) and all(type(one) is str for one in value) else None for value in values
        ]
        return pl.Series(name, texts, pl.List(pl.String))
    return pl.Series(name, [value if type(value) is str else None for value in values], pl.String)

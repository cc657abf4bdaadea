"""Whole batches at once: Polars and DuckDB, every value joined back to its event."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from benchmarks.rivals.work import MICROS, Events, Timed, Values, Windows


def frame(events: Events, windows: Windows) -> Any:
    """Return the events as a Polars frame, a column per field."""
    pl = import_module("polars")
    names = {window["by"] for window in windows} | {window["field"] for window in windows if window["field"]}
    texts = {window["by"] for window in windows} | {w["field"] for w in windows if w["fold"] == "distinct"}
    columns = {name: [event.get(name) for event in events] for name in sorted(names | {"type", "currency"})}
    table = pl.DataFrame(columns, schema_overrides={name: pl.String for name in texts if name})
    return table.with_columns(pl.Series("t", [event["t"] for event in events], dtype=pl.Int64))


def polars(events: Events, windows: Windows, seconds: float) -> Timed:
    """Polars over the whole batch at once: rolling_*_by inside each key, distinct by rolling groups joined back."""
    table = frame(events, windows)
    began = time.perf_counter()
    found = polars_windows(table, windows)
    took = time.perf_counter() - began
    return _rows([found[window["name"]].to_list() for window in windows]), took


def polars_windows(table: Any, windows: Windows) -> Any:
    """Return the frame of all values, a column per window."""
    pl = import_module("polars")
    table = table.with_columns(at=pl.from_epoch("t", time_unit="us"))
    distinct = [window for window in windows if window["fold"] == "distinct"]
    columns = [_polars_column(pl, window) for window in windows if window not in distinct]
    found = table.with_columns(columns)
    for by, span in sorted({(window["by"], window["span_s"]) for window in distinct}):
        group = [window for window in distinct if (window["by"], window["span_s"]) == (by, span)]
        chosen = [
            pl.col(w["field"])
            .filter(pl.col("type").is_in(w["of"]))
            .drop_nulls()
            .n_unique()
            .alias(w["name"])
            .cast(pl.Float64)
            for w in group
        ]
        known = table.filter(pl.col(by).is_not_null())
        rolled = known.rolling("at", period=f"{span}s", group_by=by, closed="right").agg(*chosen, pl.col("t").last())
        found = found.join(rolled.drop("at"), on=[by, "t"], how="left", maintain_order="left")
    return found


def _polars_column(pl: Any, window: dict[str, Any]) -> Any:
    enters = pl.col("type").is_in(window["of"])
    keys = [window["by"], "currency"] if window["field"] == "amount" else [window["by"]]
    value = pl.when(enters).then(pl.col(window["field"]) if window["field"] else pl.lit(1, pl.Int64))
    span = f"{window['span_s']}s"
    fold = window["fold"]
    if fold == "recency":
        last = pl.when(enters).then(pl.col("t")).shift(1).forward_fill()
        gap = (pl.col("t") - last.over(keys)).cast(pl.Float64) / MICROS
        found = pl.when(gap < window["span_s"]).then(gap)
    elif fold in ("count", "sum"):
        found = value.fill_null(0).cast(pl.Float64).rolling_sum_by("at", span, closed="right").over(keys)
    elif fold == "mean":
        found = value.cast(pl.Float64).rolling_mean_by("at", span, closed="right").over(keys)
    else:
        found = value.cast(pl.Float64).rolling_std_by("at", span, closed="right", ddof=1, min_samples=2).over(keys)
    return pl.when(pl.col(window["by"]).is_not_null()).then(found).alias(window["name"])


def duckdb(events: Events, windows: Windows, seconds: float) -> Timed:
    """DuckDB over the whole batch at once: one SELECT of window functions over a RANGE of microseconds."""
    connection = import_module("duckdb").connect()
    connection.register("events", frame(events, windows).to_arrow())
    connection.execute("CREATE TABLE stream AS SELECT * FROM events")
    began = time.perf_counter()
    found = duckdb_windows(connection, windows)
    took = time.perf_counter() - began
    return _rows([found[window["name"]].tolist() for window in windows]), took


def duckdb_windows(connection: Any, windows: Windows) -> Any:
    """Return the masked arrays of all values by the windows' names."""
    chosen = ", ".join(_sql(window) for window in windows)
    return connection.execute(f"SELECT {chosen} FROM stream ORDER BY t").fetchnumpy()


def _sql(window: dict[str, Any]) -> str:
    types = ", ".join(f"'{name}'" for name in window["of"])
    by = window["by"] + (", currency" if window["field"] == "amount" else "")
    last = "1 PRECEDING" if window["fold"] == "recency" else "CURRENT ROW"
    over = (
        f"FILTER (WHERE type IN ({types})) OVER (PARTITION BY {by} ORDER BY t "
        f"RANGE BETWEEN {window['span_s'] * MICROS - 1} PRECEDING AND {last})"
    )
    field = window["field"]
    value = {
        "count": f"count(*) {over}",
        "sum": f"coalesce(sum({field}) {over}, 0)",
        "mean": f"avg({field}) {over}",
        "std": f"stddev_samp({field}) {over}",
        "distinct": f"count(DISTINCT {field}) {over}",
        "recency": f"(t - max(t) {over}) / {MICROS}",
    }[window["fold"]]
    return f"CAST(CASE WHEN {window['by']} IS NOT NULL THEN {value} END AS DOUBLE) AS {window['name']}"


def _rows(columns: list[list[float | None]]) -> Values:
    return [list(row) for row in zip(*columns, strict=True)]

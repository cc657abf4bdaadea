"""A plain table: columns get their parts, models are compared, rows at risk get reasons and the answer of the rules.

Rows count from 1 in the order of the table; lines are those of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.assessment.findings import actions_of, incident_of, signals_of
from tocsin.assessment.judging import supervised, unsupervised
from tocsin.assessment.roles import plate as plate_of
from tocsin.assessment.windows import MOST_ROWS as MOST_WINDOW_ROWS
from tocsin.assessment.windows import window_features
from tocsin.core.signal import Text
from tocsin.errors import Misconfigured
from tocsin.methods.costs import Costs
from tocsin.methods.tabular import LEAST_POSITIVES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tocsin.assessment.judging import Scored
    from tocsin.assessment.plate import Plate
    from tocsin.methods.encoding import Encoder


class TableResult(msgspec.Struct, kw_only=True):
    """The parts of an ``Assessment`` that come from one plain table."""

    events: dict[str, Any]
    cleaned: dict[str, Any]
    models: list[dict[str, Any]]
    chosen: dict[str, Any]
    signals: list[dict[str, Any]]
    incidents: list[dict[str, Any]]
    actions: list[dict[str, Any]]


def assess_table(
    frame: pl.DataFrame,
    lines: Sequence[int],
    names: Sequence[str],
    *,
    label: str = "",
    time: str = "",
    leave_out: Sequence[str] = (),
    seed: int = 0,
    costs: Costs | None = None,
) -> TableResult:
    """Return the assessment of a table; rows without a label are the ones to score, or all where every row has one.

    Misconfigured where no column is left that a score could be made from.
    """
    name = names[0] if names else "table"
    plate = plate_of(frame, label=label, time=time, leave_out=leave_out)
    windows = window_features(plate)
    if plate.at is not None and plate.keys and not windows:
        text = Text(f"over {MOST_WINDOW_ROWS} rows: no window features", f"超过 {MOST_WINDOW_ROWS} 行：不计算窗口特征")
        plate.notes.append(text)
    features = [*plate.features, *windows]
    if not features:
        gone = "; ".join(f"{out.column}: {out.text.en}" for out in plate.left_out)
        raise Misconfigured(f"{name}: no column is left to make a score from ({gone or 'only the label'}); add columns")
    if frame.width == 1 and features[0].kind != "number":
        raise Misconfigured(
            f"{name} is one column of text, no table; is it a log in another format than common or combined?"
        )
    at = np.arange(plate.n, dtype=np.float64) if plate.at is None else plate.at.astype(np.float64)
    known = np.zeros(plate.n, bool) if plate.y is None else ~np.isnan(plate.y)
    y = known & (np.nan_to_num(plate.y) == 1.0) if plate.y is not None else known
    enough = y.sum() >= LEAST_POSITIVES and (known & ~y).sum() >= LEAST_POSITIVES
    run = supervised if enough else unsupervised
    models, chosen, encoder, scored = run(plate, features, at, known, y, seed, costs or Costs())
    signals = signals_of(plate, scored, lines, names, features)
    return TableResult(
        events=_events(plate, known, y, scored),
        cleaned=_cleaned(plate, encoder, lines),
        models=models,
        chosen=chosen,
        signals=[msgspec.to_builtins(signal) for signal in signals],
        # A rare row is not yet trouble: only a score that learned from labels opens an incident.
        incidents=incident_of(signals, scored, name, plate) if enough else [],
        actions=actions_of(scored, lines, names),
    )


def _events(plate: Plate, known: np.ndarray, y: np.ndarray, scored: Scored) -> dict[str, Any]:
    return {
        "rows": plate.n,
        "labelled": int(known.sum()),
        "positives": int(y.sum()),
        "to_score": len(scored.rows),
        "label": plate.label or None,
        "time": plate.time or None,
        "amount": plate.amount or None,
        "keys": list(plate.keys),
        "first": int(plate.at.min()) if plate.at is not None else None,
        "last": int(plate.at.max()) if plate.at is not None else None,
    }


def _cleaned(plate: Plate, encoder: Encoder, lines: Sequence[int]) -> dict[str, Any]:
    columns = []
    for block in encoder.blocks:
        feature = plate.feature(block.name)
        if feature is None:
            continue
        row: dict[str, Any] = {"column": block.name, "kind": block.kind}
        cleaner = block.cleaner
        if cleaner is not None:
            row |= {
                "missing": int(np.isnan(feature.values).sum()),
                "fill": str(cleaner.fill),
                "outliers": cleaner.outliers,
                "filter": str(cleaner.filter),
                "scale": str(cleaner.scale),
            }
        else:
            row |= {"missing": sum(value is None for value in feature.values), "levels": len(block.levels)}
        if block.name in plate.unreadable:
            count, rows = plate.unreadable[block.name]
            row["unreadable"] = {"cells": count, "lines": [int(lines[at - 1]) for at in rows]}
        columns.append(row)
    return {
        "columns": columns,
        "left_out": [{"column": o.column, "code": o.code, "text": msgspec.to_builtins(o.text)} for o in plate.left_out],
        "notes": [msgspec.to_builtins(note) for note in plate.notes],
    }

"""A plain table: columns get their parts, models are compared, rows at risk get reasons and the answer of the rules.

Rows count from 1 in the order of the table; lines are those of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.assessment.result import MOST_LISTED
from tocsin.assessment.roles import plate as plate_of
from tocsin.assessment.windows import MOST_ROWS as MOST_WINDOW_ROWS
from tocsin.assessment.windows import window_features
from tocsin.core.events import derived_id
from tocsin.core.signal import Decision, Reason, Signal, Text
from tocsin.core.triage import triage
from tocsin.errors import Misconfigured
from tocsin.methods import anomaly, calibration, tabular
from tocsin.methods.costs import ANSWERS, Costs
from tocsin.methods.reasons import strongest
from tocsin.methods.tabular import FIGURES, LEAST_POSITIVES, LINEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tocsin.assessment.roles import Plate
    from tocsin.methods.encoding import Encoder, Feature

DESK = "assess"
KIND = "row-at-risk"
SUMMARY = "rows-at-risk"
KINDS = {SUMMARY: Text("Rows at risk", "存在风险的行"), KIND: Text("Row at risk", "有风险的行")}
UNIT_AMOUNT = 10_000.0
"""Amount of a row in a table without amounts, minor units: answers then follow the probability alone."""


class Scored(msgspec.Struct, kw_only=True):
    """What the chosen score says of the rows that were to be scored; arrays are aligned with ``rows``."""

    rows: Any
    score: Any
    decisions: list[str]
    columns: list[str]
    """Names of the columns that ``parts`` belong to."""
    parts: Any
    """float64 [n, columns]: exact additive parts of the raw score; ``base`` [n] is the rest."""
    base: Any
    raw: Any
    risky: Any
    """bool [n]: whether the score made the answer stricter than an average row of that amount would get."""


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
    at = np.arange(plate.n, dtype=np.float64) if plate.at is None else plate.at.astype(np.float64)
    known = np.zeros(plate.n, bool) if plate.y is None else ~np.isnan(plate.y)
    y = known & (np.nan_to_num(plate.y) == 1.0) if plate.y is not None else known
    enough = y.sum() >= LEAST_POSITIVES and (known & ~y).sum() >= LEAST_POSITIVES
    run = _supervised if enough else _unsupervised
    models, chosen, encoder, scored = run(plate, features, at, known, y, seed, costs or Costs())
    signals = _signals(plate, scored, lines, names, features)
    return TableResult(
        events=_events(plate, known, y, scored),
        cleaned=_cleaned(plate, encoder, lines),
        models=models,
        chosen=chosen,
        signals=[msgspec.to_builtins(signal) for signal in signals],
        incidents=_incident(signals, scored, name, plate),
        actions=_actions(scored, lines, names),
    )


Outcome = tuple[list[dict[str, Any]], dict[str, Any], "Encoder", Scored]


def _supervised(
    plate: Plate,
    features: Sequence[Feature],
    at: np.ndarray,
    known: np.ndarray,
    y: np.ndarray,
    seed: int,
    costs: Costs,
) -> Outcome:
    labelled = np.flatnonzero(known)
    part = [feature.rows(labelled) for feature in features]
    truth, places = y[labelled], at[labelled]
    time = None if plate.at is None else plate.at[labelled]
    comparison = tabular.compare(part, truth, places, time=time, seed=seed)
    kind, ground = comparison.chosen()
    rest = np.flatnonzero(~known)
    held = np.concatenate([fold.rows for fold in comparison.folds])
    held_raw = np.concatenate([fold.raw[kind] for fold in comparison.folds])
    in_order = np.argsort(places[held], kind="stable")
    curve, _ = calibration.choose(held_raw[in_order], truth[held][in_order])
    fitted, _ = tabular.fit_all(part, truth, places, time is not None, seed, (kind,))
    judges = (
        [(rest, fitted[kind])] if len(rest) else [(labelled[fold.rows], fold.models[kind]) for fold in comparison.folds]
    )
    scored, average = _judged(plate, features, at, judges, curve, costs, float(truth.mean()))
    chosen = {
        "model": kind,
        "why": _why(comparison, kind, ground),
        "folds": {"scheme": comparison.scheme, "count": len(comparison.folds)},
        "calibration": curve.kind,
        "supervised": True,
        "scored": "rows without a label" if len(rest) else "all rows, each by a model that had not seen it",
        "notes": [*_fold_notes(plate, comparison.scheme, len(labelled) - len(held)), *_cost_notes(average)],
        "costs": msgspec.to_builtins(costs) | {"amount_column": plate.amount or None},
    }
    return _models(comparison), chosen, fitted[kind].encoder, scored


def _judged(
    plate: Plate,
    features: Sequence[Feature],
    at: np.ndarray,
    judges: Sequence[tuple[np.ndarray, tabular.Model]],
    curve: calibration.Calibration,
    costs: Costs,
    rate: float,
) -> tuple[Scored, np.ndarray]:
    """Return (the scored rows, the answer to an average row of each one's amount); only rows at risk are explained."""
    scored: list[Scored] = []
    averages = []
    for rows, model in judges:
        tested = [feature.rows(rows) for feature in features]
        raw = model.raw(tested, at[rows])
        p = curve(raw)
        amounts = _amounts(plate)[rows]
        answers = costs.cheapest(p, amounts)
        average = costs.cheapest(np.full(len(rows), rate), amounts)
        risky = answers > average
        parts, base = np.zeros((len(rows), len(features))), np.zeros(len(rows))
        if risky.any():
            some = [feature.rows(risky) for feature in tested]
            parts[risky], base[risky] = model.contributions(some, at[rows][risky])
        averages.append(average)
        scored.append(
            Scored(
                rows=rows,
                score=p,
                decisions=[ANSWERS[answer] for answer in answers],
                columns=[feature.name for feature in features],
                parts=parts,
                base=base,
                raw=raw,
                risky=risky,
            )
        )
    return _joined(scored), np.concatenate(averages)


def _joined(scored: Sequence[Scored]) -> Scored:
    """Return the rows of several judges as one, in the order of the table."""
    rows = np.concatenate([one.rows for one in scored])
    order = np.argsort(rows, kind="stable")
    decisions = [decision for one in scored for decision in one.decisions]
    return Scored(
        rows=rows[order],
        score=np.concatenate([one.score for one in scored])[order],
        decisions=[decisions[place] for place in order],
        columns=scored[0].columns,
        parts=np.concatenate([one.parts for one in scored])[order],
        base=np.concatenate([one.base for one in scored])[order],
        raw=np.concatenate([one.raw for one in scored])[order],
        risky=np.concatenate([one.risky for one in scored])[order],
    )


def _unsupervised(
    plate: Plate,
    features: Sequence[Feature],
    at: np.ndarray,
    known: np.ndarray,
    y: np.ndarray,
    seed: int,
    costs: Costs,
) -> Outcome:
    score = anomaly.fit(features, at, seed=seed)
    rows = np.flatnonzero(~known) if (~known).any() and known.any() else np.arange(plate.n)
    parts = score.parts([feature.rows(rows) for feature in features], at[rows])
    raw = parts.sum(axis=1)
    positives, negatives = int(y.sum()), int((known & ~y).sum())
    if plate.label:
        why = Text(
            f"{positives} positive and {negatives} negative labels; a model needs {LEAST_POSITIVES} of each, so rows "
            "are scored by how unusual they are, without labels",
            f"仅有 {positives} 个正标签与 {negatives} 个负标签；建模各需 {LEAST_POSITIVES} 个，"
            "因此按异常程度无监督评分",
        )
    else:
        why = Text(
            "no label column: rows are scored by how unusual they are",
            "没有标签列：按异常程度无监督评分",
        )
    limits = Text(
        "it says what is rare, not what is harmful; the score is a rank, not a probability, so nothing is denied on it",
        "它只说明罕见，不说明有害；分数是排名而非概率，因此不据此拒绝任何行",
    )
    unusual = raw > score.limit
    chosen = {
        "model": "isolation forest + robust z-scores",
        "why": msgspec.to_builtins(why),
        "folds": None,
        "calibration": None,
        "supervised": False,
        "scored": "rows without a label" if known.any() and (~known).any() else "all rows",
        "notes": [msgspec.to_builtins(limits)],
    }
    scored = Scored(
        rows=rows,
        score=score.ranks(raw),
        decisions=["challenge" if flag else "allow" for flag in unusual],
        columns=[*(feature.name for feature in features), anomaly.COMBINATION],
        parts=parts,
        base=np.zeros(len(rows)),
        raw=raw,
        risky=unusual,
    )
    return [], chosen, score.encoder, scored


def _amounts(plate: Plate) -> np.ndarray:
    """Return amounts in minor units [n]; rows without one take the median."""
    feature = plate.feature(plate.amount)
    if feature is None:
        return np.full(plate.n, UNIT_AMOUNT)
    values = np.abs(feature.values) * 100.0
    middle = float(np.nanmedian(values)) if not np.isnan(values).all() else UNIT_AMOUNT
    return np.where(np.isnan(values), middle, values)


def _models(comparison: tabular.Comparison) -> list[dict[str, Any]]:
    rows = []
    for kind, figures in comparison.figures.items():
        row: dict[str, Any] = {"model": kind}
        column = comparison.folds[0].models[kind].column
        if column:
            row["column"] = column
        rows.append(row | {name: {"mean": figures[name][0], "sd": figures[name][1]} for name in FIGURES})
    return rows


def _why(comparison: tabular.Comparison, kind: str, ground: str) -> dict[str, str]:
    ap = comparison.figures[kind]["ap"]
    if ground == "ap":
        text = Text(
            f"the best average precision on held-out rows ({ap[0]:.3f} ± {ap[1]:.3f})",
            f"留出行上的平均精度最高（{ap[0]:.3f} ± {ap[1]:.3f}）",
        )
    else:
        text = Text(
            f"average precision {ap[0]:.3f}, within a standard error of the best, and the best log-likelihood of those",
            f"平均精度 {ap[0]:.3f}，与最优相差不到一个标准误，且其中对数似然最好",
        )
    if kind == LINEAR:
        text = Text(text.en + "; its output is calibrated", text.zh + "；其输出经过校准")
    built: dict[str, str] = msgspec.to_builtins(text)
    return built


def _fold_notes(plate: Plate, scheme: str, never: int) -> list[dict[str, str]]:
    """Say how the folds were cut, and how many labelled rows no fold tested."""
    if plate.at is None:
        text = Text(
            "no time column: stratified folds and no window features",
            "没有时间列：使用分层折，不计算窗口特征",
        )
    elif scheme == "stratified":
        text = Text(
            "positives are too unevenly spread over time for time-ordered folds: stratified folds are used",
            "正例在时间上分布不均，无法按时间划分：使用分层折",
        )
    else:
        text = Text(
            "folds follow time: each is scored by models of earlier rows", "按时间划分：每折由更早的行训练的模型评分"
        )
    notes = [text]
    if never:
        notes.append(
            Text(
                f"{never} labelled rows were learned from only: no earlier rows were left to judge them by",
                f"{never} 个有标签的行仅用于训练：没有更早的行可用于评判它们",
            )
        )
    return [msgspec.to_builtins(note) for note in notes]


def _cost_notes(average: np.ndarray) -> list[dict[str, str]]:
    """Say so where the costs ask for more than allow even of an average row."""
    share = float((average > 0).mean())
    if not share:
        return []
    text = Text(
        f"at these costs even an average row of that amount would be challenged ({share:.0%} of rows); listed at risk "
        "are the rows whose score asks for more",
        f"按此成本，{share:.0%} 的行即使风险为平均水平也应验证；仅列出评分要求更严的行",
    )
    return [msgspec.to_builtins(text)]


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


def _signals(
    plate: Plate,
    scored: Scored,
    lines: Sequence[int],
    names: Sequence[str],
    features: Sequence[Feature],
) -> list[Signal]:
    """Return one signal for each row that would not simply be allowed, highest score first."""
    order = np.argsort(-scored.raw, kind="stable")
    risky = [int(place) for place in order if scored.risky[place]]
    signals = []
    for place in risky[:MOST_LISTED]:
        row = int(scored.rows[place])
        when = int(plate.at[row]) if plate.at is not None else 0
        reasons = _reasons(plate, scored, place, row, features)
        evidence = {"row": row + 1, "line": int(lines[row]), "file": names[row], "decision": scored.decisions[place]}
        signals.append(
            Signal(
                id=derived_id("signal", DESK, KIND, names[row], row + 1),
                desk=DESK,
                kind=KIND,
                shop="default",
                subject=f"row:{row + 1}",
                score=float(scored.score[place]),
                onset=when,
                tau=when,
                evidence=evidence | {"raw": float(scored.raw[place]), "base": float(scored.base[place])},
                reasons=reasons,
            )
        )
    return signals


def _reasons(plate: Plate, scored: Scored, place: int, row: int, features: Sequence[Feature]) -> tuple[Reason, ...]:
    parts = scored.parts[place]
    found = []
    for column in strongest(parts, np.arange(len(parts)), most=4):
        value: float | str | None = None
        if column < len(features):
            cell = features[column].values[row]
            missing = cell is None or (not isinstance(cell, str) and np.isnan(cell))
            value = None if missing else (cell if isinstance(cell, str) else float(cell))
        found.append(
            Reason(
                code="column-raises-score",
                text=_reason_text(scored.columns[column], value, features[column] if column < len(features) else None),
                feature=scored.columns[column],
                value=value,
                contribution=float(parts[column]),
            )
        )
    return tuple(found)


def _reason_text(column: str, value: float | str | None, feature: Feature | None) -> Text:
    if feature is None:
        return Text("an unusual combination of columns", "各列取值的组合少见")
    if value is None:
        return Text(f"{column} is missing", f"{column} 缺失")
    if isinstance(value, str):
        share = float(np.mean(feature.values == value))
        return Text(f"{column} is {value} ({share:.1%} of rows)", f"{column} 为 {value}（占 {share:.1%}）")
    middle = float(np.nanmedian(feature.values))
    return Text(
        f"{column} is {value:,.6g} (typically {middle:,.6g})", f"{column} 为 {value:,.6g}（通常为 {middle:,.6g}）"
    )


def _incident(signals: Sequence[Signal], scored: Scored, name: str, plate: Plate) -> list[dict[str, Any]]:
    """Return one incident for the table where any row is at risk: a summary signal through triage."""
    if not signals:
        return []
    risky = [at for at in range(len(scored.rows)) if scored.risky[at]]
    answers = [scored.decisions[at] for at in risky]
    counts = {answer: answers.count(answer) for answer in ANSWERS if answer != "allow"}
    onset = min(signal.onset for signal in signals)
    tau = max(signal.tau for signal in signals)
    amounts = _amounts(plate)[scored.rows]
    at_stake = int(sum(amounts[at] * scored.score[at] for at in risky))
    summary = Signal(
        id=derived_id("signal", DESK, SUMMARY, name),
        desk=DESK,
        kind=SUMMARY,
        shop="default",
        subject=f"shop:{name}",
        score=max(signal.score for signal in signals),
        onset=onset,
        tau=tau,
        evidence={
            "rows": [signal.evidence["row"] for signal in signals[:100]],
            "count": sum(counts.values()),
            "answers": counts,
            "expected_loss": at_stake if plate.amount else None,
        },
    )
    return [msgspec.to_builtins(triage(summary, [], KINDS))]


def _actions(scored: Scored, lines: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the answer that the rules would give each scored row, the strictest first; all of them in shadow."""
    order = sorted(range(len(scored.rows)), key=lambda at: (-Decision(scored.decisions[at]).rank, -scored.score[at]))
    return [
        {
            "file": names[scored.rows[at]],
            "row": int(scored.rows[at]) + 1,
            "line": int(lines[scored.rows[at]]),
            "decision": scored.decisions[at],
            "score": float(scored.score[at]),
            "state": "suggested",
        }
        for at in order[: 10 * MOST_LISTED]
    ]

"""Scores of a plain table's rows: by the best of several models where there are labels, else by how rare they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.signal import Text
from tocsin.methods import anomaly, calibration, tabular
from tocsin.methods.costs import ANSWERS, Costs
from tocsin.methods.encoding import Encoder
from tocsin.methods.tabular import FIGURES, LEAST_POSITIVES, LINEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.assessment.plate import Plate
    from tocsin.methods.encoding import Feature

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


Outcome = tuple[list[dict[str, Any]], dict[str, Any], Encoder, Scored]
"""(figures of the models, the choice, the fitted encoding, the scored rows)."""


def supervised(
    plate: Plate,
    features: Sequence[Feature],
    at: np.ndarray,
    known: np.ndarray,
    y: np.ndarray,
    seed: int,
    costs: Costs,
) -> Outcome:
    """Return the scores of the model that was best on held-out rows.

    Rows without a label are scored by that model fitted on all labelled rows; where every row has one, each is scored
    by a fold's model that had not seen it. Probabilities are calibrated on the held-out rows.
    """
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
        amounts = amounts_of(plate)[rows]
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


def unsupervised(
    plate: Plate,
    features: Sequence[Feature],
    at: np.ndarray,
    known: np.ndarray,
    y: np.ndarray,
    seed: int,
    costs: Costs,
) -> Outcome:
    """Return the scores without labels (``methods.anomaly``), and why: too few labels of a kind, or none."""
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


def amounts_of(plate: Plate) -> np.ndarray:
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

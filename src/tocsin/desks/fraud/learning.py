"""Labels to a candidate model: three families compared forward in time, calibrated, chosen by what being wrong costs.

Every figure on the card is held out twice: the models are tested on slices after their training rows, and the
calibration and the choice between its kinds is made on the first half of those, the figures on the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.desk import Candidate, Labelled
from tocsin.desks.fraud.declarations import MATURITY_S
from tocsin.desks.fraud.features import NAMES, SPANS, model_input
from tocsin.desks.fraud.model import FraudModel
from tocsin.methods import calibration, linear, trees
from tocsin.methods.costs import ANSWERS, Costs, answered_cost_per_10k, cost_per_10k
from tocsin.methods.evaluation import (
    average_precision,
    forward_folds,
    log_likelihood,
    mean_squared_error,
    recall_at_fpr,
    roc_auc,
)
from tocsin.methods.gate import Gate

if TYPE_CHECKING:
    from tocsin.methods.calibration import Calibration

FAMILIES = ("linear", "logistic", "trees")
FEWEST = 20
"""Fewer frauds than this teach nothing that would hold."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to learn. The defaults serve a store's own months of labels on two cores within minutes."""

    costs: Costs = Costs()
    folds: int = 4
    seed: int = 0
    rounds: int = 250
    bags: int = 2
    most_rows: int = 300_000
    """More rows than this are thinned: all frauds stay, legitimate ones are drawn and weighted up."""
    compared_rows: int = 60_000
    """The families are compared on at most so many rows, thinned in the same way."""
    settings: dict[str, float | int | str | bool] = {}
    families: tuple[str, ...] = FAMILIES
    longest_s: int = 0
    """Features that look further back than this are left out; 0 keeps all. A model that is to serve a shop from its
    first hour must not read windows that are still empty there: everybody would look new."""
    gate: Gate | None = None
    """Payments that do not pass it get no score and are let through, rules apart; None scores all. Limits are on
    features that the model reads. What is not scored is not served and so not learned from."""


class Rows(msgspec.Struct, frozen=True):
    """Training rows, ascending in time: ``x`` [n, k] of the kept ``names``, with weights that undo the thinning."""

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    time: np.ndarray
    amount: np.ndarray
    weight: np.ndarray

    def take(self, at: np.ndarray) -> Rows:
        """Return these rows alone."""
        return Rows(self.names, self.x[at], self.y[at], self.time[at], self.amount[at], self.weight[at])


Fitted = linear.Linear | trees.Trees


def learn(labelled: Labelled, plan: Plan | None = None, *, version: int = 1) -> Candidate | None:
    """Return a candidate with its card.

    None with fewer than 20 frauds or legitimate rows, or where the frauds are all so late that no model of the past
    could be tested on them.
    """
    plan = plan or Plan()
    rows = prepare(labelled, plan, plan.most_rows)
    if min(int(rows.y.sum()), int((~rows.y).sum())) < FEWEST:
        return None
    gap = int(min(MATURITY_S * 1_000_000, (rows.time[-1] - rows.time[0]) // (3 * (plan.folds + 1))))
    compared = rows if len(rows.y) <= plan.compared_rows else prepare(labelled, plan, plan.compared_rows)
    tested: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for family in plan.families:
        tested[family] = _forward(family, compared, plan, gap)
    if not compared.y[tested[plan.families[0]][0]].any():
        return None
    calibrations: dict[str, Calibration] = {}
    figures: dict[str, dict[str, Any]] = {}
    for family, (at, raw) in tested.items():
        calibrations[family], figures[family] = _judged(compared.take(at), raw, plan.costs)
    chosen = min(figures, key=lambda family: figures[family]["cost_per_10k"])
    model = _fit(chosen, rows, plan, final=True)
    card = {
        "desk": "fraud",
        "version": version,
        "chosen": chosen,
        "why": "lowest expected cost per 10,000 orders on held-out rows later than its training rows",
        "families": figures,
        "baselines": _baselines(compared.take(next(iter(tested.values()))[0]), plan.costs),
        "rows": len(labelled.y),
        "rows_used": len(rows.y),
        "frauds": int(labelled.y.sum()),
        "start": int(rows.time[0]),
        "end": int(rows.time[-1]),
        "gap_s": gap // 1_000_000,
        "plan": msgspec.to_builtins(plan),
        "features": list(rows.names),
        "units": {"cost_per_10k": "minor units per 10,000 orders", "log_likelihood": "nats per order"},
    }
    held = FraudModel(
        features=rows.names,
        calibration=calibrations[chosen],
        costs=plan.costs,
        card=card,
        linear=model if isinstance(model, linear.Linear) else None,
        trees=model if isinstance(model, trees.Trees) else None,
        typical=_typical(rows),
    )
    return Candidate(desk="fraud", artefact=held.pack(), card=card)


def prepare(labelled: Labelled, plan: Plan, most: int) -> Rows:
    """Return the rows in the order of time, thinned to ``most``, with the features that say anything at all."""
    order = np.argsort(labelled.time, kind="stable")
    weight = np.ones(len(order))
    if len(order) > most:
        y = np.asarray(labelled.y, bool)[order]
        share = max(most - int(y.sum()), 1) / max(int((~y).sum()), 1)
        kept = y | (np.random.default_rng(plan.seed).random(len(y)) < share)
        weight = np.where(y, 1.0, 1.0 / share)[kept]
        order = order[kept]
    amount = np.asarray(labelled.amount, float)[order]
    x = model_input(labelled.x[order], labelled.names, amount, labelled.time[order])
    bound = plan.longest_s or max(SPANS.values())
    telling = [at for at, name in enumerate(NAMES) if SPANS[name] <= bound and _tells(x[:, at])]
    return Rows(
        names=tuple(NAMES[at] for at in telling),
        x=x[:, telling],
        y=np.asarray(labelled.y, bool)[order],
        time=labelled.time[order],
        amount=amount,
        weight=weight,
    )


def _typical(rows: Rows) -> tuple[float | None, ...]:
    """Return of each feature the median among harmless rows, or None where it was missing in any row."""
    missing = np.isnan(rows.x).any(axis=0)
    medians = np.median(np.where(missing, 0.0, rows.x[~rows.y]), axis=0)
    return tuple(None if gone else float(value) for gone, value in zip(missing, medians, strict=True))


def _tells(column: np.ndarray) -> bool:
    present = column[~np.isnan(column)]
    return len(present) > len(column) / 200 and bool(np.ptp(present) > 0)


def _fit(family: str, rows: Rows, plan: Plan, *, final: bool = False) -> Fitted:
    if family == "trees":
        bags = plan.bags if final else 1
        return trees.fit(
            rows.x, rows.y, rows.weight, rounds=plan.rounds, bags=bags, seed=plan.seed, settings=plan.settings
        )
    return linear.fit(family, rows.x, rows.y, rows.weight)


def _forward(family: str, rows: Rows, plan: Plan, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tested rows, ascending in time, and their raw scores by models of the past."""
    at, raw = [np.empty(0, int)], [np.empty(0)]
    for train, test in forward_folds(rows.time, plan.folds, gap):
        if rows.y[train].any() and not rows.y[train].all():
            raw.append(_fit(family, rows.take(train), plan).raw(rows.x[test]))
            at.append(test)
    return np.concatenate(at), np.concatenate(raw)


def _judged(rows: Rows, raw: np.ndarray, costs: Costs) -> tuple[Calibration, dict[str, Any]]:
    """Return the calibration fitted on all tested rows, and the figures of the second half calibrated by the first."""
    half = len(raw) // 2
    final, kinds = calibration.choose(raw, rows.y, rows.weight)
    first = rows.y[:half]
    early = calibration.fit(final.kind, raw[:half], first, rows.weight[:half]) if first.any() else final
    late = rows.take(np.arange(half, len(raw)))
    p = early(raw[half:])
    return final, _figures(late, p, costs) | {"calibration": final.kind, "calibration_log_likelihood": kinds}


def _figures(rows: Rows, p: np.ndarray, costs: Costs) -> dict[str, Any]:
    # Thinned rows are drawn again by weight for the measures that count rows; the draw is fixed by the rows' number.
    at = _unthinned(rows.weight)
    y, p, amount = rows.y[at], p[at], rows.amount[at]
    return {
        "mse": mean_squared_error(y, p),
        "log_likelihood": log_likelihood(y, p),
        "average_precision": average_precision(y, p),
        "auc": roc_auc(y, p),
        "recall_at_1_percent_fpr": recall_at_fpr(y, p, 0.01),
        "cost_per_10k": cost_per_10k(y, amount, p >= costs.threshold(amount), costs),
        "cost_per_10k_at_half": cost_per_10k(y, amount, p >= 0.5, costs),
        "cost_per_10k_without": cost_per_10k(y, amount, np.zeros(len(y), bool), costs),
        "cost_per_10k_four_answers": answered_cost_per_10k(y, amount, costs.cheapest(p, amount), costs),
        "answers": {name: float(np.mean(costs.cheapest(p, amount) == number)) for number, name in enumerate(ANSWERS)},
        "tested": len(at),
    }


def _unthinned(weight: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(weight)), np.maximum(1, np.round(weight)).astype(int))


def _baselines(rows: Rows, costs: Costs) -> dict[str, Any]:
    """Return chance (the share of fraud for everybody) and the trivial score (the amount alone) on the same rows."""
    half = len(rows.y) // 2
    late = rows.take(np.arange(half, len(rows.y)))
    share = float(np.average(rows.y[:half], weights=rows.weight[:half])) or 0.5
    chance = _figures(late, np.full(len(late.y), share), costs)
    at = _unthinned(late.weight)
    return {
        "chance": chance,
        "amount_alone": {
            "average_precision": average_precision(late.y[at], late.amount[at]),
            "auc": roc_auc(late.y[at], late.amount[at]),
            "recall_at_1_percent_fpr": recall_at_fpr(late.y[at], late.amount[at], 0.01),
        },
    }


def evaluated(model: FraudModel, labelled: Labelled) -> dict[str, dict[str, Any]]:
    """Return the figures of a model on labels that it did not learn from, beside chance."""
    amount = np.asarray(labelled.amount, float)
    x = model_input(labelled.x, labelled.names, amount, labelled.time)
    y = np.asarray(labelled.y, bool)
    rows = Rows((), x, y, labelled.time, amount, np.ones(len(y)))
    p = model.calibration(model.raw(x))
    share = np.full(len(y), float(y.mean()) if len(y) else 0.0)
    return {"model": _figures(rows, p, model.costs), "chance": _figures(rows, share, model.costs)}

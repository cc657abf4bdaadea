"""The fraud desk's three entrances; see the package's docstring for what it watches."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import yaml

from tocsin.core.desk import Judgement
from tocsin.core.events import MINUTE, subject_of
from tocsin.core.playbook import Playbook, playbook_from
from tocsin.core.signal import Decision, Reason, Signal, Text, signal_id
from tocsin.desks.fraud import testing
from tocsin.desks.fraud.declarations import KINDS, NOVEL, PAYMENT, RULES, SCORED, SERIES, WINDOWS
from tocsin.desks.fraud.features import CODES, LEAST, NAMES, REASONS, UNKNOWN, UNUSUAL, model_input
from tocsin.desks.fraud.learning import Plan, learn
from tocsin.desks.fraud.model import FraudModel, unpack
from tocsin.errors import Misconfigured
from tocsin.methods.costs import ANSWERS
from tocsin.methods.reasons import strongest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.core.desk import (
        Batch,
        Bucket,
        Candidate,
        Deadline,
        Features,
        Labelled,
        Miss,
        Novel,
        Ratio,
        Rule,
        Series,
        Window,
    )
    from tocsin.methods.gate import Gate

DECISIONS = tuple(Decision(answer) for answer in ANSWERS)
RISKY = 0.5
"""An account-fraud signal needs a payment that is more likely harmful than not,"""
INSISTING = 4
"""and so many payments of the card or account within the hour."""
INSISTENCE = Text(
    "{payments} payments within an hour, the last one harmful with probability {percent} %.",
    "一小时内 {payments} 笔付款，最近一笔有 {percent}% 的可能为欺诈。",
)


class FraudDesk:
    """Watches payments, and orders by its rules; see ``core.desk.Desk`` for the members.

    Parameters
    ----------
    model
        The loaded model; without one nothing is scored, rules and card testing go on.
    digest
        SHA-256 of its artefact, for verdicts.
    plan
        How it learns, and which payments it scores (``Plan.gate``).
    """

    name = "fraud"
    version = 1
    reads: tuple[str, ...] = (*SCORED, "label.given")
    windows: tuple[Window | Ratio, ...] = WINDOWS
    series: tuple[Series, ...] = SERIES
    deadlines: tuple[Deadline, ...] = ()
    rules: tuple[Rule, ...] = RULES
    kinds: Mapping[str, Text] = KINDS
    novel: Novel = NOVEL

    def __init__(self, model: FraudModel | None = None, digest: str = "", plan: Plan | None = None) -> None:
        self.model = model
        self.digest = digest
        self.plan = plan or Plan()
        if self.plan.gate is not None:
            _check_gate(self.plan.gate, NAMES if model is None else model.features)

    def judge(self, batch: Batch, features: Features) -> Judgement:
        """Score payments, explain and answer those worth it, and notice card testing."""
        # Only payments are scored: an order's own windows do not count it, so the model has never seen its like.
        paid = batch.of_type(*PAYMENT)
        scores = np.full(batch.n, np.nan)
        if not paid.any():
            return Judgement(scores=scores, model=self.digest)
        declined = np.array([status == "declined" for status in batch.texts("status")], bool)
        signals = testing.signals(batch, features, paid & declined)
        amounts = batch.column("amount")
        rows = np.flatnonzero(paid & amounts.present)
        if self.model is None or not len(rows):
            return Judgement(scores=scores, signals=signals, model=self.digest)
        amount = amounts.values[rows]
        model, time = self.model, _times(batch, rows)
        x = model_input(features.matrix(model.windows)[rows], model.windows, amount, time, model.derived)
        if self.plan.gate is not None:
            passed = np.flatnonzero(self.plan.gate(lambda name: x[:, NAMES.index(name)]))
            rows, amount, x = rows[passed], amount[passed], x[passed]
        p = model.calibration(model.raw(x))
        scores[rows] = p
        answers = model.costs.cheapest(p, amount)
        worth = np.flatnonzero(answers > 0)
        reasons = self.explain(x[worth])
        signals.extend(_insisting(batch, features, rows[worth], p[worth]))
        return Judgement(
            scores=scores,
            decisions={int(rows[at]): DECISIONS[answers[at]] for at in worth},
            reasons={int(rows[at]): reason for at, reason in zip(worth, reasons, strict=True)},
            signals=sorted(signals, key=lambda pair: pair[0]),
            model=self.digest,
        )

    def explain(self, x: np.ndarray) -> list[tuple[Reason, ...]]:
        """Return the reasons of each row of a model input [n, len(NAMES)], from exact additive attributions."""
        if self.model is None or not len(x):
            return [() for _ in x]
        groups, own = self.model.groups, self.model.columns(x)
        told = []
        for parts, values in zip(self.model.contributions(x)[:, :-1], own, strict=True):
            # Nobody is told something of a value that is not there.
            present = np.where(np.isnan(values), 0.0, parts)
            reasons = []
            for group in strongest(present, groups):
                member = int(np.argmax(np.where(groups == group, present, -np.inf)))
                value = float(values[member])
                code = CODES[group] if _true(CODES[group], self.model.features[member], value) else UNUSUAL
                reasons.append(
                    Reason(
                        code=code,
                        text=REASONS[code],
                        feature=self.model.features[member],
                        value=value,
                        contribution=float(present[groups == group].sum()),
                    )
                )
            told.append(tuple(reasons) or (Reason(code=UNKNOWN, text=REASONS[UNKNOWN]),))
        return told

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        """Return nothing: the series are shown and verified, the windows notice first."""
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        """Return nothing: the desk declares no deadline."""
        return ()

    def learn(self, labelled: Labelled) -> Candidate | None:
        """Return the candidate of ``learning.learn`` by this desk's plan."""
        return learn(labelled, self.plan, version=self.version)

    def with_model(self, artefact: bytes | None) -> FraudDesk:
        """Return the desk with that model; Misconfigured where the artefact is damaged."""
        if artefact is None:
            return FraudDesk(plan=self.plan)
        return FraudDesk(unpack(artefact), hashlib.sha256(artefact).hexdigest(), self.plan)

    def playbooks(self) -> Sequence[Playbook]:
        """Return the playbooks beside the desk."""
        return _playbooks()


def _check_gate(gate: Gate, known: Sequence[str]) -> None:
    """Refuse limits on what is not read: nothing would ever pass by them."""
    foreign = sorted(set(gate.least) - set(known))
    if foreign:
        raise Misconfigured(f"fraud gate: the model does not read {', '.join(foreign)}; set limits on what it reads")


def _times(batch: Batch, rows: np.ndarray) -> np.ndarray:
    """Return the times of rows, int64; a batch that keeps them as a column need not decode its events."""
    kept = getattr(batch, "times", None)
    if kept is not None:
        return np.asarray(kept[rows])
    return np.fromiter((batch.events[row].time for row in rows.tolist()), np.int64, len(rows))


def _true(code: str, feature: str, value: float) -> bool:
    """Return whether a value bears the statement out: a single card is not "several cards"."""
    return "since" in feature or value >= LEAST.get(code, -np.inf)


def _insisting(batch: Batch, features: Features, rows: np.ndarray, p: np.ndarray) -> list[tuple[int, Signal]]:
    """Return a signal for each risky payment of somebody who pays again and again."""
    if not len(rows):
        return []
    of_card, of_account = features["card_n_1h"].values[rows], features["account_n_1h"].values[rows]
    counts = np.maximum(np.nan_to_num(of_card), np.nan_to_num(of_account))
    total = features["account_sum_1d"]
    found = []
    for at in np.flatnonzero((p >= RISKY) & (counts >= INSISTING)).tolist():
        row, risk, payments = int(rows[at]), float(p[at]), int(counts[at])
        data = batch.events[row].data
        entity = "account" if data.get("account") else "card"
        key = data.get(entity)
        if not isinstance(key, str):
            continue
        event = batch.events[row]
        spent = float(total.values[row]) if total.present[row] else float(data["amount"]) * payments
        seen = {"payments": payments, "percent": round(100 * risk)}
        subject = subject_of(entity, key)
        found.append(
            (
                row,
                Signal(
                    id=signal_id("fraud", "account-fraud", event.shop, subject, event.tau),
                    desk="fraud",
                    kind="account-fraud",
                    shop=event.shop,
                    subject=subject,
                    score=risk,
                    onset=event.tau - event.tau % MINUTE,
                    tau=event.tau,
                    entities={
                        name: value
                        for name in ("account", "card", "device", "ip")
                        if isinstance(value := data.get(name), str) and value
                    },
                    evidence=seen | {"amount": int(spent)},
                    reasons=(Reason("account-fraud", INSISTENCE.filled(seen)),),
                    loss_per_minute=int(risk * spent / 60),
                    currency=str(data.get("currency", "")),
                ),
            )
        )
    return found


@cache
def _playbooks() -> tuple[Playbook, ...]:
    folder = files("tocsin.desks.fraud") / "playbooks"
    found = sorted((place for place in folder.iterdir() if place.name.endswith(".yaml")), key=lambda place: place.name)
    return tuple(playbook_from(yaml.safe_load(place.read_text(encoding="utf-8"))) for place in found)


def shipped() -> FraudDesk:
    """Return the desk with the model in the wheel, which was trained on the demo store (see its card)."""
    place = files("tocsin.desks.fraud") / "model.bin"
    return FraudDesk().with_model(place.read_bytes() if place.is_file() else None)


__all__ = ["NAMES", "FraudDesk", "shipped"]

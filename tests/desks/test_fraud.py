"""The fraud desk: judging is pure by row, answers are the cheapest, reasons add up, artefacts are safe."""

from __future__ import annotations

import hashlib
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.desk import Desk, Labelled, Ratio
from tocsin.core.events import DAY, MINUTE, Event
from tocsin.core.signal import Decision
from tocsin.desks.fraud import FraudDesk, shipped
from tocsin.desks.fraud.declarations import WINDOWS
from tocsin.desks.fraud.features import LEAST, NAMES, REASONS, SERVED, SPANS, code_of, model_input
from tocsin.desks.fraud.learning import FEWEST, Plan, evaluated, learn
from tocsin.desks.fraud.model import unpack
from tocsin.errors import Misconfigured
from tocsin.flow.batch import FeatureTable, PlainBatch
from tocsin.methods.costs import Costs
from tocsin.methods.gate import Gate

QUICK = Plan(rounds=30, bags=2, folds=3)
START = 1_700_000_000_000_000


def labels(n: int = 3000, seed: int = 0) -> Labelled:
    """Payments of 60 days: fraud where the amount is far above the card's usual one, or at a risky merchant."""
    rng = np.random.default_rng(seed)
    x = np.full((n, len(SERVED)), np.nan)
    put = {name: at for at, name in enumerate(SERVED)}
    usual = rng.uniform(1000, 9000, n)
    risk = np.where(rng.random(n) < 0.04, rng.uniform(0.3, 1, n), 0.0)
    over = np.where(rng.random(n) < 0.05, rng.uniform(3, 7, n), rng.uniform(0.3, 1.8, n))
    for name, values in {
        "card_base_56d": np.full(n, 40.0),
        "card_fraud_56d": np.zeros(n),
        "card_fraud_sum_56d": np.zeros(n),
        "card_base_mean": usual,
        "card_base_std": usual / 2,
        "card_mean_28d": usual * rng.uniform(0.9, 1.1, n),
        "card_n_1h": rng.integers(1, 4, n).astype(float),
        "merchant_risk_7d": risk,
    }.items():
        x[:, put[name]] = values
    x[rng.random(n) < 0.05, put["card_base_std"]] = np.nan
    y = rng.random(n) < np.where((over > 3) | (risk > 0), 0.8, 0.003)
    time = START + np.sort(rng.integers(0, 60 * DAY, n))
    return Labelled(
        names=SERVED, x=x, y=y, time=time, amount=(usual * over).astype(np.int64), entity=np.full(n, "c", object)
    )


@pytest.fixture(scope="module")
def artefact() -> bytes:
    """A model learned from the labels above."""
    candidate = learn(labels(), QUICK)
    assert candidate is not None
    return candidate.artefact


def stream(data: Labelled, rows: np.ndarray) -> tuple[PlainBatch, FeatureTable]:
    """Return rows as a batch of payments with their features."""
    events = [
        Event(
            id=str(row),
            source="t",
            type="payment.attempted",
            time=int(data.time[row]),
            tau=int(data.time[row]),
            seq=number,
            data={"amount": int(data.amount[row]), "currency": "CNY", "card": f"c{row % 50}"},
        )
        for number, row in enumerate(rows.tolist(), 1)
    ]
    return PlainBatch(events), FeatureTable(len(rows), {name: data.x[rows, at] for at, name in enumerate(SERVED)})


def test_it_is_a_desk() -> None:
    """All members of the protocol are there, every declaration under its own name, rules in shadow with both texts."""
    desk = FraudDesk()
    assert isinstance(desk, Desk)
    names = [window.name for window in WINDOWS]
    assert len(names) == len(set(names))
    assert all(window.over in names and window.under in names for window in WINDOWS if isinstance(window, Ratio))
    for rule in desk.rules:
        assert rule.mode == "shadow"
        assert rule.text.en and rule.text.zh and rule.code


def test_playbooks_answer_the_kinds_of_the_desk() -> None:
    """Every kind has a playbook, every playbook starts in suggest, and none answers what the desk does not send."""
    desk = FraudDesk()
    answered = {kind for playbook in desk.playbooks() for kind in playbook.on}
    assert answered == set(desk.kinds)
    assert {playbook.automation for playbook in desk.playbooks()} == {"suggest"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2999), min_size=1, max_size=40, unique=True), st.randoms(use_true_random=False))
def test_judging_is_pure_by_row(artefact: bytes, rows: list[int], random: object) -> None:
    """Permuted, split in two, or padded with other payments, every row gets the same score, decision and reasons."""
    desk, data = FraudDesk().with_model(artefact), labels()
    whole = desk.judge(*stream(data, np.array(rows)))
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    padded = [*shuffled, *(row for row in range(5) if row not in rows)]
    for other in (shuffled, padded, rows[: len(rows) // 2 + 1]):
        judged = desk.judge(*stream(data, np.array(other)))
        for at, row in enumerate(other):
            if row in rows:
                before = rows.index(row)
                assert judged.scores[at] == whole.scores[before]
                assert judged.decisions.get(at) == whole.decisions.get(before)
                assert judged.reasons.get(at) == whole.reasons.get(before)


def test_answers_are_the_cheapest_and_not_cut_at_half(artefact: bytes) -> None:
    """The decision is the brute-force minimum of the expected costs; with thin margins it falls far below 0.5."""
    thin = Costs(margin=0.05, goodwill=0, drop=0.05)
    desk, data = FraudDesk(msgspec.structs.replace(unpack(artefact), costs=thin)), labels()
    judged = desk.judge(*stream(data, np.arange(3000)))
    assert desk.model is not None
    table = desk.model.costs.table(judged.scores, data.amount.astype(float))
    for row in range(3000):
        taken = list(Decision).index(judged.decisions.get(row, Decision.ALLOW))
        assert table[row, taken] == table[row].min()
    assert any(judged.scores[row] < 0.5 for row in judged.decisions)


def test_attributions_sum_to_the_raw_score(artefact: bytes) -> None:
    """The parts of every row, base included, give the raw score within 1e-6; the reasons are sums of such parts."""
    desk, data = FraudDesk().with_model(artefact), labels()
    assert desk.model is not None
    x = model_input(data.x, data.names, data.amount.astype(float), data.time)
    parts = desk.model.contributions(x)
    assert parts.sum(axis=1) == pytest.approx(desk.model.raw(x), abs=1e-6)
    worst = int(np.argmax(desk.model.raw(x)))
    for reason in desk.explain(x[worst : worst + 1])[0]:
        present = ~np.isnan(desk.model.columns(x)[worst])
        own = [at for at, name in enumerate(desk.model.features) if present[at] and code_of(name) == reason.code]
        if reason.code != "unusual-pattern":
            assert reason.contribution == pytest.approx(parts[worst, own].sum())
        assert reason.text == REASONS[reason.code]


def test_a_field_that_the_shop_never_sends_is_judged_as_usual_and_is_no_reason(artefact: bytes) -> None:
    """What was never missing in training is filled with its median; nobody is told anything of a missing value."""
    desk, data = FraudDesk().with_model(artefact), labels()
    assert desk.model is not None
    x = model_input(data.x, data.names, data.amount.astype(float), data.time)
    at = NAMES.index("card_n_1h")
    without, usual = x.copy(), x.copy()
    without[:, at] = np.nan
    usual[:, at] = np.median(x[~data.y, at])
    assert desk.model.raw(without) == pytest.approx(desk.model.raw(usual), abs=1e-12)
    nothing = np.full((1, len(NAMES)), np.nan)
    assert [reason.code for reason in desk.explain(nothing)[0]] == ["little-known"]
    for reasons, values in zip(desk.explain(x[:200]), x[:200], strict=True):
        for reason in reasons:
            assert reason.value is None or reason.value >= LEAST.get(reason.code, -np.inf) or "since" in reason.feature
            assert reason.code == "little-known" or np.isfinite(values[NAMES.index(reason.feature)])


def test_every_feature_has_a_reason_that_can_be_read_out() -> None:
    """No feature of the model is without a code and a text in both languages."""
    for name in NAMES:
        assert REASONS[code_of(name)].en and REASONS[code_of(name)].zh


def test_without_a_model_nothing_is_scored() -> None:
    """Rules and card testing go on, scores are missing."""
    judged = FraudDesk().judge(*stream(labels(), np.arange(20)))
    assert np.isnan(judged.scores).all()
    assert not judged.decisions


def test_a_payment_without_amount_is_not_scored(artefact: bytes) -> None:
    """What the model cannot price gets no score."""
    event = Event(id="1", source="t", type="payment.attempted", time=START, tau=START, data={"card": "c"})
    table = FeatureTable(1, {name: np.array([np.nan]) for name in SERVED})
    assert np.isnan(FraudDesk().with_model(artefact).judge(PlainBatch([event]), table).scores).all()


def test_the_card_compares_three_families_with_chance_and_the_amount(artefact: bytes) -> None:
    """Figures of all families and baselines; the chosen one costs least and beats chance and no model."""
    card = unpack(artefact).card
    figures = card["families"]
    assert set(figures) == {"linear", "logistic", "trees"}
    best = figures[card["chosen"]]
    assert best["cost_per_10k"] == min(each["cost_per_10k"] for each in figures.values())
    assert best["cost_per_10k"] < best["cost_per_10k_without"]
    assert best["average_precision"] > 5 * card["baselines"]["chance"]["average_precision"]
    assert best["log_likelihood"] > card["baselines"]["chance"]["log_likelihood"]
    assert 0 < card["baselines"]["amount_alone"]["average_precision"] < best["average_precision"]


def test_learning_is_repeatable_and_thinning_keeps_the_probabilities(artefact: bytes) -> None:
    """The same labels give the same bytes; with a third of the rows the mean score stays that of the frauds."""
    again = learn(labels(), QUICK)
    assert again is not None
    assert again.artefact == artefact
    data = labels(9000, seed=2)
    thinned = learn(data, msgspec.structs.replace(QUICK, most_rows=3500))
    assert thinned is not None
    desk = FraudDesk().with_model(thinned.artefact)
    scores = desk.judge(*stream(data, np.arange(9000))).scores
    assert scores.mean() == pytest.approx(data.y.mean(), rel=0.25)
    assert evaluated(unpack(thinned.artefact), labels(seed=5))["model"]["average_precision"] > 0.6


def test_a_model_for_the_first_hour_reads_no_long_window() -> None:
    """With ``longest_s`` of a day nothing that is empty in a new shop is read, derived features included."""
    candidate = learn(labels(), msgspec.structs.replace(QUICK, longest_s=86_400))
    assert candidate is not None
    read = unpack(candidate.artefact).features
    assert "amount" in read and "card_n_1h" in read
    assert not {"amount_over_usual", "merchant_risk_7d", "card_mean_28d"} & set(read)
    assert max(SPANS[name] for name in read) <= 86_400


def test_too_few_labels_teach_nothing() -> None:
    """Below twenty frauds there is no candidate."""
    data = labels()
    keep = np.concatenate([np.flatnonzero(~data.y), np.flatnonzero(data.y)[: FEWEST - 1]])
    few = Labelled(
        names=data.names,
        x=data.x[keep],
        y=data.y[keep],
        time=data.time[keep],
        amount=data.amount[keep],
        entity=data.entity[keep],
    )
    assert FraudDesk(plan=QUICK).learn(few) is None


def test_frauds_that_no_model_of_the_past_could_know_teach_nothing() -> None:
    """Where every fraud is in the last slice there is nothing to test on, and so no candidate."""
    data = labels()
    late = np.arange(len(data.y)) >= len(data.y) - 30
    shifted = msgspec.structs.replace(data, y=late)
    assert FraudDesk(plan=QUICK).learn(shifted) is None


def test_an_artefact_comes_back_as_it_was(artefact: bytes) -> None:
    """Packing what was unpacked gives the same bytes, and the verdicts name their SHA-256."""
    assert unpack(artefact).pack() == artefact
    judged = FraudDesk().with_model(artefact).judge(*stream(labels(), np.arange(3)))
    assert judged.model == hashlib.sha256(artefact).hexdigest()


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign", "inside"])
def test_a_damaged_artefact_is_refused(artefact: bytes, damage: str) -> None:
    """Cut off, altered, of another kind, or with parameters that do not fit: Misconfigured, never a wrong score."""
    head, body = artefact[:80], artefact[80:]
    if damage == "inside":
        document = msgspec.msgpack.decode(zlib.decompress(body))
        document["features"][0] = "no_such_feature"
        body = zlib.compress(msgspec.msgpack.encode(document))
        head = artefact[:15] + hashlib.sha256(body).hexdigest().encode() + b"\n"
    broken = {
        "cut": artefact[:-10],
        "flip": artefact[:500] + bytes([artefact[500] ^ 1]) + artefact[501:],
        "foreign": b"\x80\x04pickle",
        "inside": head + body,
    }[damage]
    with pytest.raises(Misconfigured, match="fraud model"):
        FraudDesk().with_model(broken)


def test_the_shipped_model_says_where_it_comes_from() -> None:
    """It was trained on the demo store, by a named command."""
    model = shipped().model
    assert model is not None
    assert "demo store" in model.card["trained_on"]
    assert model.card["command"].startswith("tocsin model train --twin")


def test_somebody_who_insists_is_told_of(artefact: bytes) -> None:
    """A risky payment alone gives no signal; as the fifth within the hour it does, once per account and bucket."""
    desk, data = FraudDesk().with_model(artefact), labels()
    scores = desk.judge(*stream(data, np.arange(3000))).scores
    row = np.array([int(np.nanargmax(scores))])
    batch, table = stream(data, row)
    assert scores[row[0]] > 0.5
    assert not desk.judge(batch, table).signals
    served = {name: data.x[row, at] for at, name in enumerate(SERVED)} | {"card_n_1h": np.array([5.0])}
    (_, signal), *more = desk.judge(batch, FeatureTable(1, served)).signals
    assert not more
    assert (signal.kind, signal.subject) == ("account-fraud", f"card:c{row[0] % 50}")
    assert signal.loss_per_minute > 0
    assert signal.onset <= signal.tau < signal.onset + MINUTE


def test_the_desk_reads_only_what_its_model_reads(artefact: bytes) -> None:
    """The few windows and derived features behind a model give the scores of the full input, to the last bit."""
    desk, data = FraudDesk().with_model(artefact), labels()
    model = desk.model
    assert model is not None
    full = model_input(data.x, data.names, data.amount.astype(float), data.time)
    scores = desk.judge(*stream(data, np.arange(3000))).scores
    assert np.array_equal(scores, model.calibration(model.raw(full)))
    assert len(model.windows) < len(SERVED)


def test_scores_are_the_library_s() -> None:
    """The shipped model scores as the mean of LightGBM's own predictions, and explains as they do within 1e-9."""
    model = shipped().model
    assert model is not None and model.trees is not None
    rng = np.random.default_rng(0)
    x = np.round(rng.lognormal(2, 3, (500, len(model.features))))
    x[rng.random(x.shape) < 0.2] = np.nan
    total, parts = np.zeros(500), np.zeros((50, len(model.features) + 1))
    for booster in model.trees.boosters:
        total += np.asarray(booster.predict(x, raw_score=True))
        parts += np.asarray(booster.predict(x[:50], pred_contrib=True))
    count = len(model.trees.boosters)
    assert np.array_equal(model.trees.raw(x), total / count)
    assert model.trees.contributions(x[:50]) == pytest.approx(parts / count, rel=1e-9, abs=1e-9)


def test_a_gate_leaves_rows_out_and_changes_no_other(artefact: bytes) -> None:
    """What does not pass has no score and no decision; what passes has those it would have without the gate."""
    data = labels()
    gate = Gate(least={"amount": 8000.0, "merchant_risk_7d": 0.1})
    plain = FraudDesk().with_model(artefact).judge(*stream(data, np.arange(3000)))
    gated = FraudDesk(plan=Plan(gate=gate)).with_model(artefact).judge(*stream(data, np.arange(3000)))
    passed = np.flatnonzero((data.amount >= 8000) | (data.x[:, SERVED.index("merchant_risk_7d")] >= 0.1))
    out = np.setdiff1d(np.arange(3000), passed)
    assert 0 < len(passed) < 3000
    assert np.isnan(gated.scores[out]).all()
    assert np.array_equal(gated.scores[passed], plain.scores[passed])
    assert gated.decisions == {row: answer for row, answer in plain.decisions.items() if row in set(passed.tolist())}
    with pytest.raises(Misconfigured, match="no_such"):
        FraudDesk(plan=Plan(gate=Gate(least={"no_such": 1.0})))
    with pytest.raises(Misconfigured, match="does not read"):
        FraudDesk(plan=Plan(gate=Gate(least={"ip_n_1h": 1.0}))).with_model(artefact)
    with pytest.raises(ValueError, match="finite limit"):
        Gate(least={})

"""The fold: its output is a function of the stream, however it is cut, permuted among keys or padded."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.desk import Aggregate, Deadline, Measure, Rule, Series, Window
from tocsin.core.events import DAY, HOUR, MINUTE, SECOND, Event
from tocsin.core.signal import Decision, Mode
from tocsin.errors import Misconfigured
from tocsin.flow.fold import Fold

from .stream import T0, TEXT, Probe, event, folded, plain

PAY, LOGIN = "payment.attempted", "account.login"
WINDOWS = (
    Window(name="n", fold=Aggregate.COUNT, by="card", span_s=3600, of=(PAY,)),
    Window(name="m", fold=Aggregate.MEAN, by="card", span_s=86_400, of=(PAY,), field="amount"),
    Window(name="d", fold=Aggregate.DISTINCT, by="card", span_s=600, of=(PAY,), field="ip"),
)
SERIES = (
    Series(name="paid", measure=Measure.SUM, of=(PAY,), bucket_s=60, field="amount", by="gateway", keep=50),
    Series(name="logins", measure=Measure.RATIO, of=(LOGIN,), bucket_s=10, hit="!data.success", keep=200),
)
DUE = (Deadline(name="ship", key="order", after=("order.paid",), must=("order.shipped",), within_s=90),)
RULES = (
    Rule(id="big", when="data.amount > 9000", decision=Decision.DENY, code="big", text=TEXT, mode=Mode.LIVE, ttl_s=60),
    Rule(id="often", when="features.n > 2 && features.m > 4000", decision=Decision.CHALLENGE, code="o", text=TEXT),
    Rule(id="listed", when="in_list('bad', data.card)", decision=Decision.HOLD, code="l", text=TEXT, mode=Mode.LIVE),
)


def desks(fails: Any = None) -> list[Any]:
    return [
        Probe("first", (PAY,), WINDOWS, SERIES, DUE, RULES),
        Probe("second", (PAY, LOGIN), WINDOWS[:1], SERIES[:1], (), (), limit=1.0, fails=fails),
    ]


def control(kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return f"tocsin.{kind}", data


RULE_DOCUMENT = {
    "id": "new",
    "when": "data.amount > 100",
    "decision": "hold",
    "code": "n",
    "text": {"en": "n", "zh": "n"},
    "mode": "live",
    "desk": "first",
}
PAYMENTS = st.fixed_dictionaries(
    {"amount": st.integers(1, 10_000)},
    optional={
        "card": st.sampled_from("ab"),
        "ip": st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        "gateway": st.sampled_from("gh"),
        "currency": st.sampled_from(["CNY", "EUR"]),
    },
)
CONTROLS = [
    control("list", name="bad", value="a", expires=T0 + HOUR),
    control("list", name="bad", value="a", op="remove"),
    control("rules", rules=[RULE_DOCUMENT]),
    control("rules", rules=[{**RULE_DOCUMENT, "id": "big", "mode": "off"}, {"id": "broken"}]),
    control("mode", desk="second", mode="shadow"),
    control("mode", desk="second", mode="off"),
    control("model", desk="first", digest="d1", stage="shadow", artefact_b64=base64.b64encode(b"1").decode()),
    control("model", desk="first", digest="d1", stage="live", artefact_b64=base64.b64encode(b"1").decode()),
    control("model", desk="first", digest="d1", stage="retired"),
    ("campaign.planned", {"campaign": "c", "start": T0, "end": T0 + DAY, "uplift": 3.0}),
]
KINDS = st.one_of(
    st.tuples(st.just(PAY), PAYMENTS),
    st.tuples(st.just(PAY), PAYMENTS),
    st.tuples(
        st.just(LOGIN), st.fixed_dictionaries({"success": st.booleans()}, optional={"account": st.sampled_from("ab")})
    ),
    st.tuples(
        st.sampled_from(["order.paid", "order.shipped"]), st.fixed_dictionaries({"order": st.sampled_from("xy")})
    ),
    st.sampled_from(CONTROLS),
)
GAPS = st.sampled_from([0, 0, 0, 1, SECOND, 7 * SECOND, 58 * SECOND, MINUTE, 62 * SECOND, HOUR])
LATENESS = st.sampled_from([0, 0, 0, SECOND, 30 * SECOND, 4 * MINUTE, 20 * MINUTE])
STREAMS = st.lists(st.tuples(GAPS, LATENESS, st.sampled_from("st"), KINDS), max_size=40)
CUTS = st.lists(st.integers(0, 100), max_size=8)


def stream_of(steps: list[Any]) -> list[Event]:
    tau, found = 0, []
    for seq, (gap, late, shop, (kind, data)) in enumerate(steps, 1):
        tau += gap
        found.append(event(seq, kind, tau, time=tau - late, shop=shop, **data))
    return found


@settings(max_examples=80, deadline=None)
@given(STREAMS, CUTS)
def test_the_output_does_not_depend_on_the_cuts(steps: list[Any], cuts: list[int]) -> None:
    """One step, any cut, or event by event: the same rows, signals, buckets, faults, counters and state."""
    events = stream_of(steps)
    outputs = []
    for chosen in ([], cuts, list(range(len(events)))):
        fold = Fold(desks())
        output = plain(folded(fold, events, chosen))
        outputs.append((output, fold.digest(), fold.counters))
    assert outputs[0] == outputs[1] == outputs[2]


@settings(max_examples=40, deadline=None)
@given(STREAMS, CUTS, st.integers(0, 10_000))
def test_a_desk_that_raises_is_left_out_from_that_row_on(steps: list[Any], cuts: list[int], limit: int) -> None:
    """Its rows before count, the others go on, the fault is reported once: however the stream is cut."""
    events = stream_of(steps)
    outputs = []
    for chosen in ([], cuts, list(range(len(events)))):
        fold = Fold(desks(fails=lambda one: one.type == PAY and one.data["amount"] >= limit))
        output = folded(fold, events, chosen)
        outputs.append((plain(output), fold.digest()))
        assert sum(fault.desk == "second" for fault in output.faults) <= 1
    assert outputs[0] == outputs[1] == outputs[2]


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.randoms(use_true_random=False))
def test_rows_of_other_keys_may_be_permuted(steps: list[Any], random: Any) -> None:
    """Events of one instant that share no key give the same answers in any order."""
    cards = "abcdefgh"
    payments = [(data, number) for number, (_, _, _, (kind, data)) in enumerate(steps) if kind == PAY][: len(cards)]
    rows = [{**data, "card": card} for (data, _), card in zip(payments, cards, strict=False)]
    before = [event(i, PAY, 0, card=card, amount=5) for i, card in enumerate(cards * 3, 1)]

    def answers(order: list[dict[str, Any]]) -> dict[str, str]:
        fold = Fold(desks())
        fold.step(before)
        events = [event(100 + i, PAY, SECOND, **data) for i, data in enumerate(order)]
        return {order[row.index]["card"]: repr(row.__replace__(index=0)) for row in fold.step(events).rows}

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert answers(rows) == answers(shuffled)


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 100), max_size=10))
def test_events_that_nobody_reads_change_nothing(steps: list[Any], places: list[int]) -> None:
    """Padding with other types: the same rows for the same events, the same signals and buckets."""
    events = stream_of(steps)
    padded = list(events)
    for place in places:
        at = place % (len(padded) + 1)
        near = padded[min(at, len(padded) - 1)] if padded else None
        tau = near.tau if near else T0
        padded.insert(at, Event(id="pad", source="t", type="search.performed", time=tau, tau=tau, data={"query": "x"}))
    one, other = folded(Fold(desks()), events), folded(Fold(desks()), padded)
    assert [(events[row.index].id, repr(row.__replace__(index=0))) for row in one.rows] == [
        (padded[row.index].id, repr(row.__replace__(index=0))) for row in other.rows
    ]
    assert (one.signals, one.misses) == (other.signals, other.misses)
    assert plain(one)[2] == plain(other)[2]


def pay(seq: int, tau: int = 0, **data: Any) -> Event:
    return event(seq, PAY, tau, **{"card": "a", "amount": 50, **data})


def test_the_strictest_live_decision_wins_and_shadow_stays_in_shadow() -> None:
    """A live deny over a desk's hold; a shadow challenge shows in ``shadow`` only."""
    fold = Fold([Probe("first", (PAY,), WINDOWS, rules=RULES)])
    rows = fold.step([pay(1), pay(2), pay(3, amount=8900), pay(4, amount=20_000), pay(5, card="b", amount=9001)]).rows
    assert [(row.computed.value, row.shadow.value) for row in rows] == [
        ("allow", "allow"), ("allow", "allow"), ("allow", "allow"), ("deny", "deny"), ("deny", "deny"),
    ]  # fmt: skip
    assert rows[3].rules == ("big", "often")
    assert rows[3].ttl_s == 60
    assert [reason.rule for reason in rows[3].reasons] == ["big"]
    more = fold.step([pay(6, card="c", amount=5000, tau=1) for _ in range(3)]).rows[-1]
    assert (more.computed, more.shadow, more.rules) == (Decision.ALLOW, Decision.CHALLENGE, ("often",))
    assert fold.counters["rule:big"] == 2


def test_the_highest_score_names_desk_model_and_features() -> None:
    """Both desks score by the same window; the first of equals is named, with its own features."""
    row = Fold(desks()).step([pay(1, ip="10.0.0.1")]).rows[0]
    assert (row.desk, row.model, row.score) == ("first", "built-in", 0.01)
    assert row.features == {"n": 1.0, "m": 50.0, "d": 1.0}


def test_features_are_journaled_for_rows_that_are_asked_for() -> None:
    """A row nobody scored comes back when asked for, with None where a feature is missing."""
    fold = Fold(desks())
    output = fold.step([event(1, LOGIN, 0, success=True), event(2, "search.performed", 0)], features_for=[0, 1])
    assert [(row.index, row.score, row.features) for row in output.rows] == [(0, None, {"n": None}), (1, None, {})]


def test_a_rule_that_ends_in_an_error_does_not_fire_and_is_counted() -> None:
    """No card: the look-up is an error by the cause ``missing``."""
    fold = Fold(desks())
    assert fold.step([event(1, PAY, 0, amount=5)]).rows == []
    assert fold.counters["rule_error:listed:missing"] == 1


def test_configuration_takes_effect_at_its_place() -> None:
    """A list entry binds from the event after it until its expiry, inside one step."""
    add = event(2, "tocsin.list", 0, name="bad", value="a", expires=T0 + 10 * SECOND)
    rows = Fold(desks()[:1]).step([pay(1), add, pay(3, SECOND), pay(4, 10 * SECOND)]).rows
    assert [(row.index, row.computed.value) for row in rows] == [
        (0, "allow"),
        (2, "hold"),
        (3, "allow"),
    ]


def test_a_stored_rule_replaces_the_desks_rule_of_its_id_and_a_broken_one_is_reported() -> None:
    """``big`` is switched off; the document without an expression changes nothing else."""
    fold = Fold(desks())
    output = fold.step([event(1, *CONTROLS[3][:1], 0, **CONTROLS[3][1]), pay(2, amount=9500)])
    assert [row.computed for row in output.rows] == [Decision.ALLOW]
    assert [fault.desk for fault in output.faults] == ["rules"]


def test_a_model_in_shadow_decides_only_in_shadow_until_it_is_live() -> None:
    """The model with limit 0 holds everything: first in ``shadow``, then, published, in ``computed``."""
    store = {"d0": b"0"}
    fold = Fold(desks()[:1], load_model=store.__getitem__)
    quiet = event(1, "tocsin.model", 0, desk="first", digest="d0", stage="shadow")
    loud = event(3, "tocsin.model", 0, desk="first", digest="d0", stage="live")
    gone = event(5, "tocsin.model", 0, desk="first", digest="d0", stage="retired")
    rows = fold.step([quiet, pay(2), loud, pay(4, card="b"), gone, pay(6, card="c")]).rows
    assert [(row.computed.value, row.shadow.value, row.model) for row in rows] == [
        ("allow", "hold", "built-in"), ("hold", "hold", "0"), ("allow", "allow", "built-in"),
    ]  # fmt: skip


def test_a_model_that_cannot_be_loaded_changes_nothing_and_is_reported() -> None:
    """Bytes that the desk refuses, and a digest without a store: two faults, the built-in model goes on."""
    fold = Fold(desks()[:1])
    broken = base64.b64encode(b"no number").decode()
    output = fold.step(
        [
            event(1, "tocsin.model", 0, desk="first", digest="d1", stage="live", artefact_b64=broken),
            event(2, "tocsin.model", 0, desk="first", digest="d2", stage="live"),
            pay(3),
        ]
    )
    assert [fault.desk for fault in output.faults] == ["model", "model"]
    assert output.rows[0].model == "built-in"


def test_a_desk_in_shadow_mode_only_advises() -> None:
    """Its hold moves from ``computed`` to ``shadow``; its score stays."""
    fold = Fold(desks()[1:])
    fold.step([event(1, "tocsin.mode", 0, desk="second", mode="shadow"), pay(2)])
    row = fold.step([pay(3)]).rows[0]
    assert (row.computed, row.shadow, row.score) == (Decision.ALLOW, Decision.HOLD, 0.02)


def test_a_signal_is_given_out_once() -> None:
    """The same identity again, in the same step or a later one, is not news."""
    fold = Fold([Probe("p", (PAY,), WINDOWS, limit=0.0)])
    assert len(fold.step([pay(1), pay(2)]).signals) == 1
    assert fold.step([pay(3)]).signals == []


def test_wake_ups_run_between_events_and_while_idle() -> None:
    """A missed deadline comes before the event that follows it, or with ``advance`` when none does."""
    events = [event(1, "order.paid", 0, order="x"), pay(2, 90 * SECOND, amount=1)]
    one = Fold(desks()).step(events)
    fold = Fold(desks())
    fold.step(events[:1])
    idle = fold.advance(T0 + 90 * SECOND)
    assert one.misses == idle.misses == 1
    assert [signal.kind for signal in one.signals] == [signal.kind for signal in idle.signals] == ["missed"]


def test_a_wrong_rule_stops_the_start_and_says_where() -> None:
    """Misconfigured names the rule and points at the column."""
    wrong = Rule(id="w", when="data.amuont > 1", decision=Decision.HOLD, code="w", text=TEXT, desk="first")
    with pytest.raises(Misconfigured, match=r"rule w: line 1, column 6.*did you mean 'amount'"):
        Fold(desks(), rules=[wrong])
    with pytest.raises(Misconfigured, match="no desk 'none'"):
        Fold(desks(), rules=[Rule(id="w", when="true", decision=Decision.HOLD, code="w", text=TEXT, desk="none")])


def test_a_rule_without_a_desk_sees_the_features_of_all() -> None:
    """Stored by a person for logins and payments: the first desk that declares the name gives the feature."""
    rule = Rule(
        id="h", when="features.n > 1.0 && score > 0.0", decision=Decision.CHALLENGE, code="h", text=TEXT, mode=Mode.LIVE
    )
    rows = Fold(desks()[:1], rules=[rule]).step([pay(1), pay(2)]).rows
    assert [(row.computed.value, row.rules, row.desk) for row in rows] == [
        ("allow", (), "first"),
        ("challenge", ("h",), "first"),
    ]

"""The compiled plane gives what the plain one gives: rows, signals and buckets, in any cut and through any lane."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from tocsin.core.desk import Aggregate, Deadline, Measure, Ratio, Rule, Series, Window
from tocsin.core.events import DAY, HOUR, MINUTE, SECOND, Event
from tocsin.core.signal import Decision, Mode
from tocsin.flow.control import CONTROL
from tocsin.flow.fold import Fold
from tocsin.flow.hashing import Hasher
from tocsin.flow.outputs import Folded
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger.blocks import Block

from .stream import T0, TEXT, Probe

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")

PAY, ORDER, LOGIN = ("payment.attempted",), ("order.placed",), ("account.login",)
WINDOWS = (
    Window(name="count", fold=Aggregate.COUNT, by="card", span_s=60, of=PAY),
    Window(name="sum", fold=Aggregate.SUM, by="card", span_s=86_400, of=PAY, field="amount"),
    Window(name="mean", fold=Aggregate.MEAN, by="account", span_s=3600, of=PAY, field="amount"),
    Window(name="std", fold=Aggregate.STD, by="account", span_s=172_800, of=PAY, field="amount"),
    Window(name="ips", fold=Aggregate.DISTINCT, by="card", span_s=600, of=PAY, field="ip"),
    Window(name="many_ips", fold=Aggregate.DISTINCT, by="account", span_s=7 * 86_400, of=PAY, field="ip"),
    Window(name="gap", fold=Aggregate.RECENCY, by="card", span_s=3600, of=PAY),
    Window(name="large", fold=Aggregate.COUNT, by="card", span_s=600, of=PAY, where="data.amount > 5000"),
    Window(name="matured", fold=Aggregate.COUNT, by="account", span_s=3600, delay_s=1800, of=PAY),
    Window(name="failed", fold=Aggregate.COUNT, by="account", span_s=300, of=LOGIN, where="!data.success"),
    Window(name="sold", fold=Aggregate.SUM, by="sku", span_s=3600, of=ORDER, field="quantity", each=True),
)
RATIO = Ratio(name="share", over="count", under="large")
SERIES = (
    Series(name="paid", measure=Measure.SUM, of=PAY, field="amount", by="gateway", bucket_s=60, keep=50),
    Series(name="wrong", measure=Measure.RATIO, of=LOGIN, hit="!data.success", bucket_s=10, keep=200),
    Series(name="slow", measure=Measure.QUANTILE, of=PAY, field="amount", bucket_s=60, keep=50),
    Series(name="people", measure=Measure.DISTINCT, of=PAY, field="account", bucket_s=60, keep=50),
)
DUE = (Deadline(name="ship", key="order", after=("order.paid",), must=("order.shipped",), within_s=90),)
RULES = (
    Rule(id="big", when="data.amount > 9000", decision=Decision.DENY, code="b", on=PAY, text=TEXT, mode=Mode.LIVE),
    Rule(id="often", when="features.count > 2.0 && features.mean > 4000.0", decision=Decision.HOLD, code="o", on=PAY,
         text=TEXT),
    Rule(id="listed", when="in_list('bad', data.ip)", decision=Decision.HOLD, code="l", text=TEXT, mode=Mode.LIVE),
)  # fmt: skip
HASHER = Hasher(bytes(range(16)))
GAPS = (0, 0, 0, 1, SECOND, 7 * SECOND, 58 * SECOND, MINUTE, 62 * SECOND, HOUR, 5 * HOUR, DAY)
LATE = (0, 0, 0, SECOND, 30 * SECOND, 4 * MINUTE, 20 * MINUTE)


def desks() -> list[Any]:
    """Two desks over the same stream, one with everything that can be declared."""
    return [
        Probe("first", (*PAY, *ORDER), (*WINDOWS, RATIO), SERIES, DUE, RULES, limit=4.0),
        Probe("second", (*PAY, *LOGIN), (WINDOWS[9], WINDOWS[0]), SERIES[:1], limit=1.0),
    ]


def stream(rng: random.Random, n: int) -> list[Event]:
    """Return a stamped stream: two shops, two currencies, missing fields, late events, pauses up to a day."""
    tau, found = 0, []
    for seq in range(1, n + 1):
        tau += rng.choice(GAPS) if rng.random() < 0.5 else rng.randrange(3) * SECOND
        kind = rng.choice([*PAY * 5, *ORDER, *LOGIN, "order.paid", "order.shipped", "session.viewed", "tocsin.list"])
        data: dict[str, Any] = {"ip": f"10.0.0.{rng.randrange(9)}"}
        if kind in PAY:
            data |= {"card": rng.choice("abc"), "account": rng.choice("xyz"), "gateway": rng.choice("gh")}
            data |= {"amount": rng.randrange(1, 10_000), "currency": rng.choice(["CNY", "CNY", "EUR"])}
            data.pop(rng.choice(["card", "amount", "ip", "account", "currency", "none", "none", "none"]), None)
        elif kind == "order.placed":
            skus = [rng.choice("pqr") for _ in range(rng.randrange(4))]
            data |= {"order": rng.choice("12"), "items": [{"sku": sku, "quantity": 2, "price": 5} for sku in skus]}
        elif kind in LOGIN:
            data |= {"account": rng.choice("xyz"), "success": rng.random() < 0.5}
        elif kind.startswith("order"):
            data = {"order": rng.choice("12345")}
        elif kind == "tocsin.list":
            data = {"name": "bad", "value": f"10.0.0.{rng.randrange(9)}", "op": rng.choice(["add", "remove"])}
        when = T0 + tau - rng.choice(LATE)
        found.append(
            Event(
                id=f"e{seq}", source="t", type=kind, time=when, tau=T0 + tau, seq=seq, shop=rng.choice("st"), data=data
            )
        )
    return found


class Output:
    """All that came out, in a form that does not show how it was asked for."""

    def __init__(self) -> None:
        self.rows: dict[int, Any] = {}
        self.signals: list[Any] = []
        self.buckets: list[Any] = []
        self.misses = 0

    def take(self, folded: Folded, seqs: list[int]) -> None:
        for row in folded.rows:
            body = msgspec.structs.replace(row, index=0)
            self.rows[seqs[row.index]] = repr(body)
        for one in folded.scored:
            for at, index in enumerate(one.index.tolist()):
                values = {
                    name: None if np.isnan(value) else value
                    for name, value in zip(one.names, one.features[at].tolist(), strict=True)
                }
                found = (one.desk, one.model, float(one.scores[at]), values)
                self.rows[seqs[index]] = f"scored {found!r}"
        self.signals += folded.signals
        self.buckets += [
            (b.series.name, b.shop, b.currency, b.key, b.start, b.tau, repr(b.value), b.n, repr(b.history.tolist()))
            for b in folded.buckets
        ]
        self.misses += folded.misses
        assert not folded.faults


def plainly(rows: dict[int, Any], folded: Folded, seqs: list[int]) -> None:
    """Write rows that were scored and allowed as the bulk lane gives them."""
    for row in folded.rows:
        if row.shadow is Decision.ALLOW and row.score is not None:
            rows[seqs[row.index]] = f"scored {(row.desk, row.model, row.score, dict(row.features))!r}"


def by_steps(fold: Fold, events: list[Event]) -> Output:
    """Fold the stream event by event."""
    output = Output()
    for event in events:
        folded = fold.step([event])
        output.take(folded, [event.seq])
        plainly(output.rows, folded, [event.seq])
    return output


def by_lanes(fold: Fold, events: list[Event], rng: random.Random) -> Output:
    """Fold it in random cuts, each through the lane of single events, of bulk rows, or of lines of the journal."""
    from tocsin.runtime.reading import Reader

    output, reader, at = Output(), Reader(fold.engine, "s"), 0
    while at < len(events):
        stop = min(len(events), at + rng.choice([1, 2, 7, 30]))
        part, lane = events[at:stop], rng.choice(["single", "bulk", "lines"])
        seqs = [event.seq for event in part]
        if lane == "single" or any(event.type in CONTROL for event in part):
            folded = fold.step(part)
            output.take(folded, seqs)
            plainly(output.rows, folded, seqs)
        elif lane == "bulk":
            output.take(fold.step_bulk(fold.engine.batch(part)), seqs)
        else:
            lines = b"\n".join(msgspec.json.encode(event) for event in part)
            taus = np.array([event.tau for event in part], np.int64)
            for rows in reader.rows(Block(part[0].seq, taus, lines)):
                output.take(fold.step_bulk(rows), rows.seqs.tolist())
        at = stop
    return output


def check(seed: int, n: int) -> None:
    rng = random.Random(seed)
    events = stream(rng, n)
    plain = Fold(desks(), hasher=HASHER, wide=False)
    wide = Fold(desks(), hasher=HASHER, wide=True)
    expected, found = by_steps(plain, events), by_lanes(wide, events, rng)
    assert n < 60 or (expected.rows and expected.signals and expected.buckets), "the stream shows nothing"
    assert found.signals == expected.signals
    assert found.buckets == expected.buckets
    assert found.misses == expected.misses
    assert found.rows == expected.rows
    assert wide.counters == plain.counters
    assert wide.lists.canonical(wide.tau) == plain.lists.canonical(plain.tau)
    assert wide.deadlines.canonical() == plain.deadlines.canonical()
    assert sorted(wide.told.items()) == sorted(plain.told.items())


@pytest.mark.parametrize("seed", range(12))
def test_both_engines_give_the_same_in_any_cut_and_lane(seed: int) -> None:
    """A sample of random streams, 60 to 200 events each."""
    check(seed, 60 + 12 * seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_both_engines_give_the_same_on_a_thousand_streams(block: int) -> None:
    """1,000 random streams."""
    for seed in range(1000 + 50 * block, 1050 + 50 * block):
        check(seed, 20 + seed % 180)

"""The views: numbers that can be counted by hand, in bounded memory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.desk import Bucket, Measure, Series
from tocsin.core.events import MINUTE, SECOND, Event
from tocsin.core.incident import Incident, Phase, Severity
from tocsin.core.signal import Decision, Text, Verdict
from tocsin.ledger.lines import Line, LineStore, Ring
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.views import Views

START = 1_000_000 * MINUTE


@dataclass
class Step:
    buckets: list[Bucket] = field(default_factory=list)


def event(kind: str, tau: int, **data: Any) -> Event:
    return Event(id="e", source="s", type=kind, time=tau, tau=tau, data=data)


def bucket(start: int, value: float, *, key: str = "", shop: str = "s", name: str = "logins", n: int = 1) -> Bucket:
    series = Series(name=name, measure=Measure.COUNT, of=("account.login",), bucket_s=60)
    none = np.empty(0)
    return Bucket(
        series=series, key=key, shop=shop, start=start, tau=start, value=value, n=n, history=none, history_n=none
    )


def verdict(tau: int, served: Decision) -> Verdict:
    return Verdict(
        id="v",
        event_id="e",
        event_source="s",
        event_type="t",
        shop="s",
        subject="",
        time=tau,
        tau=tau,
        computed=Decision.DENY,
        served=served,
    )


def test_the_overview_counts_events_money_and_verdicts() -> None:
    views = Views(MemoryRecords())
    views.note([event("http.request", START + s * SECOND) for s in range(60) for _ in range(3)])
    views.note(
        [
            event("order.placed", START + 60 * SECOND, amount=500, currency="CNY"),
            event("order.placed", START + 61 * SECOND, amount=700),
            event("order.placed", START + 61 * SECOND, amount=900, currency="USD"),
            event("never.heard.of", START + 62 * SECOND),
            event("tocsin.signal", START + 65 * SECOND),
        ],
        Step(),
        [
            verdict(START, Decision.ALLOW),
            verdict(START + MINUTE, Decision.HOLD),
            verdict(START - 59 * MINUTE, Decision.DENY),
        ],
    )
    views.note_verdicts([verdict(START - 61 * MINUTE, Decision.DENY)])
    seen = views.overview(START + 62 * SECOND)
    assert seen["rates"]["events_per_s"] == (8 * 3 + 1 + 2) / 10
    assert seen["money"] == {"CNY": 1200, "USD": 900}
    assert (seen["money_per_minute"], seen["currency"]) == (1200, "CNY")
    assert seen["verdicts"] == {"allow": 1, "challenge": 0, "hold": 1, "deny": 0}
    assert seen["counters"] == {
        "events.http.request": 180,
        "events.order.placed": 3,
        "events.other": 1,
        "events.tocsin.signal": 1,
    }
    assert seen["last_event"] == START + 62 * SECOND


def test_what_was_paid_counts_where_payments_are_reported() -> None:
    views = Views(MemoryRecords())
    views.note([event("order.placed", START, amount=500), event("order.paid", START, amount=450)])
    assert views.overview(START)["money_per_minute"] == 450
    assert views.overview(START + 60 * SECOND)["money_per_minute"] == 0


def test_a_broken_amount_is_no_money() -> None:
    views = Views(MemoryRecords())
    views.note(
        [event("order.paid", START, amount=True), event("order.paid", START, amount="5"), event("order.paid", START)]
    )
    assert views.overview(START)["money"] == {}


def test_only_closed_minutes_are_drawn() -> None:
    views = Views(MemoryRecords())
    views.note([event("http.request", START + s * SECOND) for s in range(0, 150, 10)])
    points = views.series("events_per_minute")
    assert points == [{"start": START, "value": 6.0, "n": 6}, {"start": START + MINUTE, "value": 6.0, "n": 6}]
    assert views.series("events_per_minute", start=START + 1) == points[1:]
    assert views.series("money_per_minute", "CNY") == []


def test_buckets_become_points_and_a_revision_replaces_one() -> None:
    views = Views(MemoryRecords())
    views.note([], Step([bucket(START, 5.0), bucket(START + MINUTE, math.nan, n=0), bucket(START, 9.0, key="k")]))
    views.note([], Step([bucket(START, 6.0, n=2), bucket(START, 1.0, shop="t")]))
    assert views.series("logins") == [
        {"start": START, "value": 6.0, "n": 2},
        {"start": START + MINUTE, "value": None, "n": 0},
    ]
    assert views.series("logins", "k")[0]["value"] == 9.0
    assert views.series("logins", shop="t")[0]["value"] == 1.0
    assert views.series("logins", "nothing") == []
    assert {"name": "logins", "key": "k", "shop": "s"} in views.series_names()
    assert views.series("logins", limit=1)[0]["start"] == START + MINUTE
    assert views.series("logins", end=START + MINUTE)[0]["start"] == START


def test_open_incidents_are_counted_by_severity() -> None:
    records = MemoryRecords()
    for n, (severity, phase) in enumerate(
        [(Severity.P1, Phase.OPEN), (Severity.P1, Phase.RESOLVED), (Severity.P3, Phase.MONITORING)]
    ):
        records.table(Incident).put(
            Incident(
                id=str(n),
                shop="s",
                kind="k",
                title=Text("t", "t"),
                subject="",
                severity=severity,
                phase=phase,
                onset=0,
                opened=0,
                updated=0,
            )
        )
    assert Views(records).overview(START)["open_incidents"] == {"P1": 1, "P2": 0, "P3": 1, "P4": 0, "total": 2}


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(["order.paid", "http.request", "tocsin.x"]))), st.data())
def test_the_cut_into_batches_makes_no_difference(stream: list[tuple[int, str]], data: st.DataObject) -> None:
    events = [event(kind, START + second * SECOND, amount=second) for second, kind in sorted(stream)]
    whole, cut = Views(MemoryRecords()), Views(MemoryRecords())
    whole.note(events)
    place = 0
    while place < len(events):
        size = data.draw(st.integers(1, 20))
        cut.note(events[place : place + size])
        place += size
    now = START + 310 * SECOND
    assert whole.overview(now) == cut.overview(now)
    assert whole.series("events_per_minute") == cut.series("events_per_minute")


def test_an_event_costs_a_few_microseconds() -> None:
    views = Views(MemoryRecords())
    batch = [event("order.paid" if n % 4 == 0 else "http.request", START + n * 1000, amount=n) for n in range(20_000)]
    best = math.inf
    for _ in range(5):
        before = time.perf_counter()
        views.note(batch)
        best = min(best, time.perf_counter() - before)
    # 3 us on a quiet machine; the bound leaves room for a busy one.
    assert best / len(batch) < 10e-6


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=60), st.integers(1, 10))
def test_a_ring_adds_exactly_within_what_it_keeps(added: list[tuple[int, int]], keep: int) -> None:
    ring, newest, kept = Ring(keep), 0, list[tuple[int, int]]()
    for place, amount in added:
        newest = max(newest, place)
        if place > newest - keep:
            kept.append((place, amount))
        ring.add(place, amount)
    inside = [(place, amount) for place, amount in kept if place > newest - keep]
    assert ring.total(newest - keep + 1, newest + 1) == sum(amount for _, amount in inside)
    assert sum(amount for _, amount in ring.points()) == sum(amount for _, amount in inside)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 9)), max_size=80), st.integers(8, 16))
def test_a_line_is_the_last_points_in_order(put: list[tuple[int, float]], keep: int) -> None:
    line, size = Line(keep), 0
    for start, value in put:
        size += line.put(start, value, 1)
    starts = [point["start"] for point in line.between(0, None, 1000)]
    assert starts == sorted(set(starts))
    assert size == len(starts) <= keep + keep // 8
    assert starts[-3:] == sorted({start for start, _ in put})[-3:]


def test_the_store_drops_the_line_that_is_silent_longest() -> None:
    store = LineStore(30)
    for start in range(10):
        store.put("old", "", "s", 100, start, 1.0, 1)
    for start in range(100, 125):
        store.put("new", "", "s", 100, start, 1.0, 1)
    assert store.names() == [("new", "", "s")]

"""Series: buckets of event time, closed by tau, with numbers that can be checked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tocsin.core.desk import Bucket, Measure, Series
from tocsin.core.events import MINUTE, SECOND, Event
from tocsin.errors import Misconfigured
from tocsin.flow.fold import Fold

from .stream import T0, Probe, event, folded

PAY = "payment.attempted"
START = -T0 % MINUTE
"""The first whole minute after T0."""


def series(measure: Measure = Measure.COUNT, **more: Any) -> Series:
    return Series(name=str(measure), measure=measure, of=(PAY,), bucket_s=60, **more)


def closed(one: Series, *events: Event, until: int = 0) -> list[Bucket]:
    fold = Fold([Probe(series=(one,))])
    output = folded(fold, events)
    return [*output.buckets, *fold.advance(T0 + START + until).buckets]


def at(seconds: float, seq: int = 1, *, tau: float | None = None, **data: Any) -> Event:
    own = START + int(seconds * SECOND)
    return event(seq, PAY, own if tau is None else START + int(tau * SECOND), time=own, **data)


def test_a_bucket_closes_exactly_at_its_end_plus_grace() -> None:
    """Minute 0 with 2 s of grace closes at second 62, not a microsecond before."""
    assert closed(series(), at(5), until=62 * SECOND - 1) == []
    (bucket,) = closed(series(), at(5), at(59, 2), until=62 * SECOND)
    assert (bucket.value, bucket.n, bucket.start, bucket.tau) == (2.0, 2, T0 + START, T0 + START + 62 * SECOND)


def test_an_event_at_the_due_instant_comes_after_the_closing() -> None:
    """Due wake-ups run before the event: one stamped 62.0 s with time 59 s is late, and revises."""
    fold = Fold([Probe(series=(series(),))])
    output = folded(fold, [at(5), at(59, 2, tau=62)])
    assert [bucket.value for bucket in output.buckets] == [1.0]
    assert fold.counters["revised"] == 1
    (second,) = fold.advance(T0 + START + 122 * SECOND).buckets
    assert second.history.tolist() == [2.0]


def test_a_history_that_was_given_out_never_changes() -> None:
    """A late event revises the next history, not the arrays that desks and views already hold."""
    fold = Fold([Probe(series=(series(),))])
    (first,) = folded(fold, [at(5), at(65, 2), at(125, 3)]).buckets[1:]
    before = first.history.tolist()
    folded(fold, [at(6, 4, tau=126)])
    assert first.history.tolist() == before == [1.0]
    assert not first.history.flags.writeable
    assert fold.advance(T0 + START + 182 * SECOND).buckets[0].history.tolist() == [2.0, 1.0]


def test_an_event_over_five_minutes_late_is_only_counted() -> None:
    """Seven minutes after its bucket ended nothing is revised."""
    fold = Fold([Probe(series=(series(),))])
    folded(fold, [at(5), at(500, 2), at(10, 3, tau=501)])
    assert fold.counters["late"] == 1
    assert fold.advance(T0 + START + 542 * SECOND).buckets[0].history.tolist()[0] == 1.0


def test_empty_buckets_close_too() -> None:
    """Counts are 0, a ratio of nothing is missing."""
    counts = closed(series(), at(5), at(185, 2), until=242 * SECOND)
    assert [bucket.value for bucket in counts] == [1.0, 0.0, 0.0, 1.0]
    assert counts[-1].history.tolist() == [1.0, 0.0, 0.0]
    shares = closed(
        series(Measure.RATIO, hit='data.status == "declined"'), at(5, status="declined"), until=122 * SECOND
    )
    assert shares[0].value == 1.0
    assert math.isnan(shares[1].value)


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (series(Measure.SUM, field="duration_ms"), 1000.0),
        (series(Measure.MEAN, field="duration_ms"), 250.0),
        (series(Measure.QUANTILE, field="duration_ms", quantile=0.5), 200.0),
        (series(Measure.QUANTILE, field="duration_ms", quantile=0.99), 400.0),
        (series(Measure.DISTINCT, field="ip"), 2.0),
        (series(Measure.RATIO, hit="data.duration_ms > 150"), 0.75),
        (series(where="data.duration_ms > 150"), 3.0),
    ],
)
def test_measures_by_hand(one: Series, value: float) -> None:
    """Durations 100, 200, 300, 400 from two addresses."""
    events = [at(i, i, duration_ms=100 * i, ip=f"10.0.0.{i % 2}") for i in range(1, 5)]
    assert closed(one, *events, until=62 * SECOND)[0].value == value


def test_a_series_splits_by_key_shop_and_currency() -> None:
    """Money is never added across currencies; lines close in the order of shop, currency, key."""
    one = series(Measure.SUM, field="amount", by="gateway")
    events = [
        at(1, 1, gateway="b", amount=100),
        at(2, 2, gateway="a", amount=10, currency="EUR"),
        at(3, 3, gateway="a", amount=1),
        event(4, PAY, START + 4 * SECOND, shop="r", gateway="a", amount=7),
        at(5, 5, amount=1000),
    ]
    found = [(b.shop, b.currency, b.key, b.value) for b in closed(one, *events, until=62 * SECOND)]
    assert found == [("r", "CNY", "a", 7.0), ("s", "CNY", "a", 1.0), ("s", "CNY", "b", 100.0), ("s", "EUR", "a", 10.0)]


def test_a_key_silent_for_keep_buckets_is_dropped() -> None:
    """keep = 3: after three empty minutes the line is gone, and a new event begins a new history."""
    one = series(by="gateway", keep=3)
    buckets = closed(one, at(5, gateway="a"), at(605, 2, gateway="a"), until=662 * SECOND)
    assert [bucket.value for bucket in buckets] == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert buckets[-1].history.tolist() == []


def test_history_holds_at_most_keep_buckets_without_gaps() -> None:
    """keep = 100 over 300 minutes: the last hundred values, oldest first."""
    events = [at(60 * i + 1, i) for i in range(300) for _ in range(1 + i % 3)]
    buckets = closed(series(keep=100), *events)
    assert buckets[-1].history.tolist() == [1.0 + i % 3 for i in range(197, 297)]


def test_a_campaign_gives_its_factor_at_the_start_of_the_bucket() -> None:
    """Twice the orders from minute 1 on, twenty times in its opening minute."""
    plan = event(
        1, "campaign.planned", START, campaign="c", start=T0 + START + MINUTE, end=T0 + START + 4 * MINUTE,
        uplift=2.0, peak=20.0, peak_minutes=1,
    )  # fmt: skip
    buckets = closed(series(), plan, at(1, 2), until=302 * SECOND)
    assert [bucket.factor for bucket in buckets] == [1.0, 20.0, 2.0, 2.0, 1.0]
    assert buckets[1].campaign is not None
    assert buckets[1].campaign.id == "c"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (series(Measure.SUM), "needs a field"),
        (series(Measure.RATIO), "'hit'"),
        (series(where="data.amuont > 1"), "did you mean"),
        (series(keep=0), "keep"),
    ],
)
def test_a_wrong_series_says_what_to_change(wrong: Series, says: str) -> None:
    """Misconfigured names the fault."""
    with pytest.raises(Misconfigured, match=says):
        Fold([Probe(series=(wrong,))])

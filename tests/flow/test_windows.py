"""Windows: against a list scan on random streams, and the bounds that can be checked by hand."""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.desk import Aggregate, Ratio, Window
from tocsin.core.events import HOUR, SECOND, Event
from tocsin.errors import Misconfigured
from tocsin.flow.batch import PlainBatch
from tocsin.flow.moments import Moments
from tocsin.flow.windows import Windows, shard_of

from .naive import naive
from .stream import T0, event

PAY, ORDER, LABEL = "payment.attempted", "order.placed", "label.given"
DAY_S = 86_400


def window(fold: Aggregate, span_s: int, **more: Any) -> Window:
    values: dict[str, Any] = {"by": "card", "of": (PAY,), **more}
    name = f"{fold}-{span_s}-{'-'.join(map(str, more.values()))}"
    return Window(name=name, fold=fold, span_s=span_s, **values)


A = Aggregate
DECLARED = (
    window(A.COUNT, 60),
    window(A.COUNT, 3600),
    window(A.COUNT, DAY_S),
    window(A.COUNT, 7 * DAY_S),
    window(A.COUNT, DAY_S, delay_s=7 * DAY_S),
    window(A.COUNT, 3600, delay_s=600),
    window(A.COUNT, DAY_S, where='data.status == "declined"'),
    window(A.COUNT, DAY_S, of=(PAY, LABEL)),
    window(A.SUM, 3600, field="amount"),
    window(A.SUM, 7 * DAY_S, field="amount", by="ip"),
    window(A.MEAN, DAY_S, field="amount"),
    window(A.MEAN, DAY_S, field="duration_ms", delay_s=3600),
    window(A.STD, 30 * DAY_S, field="duration_ms"),
    window(A.STD, 600, field="amount"),
    window(A.DISTINCT, 3600, field="ip"),
    window(A.DISTINCT, DAY_S, field="ip"),
    window(A.DISTINCT, 1200, field="ip", delay_s=60),
    window(A.DISTINCT, 2 * DAY_S, field="ip", delay_s=DAY_S),
    window(A.RECENCY, 3600),
    window(A.RECENCY, DAY_S),
    window(A.RECENCY, DAY_S, delay_s=3600),
    window(A.SUM, DAY_S, field="quantity", by="items.sku", of=(ORDER,), each=True),
    window(A.SUM, 600, field="price", by="card", of=(ORDER,), each=True, where="item.quantity > 1"),
    window(A.RECENCY, DAY_S, by="items.sku", of=(ORDER,), each=True),
)
FILTERS: dict[str, Any] = {
    "": lambda source, data: True,
    'data.status == "declined"': lambda source, data: data.get("status") == "declined",
    "item.quantity > 1": lambda source, data: source.get("quantity", 0) > 1,
}
READS = (PAY, ORDER, LABEL, "metric.sampled")
ITEM = st.fixed_dictionaries(
    {"sku": st.sampled_from("xyz")}, optional={"quantity": st.integers(1, 3), "price": st.integers(1, 500)}
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "card": st.sampled_from("ab"),
        "ip": st.sampled_from("pqr"),
        "amount": st.integers(0, 10_000),
        "currency": st.sampled_from(["CNY", "EUR"]),
        "duration_ms": st.integers(0, 900),
        "status": st.sampled_from(["declined", "succeeded"]),
        "items": st.lists(ITEM, max_size=3),
    },
)
STEPS = st.sampled_from(
    [0, 0, 1, SECOND, 59 * SECOND, 60 * SECOND, 600 * SECOND, HOUR - 1, HOUR, HOUR + 1, 7 * HOUR, 24 * HOUR, 169 * HOUR]
)
STREAMS = st.lists(
    st.tuples(STEPS, st.sampled_from([PAY, PAY, ORDER, LABEL]), st.sampled_from("st"), DATA), max_size=30
)
EPOCH_ALIGNED = -T0 + (T0 // (7 * 24 * HOUR)) * (7 * 24 * HOUR)


def stream_of(steps: list[Any]) -> list[Event]:
    tau, events = EPOCH_ALIGNED, []
    for seq, (gap, kind, shop, data) in enumerate(steps, 1):
        tau += gap
        events.append(event(seq, kind, tau, shop=shop, **data))
    return events


def declared(windows: tuple[Any, ...] = DECLARED) -> Windows:
    found = Windows()
    found.declare(windows, READS)
    return found


def stepped(windows: Windows, events: list[Event], cuts: list[int]) -> np.ndarray:
    edges = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    parts = [np.column_stack(windows.step(PlainBatch(events[a:b]))) for a, b in itertools.pairwise(edges)]
    return np.vstack(parts) if parts else np.empty((0, len(windows.windows)))


@settings(max_examples=60, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 100), max_size=4))
def test_every_window_equals_a_scan_of_the_list(steps: list[Any], cuts: list[int]) -> None:
    """However the stream is cut: each value is what its definition says, missing where it says so."""
    events = stream_of(steps)
    values = stepped(declared(), events, cuts)
    for row in range(len(events)):
        for place, one in enumerate(DECLARED):
            want = naive(one, events, row, FILTERS[one.where])
            got = values[row, place]
            if want is None:
                assert math.isnan(got), (one.name, row)
            else:
                assert got == pytest.approx(want, rel=1e-9, abs=1e-6), (one.name, row)


@settings(max_examples=40, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 100), max_size=3), st.integers(0, 30))
def test_state_splits_by_shard_and_merges(steps: list[Any], cuts: list[int], at: int) -> None:
    """Split in the middle, fold the parts, merge: the same state, and each value is known by exactly its shard."""
    events = stream_of(steps)
    one = tuple(w for w in DECLARED if not w.by.startswith("items."))
    whole, early = declared(one), declared(one)
    expected = stepped(whole, events, cuts)
    stepped(early, events[:at], [])
    groups = [frozenset(s for s in range(256) if s % 3 == part) for part in range(3)]
    parts = early.split(groups)
    values = [stepped(part, events[at:], []) for part in parts]
    merged = Windows.merge(parts)
    assert merged.digest() == whole.digest()
    if events[at:]:
        known = np.stack(values)
        assert (np.isfinite(known).sum(axis=0) <= 1).all()
        assert np.array_equal(np.nan_to_num(known, nan=0.0).sum(axis=0), np.nan_to_num(expected[at:], nan=0.0))
    assert stepped(merged, events[:0], []).size == 0


def test_a_shard_is_a_stable_hash() -> None:
    """The shard of a key is a constant of the format: clusters depend on it."""
    assert (shard_of("card", "a"), shard_of("ip", "a")) == (shard_of("card", "a"), shard_of("ip", "a"))
    assert len({shard_of("card", str(key)) for key in range(5000)}) == 256


def last(windows: tuple[Any, ...], *events: Event) -> list[float]:
    return [float(column[-1]) for column in declared(windows).step(PlainBatch(events))]


def test_an_exact_window_is_open_at_its_start() -> None:
    """(t - w, t]: an event exactly one hour old is out, one a microsecond younger is in."""
    assert last((window(A.COUNT, 3600),), event(1, PAY, 0, card="a"), event(2, PAY, HOUR, card="a")) == [1.0]
    assert last((window(A.COUNT, 3600),), event(1, PAY, 1, card="a"), event(2, PAY, HOUR, card="a")) == [2.0]


def test_a_long_window_lets_its_oldest_hop_go_whole() -> None:
    """24 hours are the hours K-23..K: at 23:00 of the day after, all of the hour 23:00 is gone."""
    start = -T0 % (24 * HOUR)
    first = [event(1, PAY, start, card="a"), event(2, PAY, start + HOUR - 1, card="a")]
    assert last((window(A.COUNT, DAY_S),), *first, event(3, PAY, start + 24 * HOUR - 1, card="a")) == [3.0]
    assert last((window(A.COUNT, DAY_S),), *first, event(3, PAY, start + 24 * HOUR, card="a")) == [1.0]


def test_equal_instants_count_in_the_order_of_their_seq() -> None:
    """Of two events at one instant the first sees one, the second two."""
    columns = declared((window(A.COUNT, 60),)).step(
        PlainBatch([event(1, PAY, 0, card="a"), event(2, PAY, 0, card="a")])
    )
    assert columns[0].tolist() == [1.0, 2.0]


def test_a_ratio_is_missing_over_zero() -> None:
    """2 declined of 4 payments is 0.5; without payments there is no share."""
    over, under = window(A.COUNT, 60, where='data.status == "declined"'), window(A.COUNT, 60)
    ratio = Ratio(name="share", over=over.name, under=under.name)
    windows = declared((over, under, ratio))
    events = [event(i, PAY, 0, card="a", status="declined" if i % 2 else "succeeded") for i in range(4)]
    events.append(event(5, LABEL, 61 * SECOND, card="a"))
    table = windows.table((over, under, ratio), windows.step(PlainBatch(events)), len(events))
    assert table["share"].values[3] == 0.5
    assert not table["share"].present[4]


def test_distinct_is_exact_to_256_and_within_20_percent_beyond() -> None:
    """The sketch of a day: 256 addresses are 256, 10,000 are between 8,000 and 12,000."""
    windows = declared((window(A.DISTINCT, DAY_S, field="ip"),))
    events = [event(i, PAY, i * SECOND, card="a", ip=f"10.0.{i // 256}.{i % 256}") for i in range(10_000)]
    column = windows.step(PlainBatch(events))[0]
    assert column[:256].tolist() == list(range(1, 257))
    assert 8_000 < column[-1] < 12_000
    assert sum(len(cell.hops) for cell in windows.stores[0].cells["s"].values()) <= 8 * 256


def test_a_new_window_is_missing_until_it_is_warm_and_others_keep_their_state() -> None:
    """Declared at 10:00, an hour's count is missing at 10:30 and known at 11:30; the minute's count never stops."""
    windows = declared((window(A.COUNT, 60),))
    windows.step(PlainBatch([event(1, PAY, 0, card="a")]))
    windows.declare((window(A.COUNT, 60), window(A.COUNT, 3600)), READS)
    columns = windows.step(PlainBatch([event(2, PAY, 30 * SECOND, card="a"), event(3, PAY, HOUR + SECOND, card="a")]))
    assert columns[0].tolist() == [2.0, 1.0]
    assert math.isnan(columns[1][0])
    assert columns[1][1] == 2.0


def test_idle_keys_are_dropped() -> None:
    """10,000 cards seen once leave no state once their windows have passed and others come."""
    windows = declared((window(A.COUNT, 60), window(A.DISTINCT, 60, field="ip"), window(A.RECENCY, 60)))
    windows.step(PlainBatch([event(i, PAY, 0, card=f"c{i}", ip="p") for i in range(10_000)]))
    for seq in range(20):
        windows.step(PlainBatch([event(seq, PAY, HOUR + seq, card="z", ip="p") for _ in range(1024)]))
    assert all(len(store.cells["s"]) == 1 for store in windows.stores)


def test_numbers_are_summed_in_fixed_point() -> None:
    """0.1 ten times is exactly 1.0, whatever the order."""
    one = Window(name="s", fold=A.SUM, by="service", span_s=60, of=("metric.sampled",), field="value")
    assert last((one,), *(event(i, "metric.sampled", i, service="a", value=0.1) for i in range(10))) == [1.0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (window(A.COUNT, 0), "span_s"),
        (window(A.COUNT, 3601), "24 hops"),
        (window(A.SUM, 60), "needs a field"),
        (window(A.COUNT, 60, field="amount"), "takes no field"),
        (window(A.SUM, 60, field="status"), "not a number"),
        (window(A.COUNT, 60, by="items.sku"), "each=True"),
        (window(A.COUNT, 60, where="item.quantity > 1"), "unknown name 'item'"),
        (window(A.COUNT, 60, where="data.amuont > 1"), "did you mean 'amount'"),
    ],
)
def test_a_wrong_declaration_says_what_to_change(wrong: Window, says: str) -> None:
    """Misconfigured names the window's fault."""
    with pytest.raises(Misconfigured, match=says):
        declared((wrong,))


def test_long_logs_are_trimmed_and_stay_exact() -> None:
    """3,000 payments of two cards over weeks: every 37th reading equals the scan, and the logs stay short."""
    random = Random(5)
    tau, events = EPOCH_ALIGNED, []
    for seq in range(3000):
        tau += random.choice([0, SECOND, 40 * SECOND, 11 * 60 * SECOND, 3 * HOUR // 2])
        data = {"card": random.choice("ab"), "amount": random.randrange(900), "duration_ms": random.randrange(50)}
        events.append(event(seq, PAY, tau, currency=random.choice(["CNY", "CNY", "EUR"]), **data))
    some = tuple(w for w in DECLARED if w.by == "card" and w.of == (PAY,) and w.field != "ip" and not w.where)
    windows = declared(some)
    values = stepped(windows, events, list(range(0, 3000, 97)))
    for row in range(0, 3000, 37):
        for place, one in enumerate(some):
            want = naive(one, events[: row + 1], row, FILTERS[""])
            assert (None if math.isnan(values[row, place]) else values[row, place]) == (
                want if want is None else pytest.approx(want, rel=1e-9, abs=1e-6)
            ), (one.name, row)
    whole = declared(some)
    stepped(whole, events, [])
    assert whole.digest() == windows.digest()
    longest = max(len(cell.marks) for s in windows.stores if isinstance(s, Moments) for cell in s.cells["s"].values())
    assert longest < 1500


def test_a_delayed_sketch_waits_and_then_counts() -> None:
    """3,000 addresses of one hour are 0 today and, a day later, between 2,400 and 3,600, in any cut."""
    one = window(A.DISTINCT, 2 * DAY_S, field="ip", delay_s=DAY_S)
    start = EPOCH_ALIGNED
    events = [event(i, PAY, start + i * SECOND, card="a", ip=str(i)) for i in range(3000)]
    events.append(event(3001, LABEL, start + 28 * HOUR, card="a"))
    windows, other = declared((one,)), declared((one,))
    values = stepped(windows, events, [])
    assert values[2999, 0] == 0.0
    assert 2400 < values[3000, 0] < 3600
    assert np.array_equal(values, stepped(other, events, [100, 2000, 2999, 3000]))
    assert windows.digest() == other.digest()

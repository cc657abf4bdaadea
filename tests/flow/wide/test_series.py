"""Series on columns: the very buckets, counters and state of the plain series, however the stream is cut."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from tocsin.core.desk import Bucket, Measure, Series
from tocsin.core.events import HOUR, MINUTE, SECOND, Event
from tocsin.flow.batch import PlainBatch
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.series import Tracks
from tocsin.flow.wide.rows import Rows
from tocsin.flow.wide.series import WideTracks

from ..stream import T0, event
from .chunks import rows_of
from .warming import compiled_late

PAY, LOGIN = "payment.attempted", "account.login"
SERIES = (
    Series(name="n", measure=Measure.COUNT, of=(PAY, LOGIN), bucket_s=60),
    Series(name="paid", measure=Measure.SUM, of=(PAY,), bucket_s=60, field="amount", by="gateway", keep=5),
    Series(name="mean", measure=Measure.MEAN, of=(PAY,), bucket_s=10, field="duration_ms", keep=70, grace_s=0),
    Series(name="bad", measure=Measure.RATIO, of=(PAY,), bucket_s=60, hit='data.status == "declined"', by="gateway"),
    Series(name="p", measure=Measure.QUANTILE, of=(PAY,), bucket_s=300, field="duration_ms", quantile=0.9, keep=7),
    Series(name="ips", measure=Measure.DISTINCT, of=(PAY,), bucket_s=60, field="ip", where="data.amount > 20", keep=3),
    Series(name="long", measure=Measure.DISTINCT, of=(LOGIN,), bucket_s=7200, field="ip", keep=4),
)  # fmt: skip
DATA = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.one_of(st.integers(-50, 100), st.integers(1 << 61, (1 << 63) - 1)),
        "duration_ms": st.one_of(st.integers(0, 5000), st.booleans()),
        "gateway": st.one_of(st.sampled_from("gh"), st.integers(1, 2), st.none()),
        "currency": st.sampled_from(["CNY", "EUR"]),
        "status": st.sampled_from(["declined", "ok"]),
        "ip": st.sampled_from([f"10.0.0.{i}" for i in range(9)]),
    },
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([PAY, PAY, LOGIN]),
        st.one_of(
            st.integers(0, 20 * SECOND), st.sampled_from([0, MINUTE, 7 * MINUTE, HOUR]), st.just(60 * SECOND - 1)
        ),
        st.sampled_from([0, 0, 0, 2, 70, 310, 400, -30, -90]),
        st.sampled_from("sr"),
        DATA,
    ),
    min_size=1,
    max_size=60,
)


def stream(steps: Any) -> list[Event]:
    """Events by (type, gap, seconds late, shop, data)."""
    tau, events = 0, []
    for seq, (kind, gap, late, shop, data) in enumerate(steps, 1):
        tau += gap
        events.append(event(seq, kind, tau, time=tau - late * SECOND, shop=shop, **data))
    return events


def factor(shop: str, time: int) -> tuple[float, None]:
    return (1.0 + (time // MINUTE) % 3, None)


def shown(bucket: Bucket) -> tuple[Any, ...]:
    return (
        bucket.series.name, bucket.shop, bucket.currency, bucket.key, bucket.start, bucket.tau, repr(bucket.value),
        bucket.n, repr(bucket.history.tolist()), bucket.history_n.tolist(), bucket.factor,
    )  # fmt: skip


def plain_run(tracks: Tracks, events: list[Event]) -> list[Any]:
    """Run the plain series as the fold does, event by event."""
    batch, closed = PlainBatch(events), []
    for row, one in enumerate(events):
        while (due := tracks.due()) is not None and due <= one.tau:
            closed += [shown(bucket) for bucket in tracks.close(due, factor)]
        if one.type in tracks.by_type:
            tracks.enter(batch, row)
    return closed


def wide_run(tracks: WideTracks, rows: Rows, *, at_once: bool, cuts: set[int] = frozenset()) -> list[Any]:  # type: ignore[assignment]
    """Run the wide series from wake-up to wake-up, and to further cuts."""
    closed: list[Any] = []
    start = 0
    while start < rows.n:
        stop = tracks.first_due_row(rows, start)
        if stop > start:
            stop = min([stop, *(cut for cut in cuts if cut > start)])
            tracks.enter_rows(rows, start, stop)
            start = stop
        elif at_once:
            for due, buckets in tracks.closing(int(rows.taus[start]), factor):
                assert {bucket.tau for bucket in buckets} <= {due}
                closed += [shown(bucket) for bucket in buckets]
        else:
            due = tracks.due()
            assert due is not None
            assert due <= rows.taus[start]
            closed += [shown(bucket) for bucket in tracks.close(due, factor)]
    return closed


@settings(max_examples=120, deadline=None)
@given(
    STEPS,
    st.one_of(st.lists(st.integers(1, 59), max_size=5), st.just(list(range(60)))),
    st.sets(st.integers(1, 60), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_buckets_counters_and_state_equal_the_plain_series(
    steps: Any, ends: list[int], cuts: set[int], at_once: bool, lines: bool
) -> None:
    """Late, out of order, ahead of time, quiet for hours, huge sums, several shops and currencies; with a snapshot."""
    events = stream(steps)
    plain, wide, names, hasher = Tracks("CNY"), WideTracks("CNY"), Names(), Hasher()
    plain.declare(SERIES)
    wide.declare(SERIES)
    for count, (start, stop) in enumerate(
        itertools.pairwise(sorted({0, len(events), *(e for e in ends if e < len(events))}))
    ):
        part = events[start:stop]
        want = plain_run(plain, part)
        rows = rows_of(part, names, hasher, lines=lines)
        assert wide_run(wide, rows, at_once=at_once, cuts=cuts) == want
        assert wide.canonical() == [track.canonical() for track in plain.tracks.values()]
        assert wide.due() == plain.due()
        if count == 1:
            fresh = WideTracks("CNY")
            fresh.declare(SERIES[::-1])
            fresh.restore(*wide.state())
            wide = WideTracks("CNY")
            wide.declare(SERIES)
            wide.restore(*fresh.state())
    assert wide.counters == plain.counters
    until = events[-1].tau + 2 * HOUR
    want = [(due, [shown(bucket) for bucket in buckets]) for due, buckets in plain.closing(until, factor)]
    found = [(due, [shown(bucket) for bucket in buckets]) for due, buckets in wide.closing(until, factor)]
    assert [one for one in found if one[1]] == [one for one in want if one[1]]
    assert wide.canonical() == [track.canonical() for track in plain.tracks.values()]


def test_a_history_that_was_given_out_never_changes() -> None:
    """Through revisions, sliding and growing rows of ten hours with a late event every minute."""
    wide, names, hasher = WideTracks("CNY"), Names(), Hasher()
    wide.declare((Series(name="n", measure=Measure.COUNT, of=(PAY,), bucket_s=60, keep=90),))
    steps = [(PAY, 20 * SECOND, (0, 90, 200)[i % 3], "sr"[i % 2], {}) for i in range(1800)]
    held: list[tuple[Bucket, Any]] = []
    rows, start = Rows(stream(steps), names, hasher), 0
    while start < rows.n:
        stop = wide.first_due_row(rows, start)
        if stop == start:
            held += [(bucket, shown(bucket)) for bucket in wide.close_through(int(rows.taus[start]), factor)]
        else:
            wide.enter_rows(rows, start, stop)
            start = stop
    assert len(held) > 1000
    assert wide.counters["revised"] > 900
    assert all(shown(bucket) == before for bucket, before in held)
    assert not held[-1][0].history.flags.writeable
    assert max(len(bucket.history) for bucket, _ in held) == 90


def test_many_lines_come_and_go_in_the_room_of_few() -> None:
    """A hundred keys a minute, silent after three: two hours need at most a third more room than ten minutes."""
    wide, names, hasher = WideTracks("CNY"), Names(), Hasher()
    wide.declare((Series(name="n", measure=Measure.COUNT, of=(PAY,), bucket_s=60, by="gateway", keep=3),))
    sizes = []
    for minute in range(120):
        part = [event(i, PAY, minute * MINUTE + i, gateway=f"{minute}-{i}") for i in range(100)]
        rows = Rows(part, names, hasher)
        wide_run(wide, rows, at_once=True)
        sizes.append(wide.bytes())
    assert max(sizes) <= sizes[10] * 4 / 3


def test_the_first_line_brings_the_first_wake_up() -> None:
    """Rows 0 and 1 of minute 0, row 2 after it has closed: the run ends before row 2."""
    wide = WideTracks("CNY")
    wide.declare(SERIES[:1])
    start = -T0 % MINUTE
    rows = Rows([event(i, PAY, start + second * SECOND) for i, second in enumerate((3, 59, 62))], Names(), Hasher())
    assert wide.first_due_row(rows, 0) == 2
    wide.enter_rows(rows, 0, 2)
    assert wide.first_due_row(rows, 2) == 2
    (bucket,) = wide.close(T0 + start + 62 * SECOND, factor)
    assert (bucket.value, bucket.n) == (2.0, 2)


def test_a_quiet_stretch_costs_next_to_nothing() -> None:
    """A day of 200 silent lines of 10 s buckets closes in one call: 1.7 million buckets, no object among them."""
    wide, hasher = WideTracks("CNY"), Hasher()
    wide.declare((Series(name="n", measure=Measure.COUNT, of=(PAY,), bucket_s=10, by="gateway", keep=10_000),))
    rows = Rows([event(i, PAY, i, gateway=str(i)) for i in range(200)], Names(), hasher)
    wide.enter_rows(rows, 0, 200)
    closed = wide.close_through(T0 + 24 * HOUR, factor)
    assert 200 * 8639 <= closed.n <= 200 * 8640
    first = next(iter(closed))
    assert (first.n, first.key, len(first.history)) == (1, "0", 0)
    assert np.isnan(first.value) == False  # noqa: E712


def test_warming_leaves_no_kernel_to_compile() -> None:
    """In a fresh process every kernel has its signature after ``warm()``."""
    assert compiled_late("series", {"value_of_tally", "_waits", "_forget"}) == set()

"""Deadlines on columns: the very misses, order and state of the plain deadlines, however the stream is cut."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from tocsin.core.desk import Deadline, Miss
from tocsin.core.events import HOUR, SECOND, Event
from tocsin.errors import Misconfigured
from tocsin.flow.batch import PlainBatch
from tocsin.flow.deadlines import Deadlines
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.deadlines import WideDeadlines
from tocsin.flow.wide.deadlines_queue import packed, unpacked
from tocsin.flow.wide.rows import Rows

from ..stream import T0, event
from .chunks import rows_of
from .warming import compiled_late

KINDS = ("order.paid", "order.shipped", "order.cancelled", "metric.sampled")
DEADLINES = (
    Deadline(name="ship", key="order", after=KINDS[:1], must=KINDS[1:2], within_s=60, cancel=KINDS[2:3]),
    Deadline(name="slow", key="order", after=KINDS[:1], must=KINDS[1:2], within_s=600, after_where="data.amount > 50"),
    Deadline(name="beat", key="service", after=KINDS[3:], must=KINDS[3:], within_s=60),
    Deadline(name="twin", key="order", after=KINDS[:1], must=KINDS[1:2], within_s=60, must_where="data.carrier == 'c'"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.one_of(st.integers(0, 2), st.integers(0, 40), st.just(700)),
        st.sampled_from("sr"),
        st.fixed_dictionaries(
            {"amount": st.integers(0, 100)},
            optional={
                "order": st.one_of(st.sampled_from("abcd"), st.integers(1, 2), st.none()),
                "service": st.sampled_from("xyz"),
                "carrier": st.sampled_from("cd"),
            },
        ),
    ),
    min_size=1,
    max_size=60,
)


def stream(steps: Any) -> list[Event]:
    """Events by (type, gap in seconds, shop, data)."""
    second, events = 0, []
    for seq, (kind, gap, shop, data) in enumerate(steps, 1):
        second += gap
        events.append(event(seq, kind, second * SECOND, shop=shop, **data))
    return events


def plain_run(deadlines: Deadlines, events: list[Event]) -> list[Miss]:
    """Run the plain deadlines as the fold does, event by event."""
    batch, misses = PlainBatch(events), []
    for row, one in enumerate(events):
        while (due := deadlines.due()) is not None and due <= one.tau:
            misses += deadlines.close(due)
        deadlines.enter(batch, row, Counter())
    return misses


def wide_run(deadlines: WideDeadlines, rows: Any, cuts: Any = ()) -> list[Miss]:
    """Run the wide deadlines from wake-up to wake-up, and to further cuts."""
    misses: list[Miss] = []
    start = 0
    while start < rows.n:
        stop = deadlines.first_due_row(rows, start)
        if stop > start:
            stop = min([stop, *(cut for cut in cuts if cut > start)])
            deadlines.enter_rows(rows, start, stop, Counter())
            start = stop
        else:
            due = deadlines.due()
            assert due is not None
            assert due <= rows.taus[start]
            misses += deadlines.close(due)
    return misses


@settings(max_examples=150, deadline=None)
@given(
    STEPS,
    st.one_of(st.lists(st.integers(1, 59), max_size=5), st.just(list(range(60)))),
    st.sets(st.integers(1, 60), max_size=4),
    st.booleans(),
)
def test_misses_and_state_equal_the_plain_deadlines(steps: Any, ends: list[int], cuts: set[int], lines: bool) -> None:
    """From events or from lines, re-armed, cancelled, several due at once, keys of any type; with a snapshot."""
    events = stream(steps)
    plain, wide, names, hasher = Deadlines(), WideDeadlines(), Names(), Hasher()
    plain.declare(DEADLINES)
    wide.declare(DEADLINES)
    edges = sorted({0, len(events), *(end for end in ends if end < len(events))})
    for count, (start, stop) in enumerate(itertools.pairwise(edges)):
        part = events[start:stop]
        rows = rows_of(part, names, hasher, lines=lines)
        assert wide_run(wide, rows, cuts) == plain_run(plain, part)
        assert wide.due() == plain.due()
        assert wide.canonical() == plain.canonical()
        if count == 1:
            other = WideDeadlines()
            other.declare(DEADLINES[::-1])
            other.restore(*wide.state())
            wide = WideDeadlines()
            wide.declare(DEADLINES)
            wide.restore(*other.state())
    while (due := plain.due()) is not None:
        assert wide.close(due) == plain.close(due)
    assert wide.due() is None


def test_what_is_due_at_one_instant_comes_in_the_order_of_arming() -> None:
    """Two deadlines of 60 s, armed by one event each in turn: by seq, then as declared."""
    wide = WideDeadlines()
    wide.declare(DEADLINES)
    rows = Rows([event(i, "order.paid", 0, order=key, amount=1) for i, key in enumerate("ba")], Names(), Hasher())
    wide_run(wide, rows)
    misses = wide.close(T0 + 60 * SECOND)
    assert [(miss.key, miss.deadline.name) for miss in misses] == [
        ("b", "ship"),
        ("b", "twin"),
        ("a", "ship"),
        ("a", "twin"),
    ]


def test_an_arming_event_comes_back_as_it_was() -> None:
    """Floats without end, integers over 64 bits, structures, text of any kind."""
    for data in ({"order": "é\n\u4e2d", "x": float("inf"), "y": [1, {"z": None}]}, {"order": 1 << 70, "x": 0.1}):
        one = event(7, "order.paid", 5, **data)
        assert unpacked(packed(one), 7, one.tau) == one
        assert unpacked(msgspec.json.encode(event(7, "order.paid", 5, order="o")), 9, 11).tau == 11


def churn(wide: WideDeadlines, batches: int, size: int, shipped: float) -> None:
    """Arm ``size`` orders a batch and answer a share of those of the batch before."""
    names, hasher, seq = Names(), Hasher(), 0
    rng = np.random.default_rng(1)
    before: list[str] = []
    for batch in range(batches):
        paid = [f"o{batch}-{i}" for i in range(size)]
        answered = [order for order in before if rng.random() < shipped]
        events = [event(seq + i, "order.paid", batch * SECOND, order=order) for i, order in enumerate(paid)]
        events += [
            event(seq + size + i, "order.shipped", batch * SECOND, order=order) for i, order in enumerate(answered)
        ]
        seq, before = seq + 2 * size, paid
        wide.enter_rows(Rows(events, names, hasher), 0, len(events), Counter())


def test_a_pending_deadline_costs_64_bytes_and_its_line() -> None:
    """60,000 armed; and of those answered nothing stays, though the oldest is armed for as long as ever."""
    one = Deadline(name="ship", key="order", after=KINDS[:1], must=KINDS[1:2], within_s=100 * 3600)
    wide = WideDeadlines()
    wide.declare((one,))
    churn(wide, 30, 2000, shipped=0.0)
    assert wide.queues[0].armed == 60_000
    assert wide.bytes() / 60_000 <= 64
    wide = WideDeadlines()
    wide.declare((one,))
    churn(wide, 60, 1000, shipped=0.99)
    queue = wide.queues[0]
    assert queue.armed < 2500
    assert len(queue.hashes) < 4000
    assert sum(document is not None for document in queue.documents) == queue.armed
    assert wide.due() == T0 + 100 * HOUR


def test_a_wrong_deadline_says_what_to_change() -> None:
    """Misconfigured names the fault."""
    with pytest.raises(Misconfigured, match="within_s"):
        WideDeadlines().declare((Deadline(name="x", key="order", after=("a",), must=("b",), within_s=0),))


def test_warming_leaves_no_kernel_to_compile() -> None:
    """In a fresh process every kernel has its signature after ``warm()``."""
    assert compiled_late("deadlines", {"append", "unlink"}) == set()

"""Few scanned lines are staged by one kernel: windows read of them what the plain ones read of their events."""

from __future__ import annotations

import gc
import itertools
import weakref
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("numba", reason="the wide half needs numba")

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flow.stream import event
from tests.flow.test_windows import EPOCH_ALIGNED, ORDER, PAY, window

from tocsin.core.desk import Aggregate as A
from tocsin.core.events import SECOND, Event
from tocsin.errors import TocsinError
from tocsin.flow.names import Names
from tocsin.flow.wide import stage_lines
from tocsin.flow.wide.lines import Chunk, LineRows
from tocsin.flow.wide.windows import WideWindows

from .test_windows import HASHER, expected, plain, random_event, same, wide

LINES = (
    window(A.COUNT, 3600, by="card"),
    window(A.SUM, 3600, field="amount", by="card"),
    window(A.STD, 86_400, field="amount", by="ip"),
    window(A.MEAN, 600, field="value", by="service", of=("metric.sampled",)),
    window(A.DISTINCT, 3600, field="ip", by="card"),
    window(A.DISTINCT, 600, field="card", by="ip", where='data.status == "declined"'),
    window(A.RECENCY, 3600, by="ip"),
    window(A.COUNT, 3600, by="items.sku", of=(ORDER,), each=True),
)
ODD = (7, -7, 2**53 + 1, -(2**60), 1.5, -0.0, True, None, ["x"], "", "x", "长" * 9)


def odd_event(random: Random, seq: int, tau: int) -> Event:
    """An event some of whose keys, amounts and currencies are of kinds that no door lets through."""
    one = random_event(random, seq, tau)
    fields: dict[str, Any] = {name: random.choice(ODD) for name in ("card", "ip", "currency", "service")}
    changed = {name: value for name, value in fields.items() if random.random() < 0.1}
    return msgspec.structs.replace(one, data={**one.data, **changed})


def parts_of(events: list[Event], cuts: list[int], *, index: bool) -> list[LineRows]:
    """The events as rows of chunks, cut into batches, side by side or named one by one."""
    names, found = Names(), []
    edges = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        chunk = Chunk(names, HASHER, capacity=stop - start + 3)
        for one in [event(1, PAY, 1, shop="before"), event(2, PAY, 2), *events[start:stop]]:
            row = chunk.append(one)
            chunk.taus[row], chunk.seqs[row] = one.tau, one.seq
        found.append(
            LineRows(chunk, index=np.arange(2, stop - start + 2)) if index else LineRows(chunk, 2, stop - start + 2)
        )
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 99), max_size=6), st.booleans())
def test_few_lines_have_the_values_of_their_events(seed: int, cuts: list[int], index: bool) -> None:
    """Keys of all kinds, money of several currencies, shops and filters, however the stream is cut."""
    random = Random(seed)
    make = random.choice([odd_event, random_event])
    tau, events = EPOCH_ALIGNED, []
    for seq in range(1, random.randrange(2, 100)):
        tau += random.choice([0, 1, SECOND, 60 * SECOND])
        events.append(make(random, seq, tau))
    windows = wide(LINES)
    found = [np.column_stack(windows.step(part)) for part in parts_of(events, cuts, index=index)]
    same(np.vstack(found), expected(plain(LINES), events), LINES)


def test_usual_lines_are_staged_without_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts and whole numbers are taken by the kernel, and no column is made of them."""
    events = [event(seq, PAY, seq * SECOND, card="c", ip=9, amount=5, currency="EUR") for seq in range(1, 20)]
    (part,) = parts_of(events, [], index=False)
    monkeypatch.setattr(LineRows, "cells", None)
    windows = wide(tuple(one for one in LINES if not one.each and not one.where))
    assert windows.step(part)[0].tolist() == list(range(1, 20))


def test_a_value_without_a_fixed_point_is_refused_as_ever() -> None:
    """What 64 bits do not hold raises, in few lines as in many."""
    for value in (1e300, -1e300, 2**62):
        for more in (0, stage_lines.FEW):
            events = [event(seq, "metric.sampled", seq, service="u", value=value) for seq in range(1, 2 + more)]
            (part,) = parts_of(events, [], index=False)
            with pytest.raises((OverflowError, TocsinError)):
                wide((LINES[3],)).step(part)


def test_windows_of_other_names_are_staged_anew() -> None:
    """The places of fields and shops are those of the names that a batch brings."""
    windows = WideWindows(hasher=HASHER)
    windows.declare((LINES[0],), (PAY,))
    for seq in range(1, 4):
        events = [event(seq, PAY, seq * SECOND, card="c", shop=f"shop{seq % 2}")]
        (part,) = parts_of(events, [], index=False)
        assert windows.step(part)[0].tolist() == [1 + (seq == 3)]


def test_rows_are_freed_without_the_collector() -> None:
    """What a cycle leaves behind goes at once: nothing of it refers to itself."""
    rows = parts_of([event(n + 1, PAY, n, card="c", amount=n) for n in range(4)], [], index=False)[0]
    assert rows.events[1].data["amount"] == 1 and rows.column("amount").present.all()
    left = weakref.ref(rows)
    gc.disable()
    try:
        del rows
        assert left() is None
    finally:
        gc.enable()

"""Sketches of many keys: the very values of the plain sketch, whatever the stream, the cuts and the shards."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from tocsin.core.desk import Aggregate, Window
from tocsin.core.events import DAY, HOUR, MINUTE
from tocsin.flow.distinct import SketchDistinct
from tocsin.flow.hashing import Hasher
from tocsin.flow.names import Names
from tocsin.flow.wide.rows import Rows
from tocsin.flow.wide.sketch import SketchTable
from tocsin.flow.wide.sketch_cells import estimate
from tocsin.flow.windows import Windows

from ..stream import T0, event
from .warming import compiled_late

WINDOWS = tuple(
    Window(
        name=f"{span}-{delay}", fold=Aggregate.DISTINCT, by="ip", field="card", of=("a",), span_s=span, delay_s=delay
    )
    for span, delay in ((7200, 0), (86_400, 0), (7200, 900), (86_400, 10_800))
)


class Oracle:
    """The plain stores, fed with hashes."""

    def __init__(self) -> None:
        self.stores = [SketchDistinct([(0, window)]) for window in WINDOWS]
        self.cells: list[dict[int, Any]] = [{} for _ in WINDOWS]

    def step(self, keys: Any, marks: Any, enters: Any, reads: Any, taus: Any) -> list[list[float]]:
        out = [[float("nan")] * len(taus) for _ in WINDOWS]
        for row, (key, mark, tau) in enumerate(zip(keys.tolist(), marks.tolist(), taus.tolist(), strict=True)):
            for store, cells, column in zip(self.stores, self.cells, out, strict=True):
                if enters[row]:
                    store.enter(cells.setdefault(key, store.fresh("")), tau, mark)
                if reads[row]:
                    column[row] = store.read(cells.get(key), tau, "")[0]
        return out

    def canonical(self, tau: int) -> list[Any]:
        return [
            sorted((key, kept) for key, cell in cells.items() if (kept := store.canonical(cell, tau)))
            for store, cells in zip(self.stores, self.cells, strict=True)
        ]


def batches(seed: int, values: int, keys: int, rows: int, pace: int, cuts: int) -> Any:
    """Yield random batches: (keys, marks, enters, reads, taus)."""
    rng = np.random.default_rng(seed)
    crowd = rng.integers(0, 1 << 64, max(values, 1), np.uint64)
    taus = T0 + np.cumsum(rng.integers(0, pace, rows)) + (rng.random(rows) < 0.002).cumsum() * (5 * HOUR)
    who = rng.integers(0, keys, rows).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    what = crowd[(rng.random(rows) ** 2 * len(crowd)).astype(int)]
    enters, reads = rng.random(rows) < 0.8, rng.random(rows) < 0.3
    edges = sorted({0, rows, *rng.integers(0, rows, cuts).tolist()})
    for start, stop in itertools.pairwise(edges):
        part = slice(start, stop)
        yield who[part], what[part], enters[part], reads[part], taus[part]


def stepped(table: SketchTable, batch: Any) -> list[np.ndarray]:
    keys, marks, enters, reads, taus = batch
    yes = np.ones(len(taus), bool)
    return table.step_rows((keys, yes), (marks, yes), enters, reads, taus)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from([3, 300, 3000]),
    st.sampled_from([1, 3, 200]),
    st.sampled_from([10, MINUTE // 10, 10 * MINUTE]),
    st.integers(0, 12),
)
def test_values_and_state_equal_the_plain_sketch(seed: int, values: int, keys: int, pace: int, cuts: int) -> None:
    """Bit for bit, through crowds over 256, silences of hours and any cut; half-way through a snapshot and 3 shards."""
    table, oracle, last = SketchTable(WINDOWS), Oracle(), 0
    for count, batch in enumerate(batches(seed, values, keys, 1200, pace, cuts)):
        got, want = stepped(table, batch), oracle.step(*batch)
        np.testing.assert_array_equal(got, want)
        last = int(batch[4][-1])
        if count == 2:
            fresh = SketchTable(WINDOWS)
            fresh.restore(*table.state())
            thirds = [frozenset(range(third, 256, 3)) for third in range(3)]
            table = SketchTable.merge(fresh.split(thirds))
    assert table.canonical(last) == oracle.canonical(last)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crowd_of_thousands_is_trimmed_without_a_trace(seed: int) -> None:
    """20,000 events of 9,000 values over half a day on one key: equal values, at most 8192 pairs a window."""
    table, oracle = SketchTable(WINDOWS), Oracle()
    for batch in batches(seed, 9000, 1, 20_000, 4_000_000, 5):
        np.testing.assert_array_equal(stepped(table, batch), oracle.step(*batch))
    assert max(int(sketch.cells[0, 1]) for sketch in table.sketches) <= 8192


def test_windows_and_table_agree_on_events() -> None:
    """Through real events, shops and missing fields: the table is the plain ``Windows``."""
    rng = np.random.default_rng(5)
    events = [
        event(seq, "a" if seq % 5 else "b", seq * MINUTE, shop="st"[seq % 2], card=str(rng.integers(9)),
              **({"ip": f"10.0.0.{rng.integers(3)}"} if seq % 7 else {}))
        for seq in range(400)
    ]  # fmt: skip
    plain, table = Windows(), SketchTable(WINDOWS)
    plain.declare(WINDOWS, ("a", "b"))
    names, hasher = Names(), Hasher()
    for start in range(0, 400, 90):
        rows = Rows(events[start : start + 90], names, hasher)
        got = table.step_rows(
            rows.keys("ip"), rows.identities("card"), rows.of_type("a"), np.ones(rows.n, bool), rows.taus
        )
        np.testing.assert_array_equal(got, plain.step(rows))


def test_a_row_over_several_keys_reads_the_largest() -> None:
    """Keys with 3 and 1 values: 3."""
    table, u = SketchTable(WINDOWS[:1]), np.uint64
    enter = (np.zeros(4, np.int64), np.array([7, 7, 7, 8], u), np.array([1, 2, 3, 1], u))
    read = (np.zeros(2, np.int64), np.array([8, 7], u))
    assert table.step(enter, read, np.array([T0]))[0].tolist() == [3.0]


def test_idle_keys_vanish_and_their_room_is_used_again() -> None:
    """Ten days of 1000 one-off keys a day need the room of about two."""
    table = SketchTable(WINDOWS[1:2])
    rng = np.random.default_rng(1)
    sizes = []
    for day in range(10):
        keys = rng.integers(0, 1 << 64, 1000, np.uint64)
        yes, taus = np.ones(1000, bool), T0 + day * DAY + np.arange(1000) * (DAY // 1000)
        table.step_rows((keys, yes), (keys, yes), yes, ~yes, taus)
        sizes.append(table.bytes())
    assert sizes[-1] == sizes[3]
    table.sweep(T0 + 20 * DAY, 10_000)
    assert table.sketches[0].live == 0


def test_a_key_with_one_value_is_small() -> None:
    """At most 100 bytes a one-off key, index and spare room included."""
    table, n = SketchTable(WINDOWS[1:2]), 200_000
    keys = np.random.default_rng(1).integers(0, 1 << 64, n, np.uint64)
    yes = np.ones(n, bool)
    table.step_rows((keys, yes), (keys, yes), yes, yes, T0 + np.arange(n))
    assert table.bytes() / n <= 100


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.integers(1, (1 << 64) - 1),
        st.builds(lambda k, d: (255 << k) + d, st.integers(40, 56), st.integers(-2, 0)),
        st.builds(lambda k, d: (1 << k) + d, st.integers(2, 63), st.integers(-2, 2)),
    )
)
def test_the_estimate_is_what_integers_give(mark: int) -> None:
    """255 * 2^64 / u, correctly rounded."""
    assert estimate(np.uint64(mark)) == 255 * (1 << 64) / mark


def test_warming_leaves_no_kernel_to_compile() -> None:
    """In a fresh process every kernel has its signature after ``warm()``."""
    assert compiled_late("sketch", {"_ahead"}) == set()

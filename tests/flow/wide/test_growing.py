"""What grows a little at a time holds at every moment what one that never grew would hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flow.stream import T0, event
from tests.flow.test_windows import PAY, window
from tests.flow.wide.test_windows import expected, plain, same, stepped, wide

from tocsin.core.desk import Aggregate as A
from tocsin.core.events import SECOND
from tocsin.flow.wide import layout as at
from tocsin.flow.wide import stored
from tocsin.flow.wide.growing import LARGE, Growing
from tocsin.flow.wide.keyed import find, free, insert, remove, seek
from tocsin.flow.wide.memory import address_of

FIRST = 4
MOVES = st.one_of(st.none(), st.integers(0, 6))
"""Places to move after a step, None: the array grows."""


def _grow_where_full(one: Growing, live: int) -> None:
    while 4 * (live + 1) > 3 * len(one):
        one.grow(2 * len(one))


def _go_on(one: Growing, places: int | None) -> None:
    if places is not None:
        one.move(places)
    elif len(one) < 256:
        one.grow(2 * len(one))


class Pairs:
    """A map of counters, as windows keep them."""

    def __init__(self) -> None:
        self.line = np.zeros(at.MAP, np.int64)
        self.open = Growing(self.line, FIRST, index=False, at_once=0)
        self.open.place()

    def add(self, key: int, count: int) -> None:
        """Count a key up or down; at 0 it goes."""
        line = address_of(self.line)
        address = seek(line, key)
        for array in self.open.arrays():
            place = (address - address_of(array)) // 16
            if 0 <= place < len(array):
                self.line[at.M_LIVE] += array[place, 0] == 0
                array[place] = key, array[place, 1] + count
                if not array[place, 1]:
                    remove(line, address)

    def held(self) -> dict[int, int]:
        """Return what the arrays hold."""
        entries = np.concatenate([array[array[:, 0] != 0] for array in self.open.arrays()]).tolist()
        assert len({key for key, _ in entries}) == len(entries)
        return {key: count for key, count in entries}


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), MOVES), max_size=150))
@settings(deadline=None, max_examples=150)
def test_a_map_that_grows_counts_as_a_counter_does(steps: list[tuple[int, bool, int | None]]) -> None:
    """Keys whose places crowd and wrap around, counted up and down while others are on their way."""
    pairs, plain = Pairs(), Counter[int]()
    for key, up, places in steps:
        if up or plain[key]:
            _grow_where_full(pairs.open, int(pairs.line[at.M_LIVE]))
            pairs.add(key, 1 if up else -1)
            plain[key] += 1 if up else -1
        assert pairs.held() == +plain
        assert pairs.line[at.M_LIVE] == len(+plain)
        _go_on(pairs.open, places)
    pairs.open.move(1 << 20)
    assert not pairs.open.moving
    assert pairs.held() == +plain


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), MOVES), max_size=150))
@settings(deadline=None, max_examples=150)
def test_an_index_that_grows_finds_the_rows_there_are_and_no_other(steps: list[tuple[int, bool, int | None]]) -> None:
    """Keys that come and go, some with the same lower half."""
    rows, places_of = np.zeros((64, at.ROW_FIRST_HOPS), np.int64), np.zeros(1, np.int64)
    line = np.zeros(at.TABLE, np.int64)
    line[[at.T_WORDS, at.T_FREE, at.T_GENERATION]] = rows.shape[1], -1, 1
    places_of[0], line[at.T_CHUNKS] = address_of(rows), address_of(places_of)
    index, table = Growing(line, FIRST, index=True, at_once=0), address_of(line)
    index.place()
    plain: dict[int, int] = {}
    for number, come, places in steps:
        key = number if number < 30 else (number << 32) | (number - 20)
        if come and key not in plain:
            _grow_where_full(index, len(plain))
            plain[key] = insert(table, key, 0)
        elif not come and key in plain:
            free(table, plain.pop(key))
        found = {key: find(table, key) for one in range(1, 41) for key in (one, (one << 32) | (one - 20)) if key > 0}
        assert {key: slot for key, slot in found.items() if slot >= 0} == plain
        assert line[at.T_LIVE] == len(plain)
        _go_on(index, places)
    index.move(1 << 20)
    assert not index.moving
    assert {key: find(table, key) for key in plain} == plain


def test_memory_is_made_ready_shortly_before_it_is_needed_and_let_go_where_it_is_not() -> None:
    """At 23/32 of its places taken twice as many lie ready; below 20/32 they go; what grows takes them."""
    line = np.zeros(at.MAP, np.int64)
    one = Growing(line, LARGE, index=False)
    own = one.bytes()
    line[at.M_LIVE] = 23 * LARGE // 32
    one.look_ahead()
    assert one.bytes() == own
    line[at.M_LIVE] += 1
    one.look_ahead()
    one.look_ahead()
    assert one.bytes() == 3 * own
    line[at.M_LIVE] = 20 * LARGE // 32 - 1
    one.look_ahead()
    assert one.bytes() == own
    line[at.M_LIVE] = 3 * LARGE // 4
    one.look_ahead()
    one.grow(2 * LARGE)
    assert one.bytes() == 3 * own
    one.move(2 * LARGE)
    assert (one.bytes(), one.moving, len(one)) == (2 * own, False, 2 * LARGE)


def test_windows_whose_keys_are_on_their_way_read_and_forget_as_ever() -> None:
    """25,000 cards seen once, then some of them again and new ones, while the first 3,000 leave the window.

    What is stored meanwhile is what is stored of windows that grew before.
    """
    declared = (window(A.DISTINCT, 600, field="ip"), window(A.COUNT, 600))
    taus = [T0 + (0 if seq < 3_000 else 300 * SECOND) for seq in range(24_560)]
    taus += [T0 + (599 if seq < 60 else 600) * SECOND + seq // 20 for seq in range(440)]
    cards = [seq if seq < 24_560 or seq % 2 else 7 * seq % 24_560 for seq in range(25_000)]
    events = [
        event(seq + 1, PAY, tau, card=f"c{card}", ip=f"i{seq % 5}")
        for seq, (tau, card) in enumerate(zip(taus, cards, strict=True))
    ]
    ours, twin, grown = wide(declared), plain(declared), wide(declared)
    begin = 24_560
    same(stepped(ours, events[:begin]), expected(twin, events[:begin]), declared)
    stepped(grown, events[:begin])
    [(plane, _)], [(other, _)] = ours.planes, grown.planes
    for one in (*other.indexes, *other.entries):
        one.grow(4 * len(one))
        one.move(1 << 30)
    under_way = 0
    for at_ in range(begin, 25_000, 4):
        same(stepped(ours, events[at_ : at_ + 4]), expected(twin, events[at_ : at_ + 4]), declared)
        stepped(grown, events[at_ : at_ + 4])
        if any(one.moving for one in plane.indexes) and any(one.moving for one in plane.entries):
            under_way += 1
            assert stored.digest(stored.capture(plane), plane.plan) == stored.digest(stored.capture(other), other.plan)
    assert under_way > 5
    assert not any(one.moving for one in (*plane.indexes, *plane.entries))
    assert ours.sizes() == grown.sizes()

"""Order and now."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.events import HOUR, ID_MEMORY, Event
from tocsin.flow.hashing import Hasher
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.runtime.stamping import Stamper, Stamping


def event(id: str, time: int) -> Event:
    return Event(id=id, source="s", type="t", time=time)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=50))
def test_seq_counts_acceptances_and_tau_never_runs_back_nor_ahead_of_the_clock(moments: list[tuple[int, int]]) -> None:
    stamper = Stamper()
    clock = 0
    before = 0
    for number, (time, step) in enumerate(moments):
        clock += step
        stamped = stamper.stamp(event(str(number), time), clock)
        assert stamped.seq == number + 1
        assert stamped.tau == max(min(time, clock), before)
        before = stamped.tau


def test_an_identity_is_known_for_24_hours_of_tau_and_forgotten_after() -> None:
    stamper = Stamper()
    stamper.stamp(event("a", HOUR), HOUR)
    stamper.stamp(event("b", HOUR + ID_MEMORY - 1), HOUR + ID_MEMORY)
    assert stamper.seen(("s", "a")) == 1
    stamper.stamp(event("c", HOUR + ID_MEMORY), HOUR + ID_MEMORY)
    assert stamper.seen(("s", "a")) == 0
    assert stamper.seen(("s", "b")) == 2


def test_what_the_disk_refused_was_never_accepted() -> None:
    stamper = Stamper()
    stamper.stamp(event("a", 5), 10)
    before = (stamper.seq, stamper.tau)
    refused = [stamper.stamp(event("b", 7), 10), stamper.stamp(event("c", 8), 10)]
    stamper.retract(refused, *before)
    assert (stamper.seq, stamper.tau) == before
    assert stamper.seen(("s", "b")) == 0
    assert stamper.stamp(event("b", 7), 10).seq == 2


def test_a_stamper_restored_from_the_journal_goes_on_where_it_was() -> None:
    first = Stamper()
    stamped = [first.stamp(event(str(n), n * HOUR), n * HOUR) for n in range(40)]
    second = Stamper()
    for past in stamped:
        second.restore(past)
    assert (second.seq, second.tau) == (first.seq, first.tau)
    assert [second.seen(("s", str(n))) for n in range(40)] == [first.seen(("s", str(n))) for n in range(40)]


def alike(make: Callable[[], Stamping], given: list[tuple[str, str, int]], cuts: list[int], clock: int) -> None:
    def event(source: str, id: str, time: int) -> Event:
        return Event(id=id, source=source, type="t", time=time)

    plain: Stamping = Stamper()
    stamper: Stamping = make()
    events = [event(*one) for one in given]
    for start, stop in zip([0, *cuts], [*cuts, len(events)], strict=True):
        found = stamper.stamp_all(events[start:stop], clock)
        fresh = []
        for one, seq, new in zip(events[start:stop], found.seqs, found.new, strict=True):
            known = plain.seen(one.identity)
            assert new == (not known)
            if new:
                fresh.append(plain.stamp(one, clock))
            assert seq == (known or plain.seq)
        assert found.fresh == fresh
        assert (stamper.seq, stamper.tau) == (plain.seq, plain.tau)


GIVEN = st.lists(st.tuples(st.sampled_from("st"), st.sampled_from(["a", "b", "单\ud800", ""]), st.integers(0, 99)))


@given(GIVEN, st.lists(st.integers(0, 30), max_size=3), st.integers(0, 99))
def test_many_are_stamped_as_one_after_the_other(
    given: list[tuple[str, str, int]], cuts: list[int], clock: int
) -> None:
    """However events are cut into calls, stamps and duplicates are those of single events."""
    alike(Stamper, given, sorted(cuts), clock)


@pytest.mark.skipif(not AVAILABLE, reason="numba is not installed")
@given(GIVEN, st.lists(st.integers(0, 30), max_size=3), st.integers(0, 99))
def test_hashed_identities_are_stamped_alike(given: list[tuple[str, str, int]], cuts: list[int], clock: int) -> None:
    """The stamper of the wide lane stamps events as the plain one does."""
    from tocsin.runtime.widestamping import WideStamper

    alike(lambda: WideStamper(Hasher(), 1000), given, sorted(cuts), clock)

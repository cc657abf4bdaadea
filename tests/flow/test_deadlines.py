"""Deadlines: B must follow A within T for the same key, reported at the exact due time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.core.desk import Deadline
from tocsin.core.events import SECOND, Event
from tocsin.errors import Misconfigured
from tocsin.flow.fold import Fold

from .stream import T0, Probe, event, folded

SHIP = Deadline(
    name="ship", key="order", after=("order.paid",), must=("order.shipped",), within_s=60, cancel=("order.cancelled",)
)


class Noted(Probe):
    """A desk that notes its misses."""

    def missed(self, misses: Any) -> list[Any]:
        self.noted = [*getattr(self, "noted", []), *((miss.key, miss.due - T0, miss.armed - T0) for miss in misses)]
        return []


def missed(*events: Event, until: int = 10**12, deadline: Deadline = SHIP) -> list[Any]:
    desk = Noted(deadlines=(deadline,))
    fold = Fold([desk])
    folded(fold, events)
    fold.advance(T0 + until)
    return list(getattr(desk, "noted", []))


def paid(seq: int, second: int, order: str = "o", **more: Any) -> Event:
    return event(seq, "order.paid", second * SECOND, order=order, **more)


def shipped(seq: int, second: int, order: str = "o", kind: str = "order.shipped") -> Event:
    return event(seq, kind, second * SECOND, order=order)


def test_a_miss_is_due_at_arming_plus_t_exactly() -> None:
    """Paid at 0, due at 60 s: not a microsecond earlier."""
    assert missed(paid(1, 0), until=60 * SECOND - 1) == []
    assert missed(paid(1, 0), until=60 * SECOND) == [("o", 60 * SECOND, 0)]


def test_what_must_follow_disarms_before_the_due_instant_only() -> None:
    """Shipped at 59 s is in time; at 60 s the wake-up has come first."""
    assert missed(paid(1, 0), shipped(2, 59)) == []
    assert missed(paid(1, 0), shipped(2, 60)) == [("o", 60 * SECOND, 0)]
    assert missed(paid(1, 0), shipped(2, 30, kind="order.cancelled")) == []
    assert missed(paid(1, 0), shipped(2, 30, order="other")) == [("o", 60 * SECOND, 0)]


def test_arming_again_keeps_the_first_due_time() -> None:
    """Paid twice is due once, by the first payment; after the miss it may be armed anew."""
    assert missed(paid(1, 0), paid(2, 30)) == [("o", 60 * SECOND, 0)]
    assert missed(paid(1, 0), paid(2, 60)) == [("o", 60 * SECOND, 0), ("o", 120 * SECOND, 60 * SECOND)]


def test_an_event_that_must_follow_and_arms_does_both() -> None:
    """A heartbeat answers the one before and is due again itself."""
    beat = Deadline(name="beat", key="service", after=("metric.sampled",), must=("metric.sampled",), within_s=60)
    beats = [event(i, "metric.sampled", 50 * i * SECOND, service="a") for i in range(4)]
    assert missed(*beats, deadline=beat) == [("a", 210 * SECOND, 150 * SECOND)]


def test_filters_choose_what_arms() -> None:
    """Only orders over 50.00 are watched."""
    rich = Deadline(
        name="r",
        key="order",
        after=("order.paid",),
        must=("order.shipped",),
        within_s=60,
        after_where="data.amount > 5000",
    )
    assert missed(paid(1, 0, "a", amount=5000), paid(2, 0, "b", amount=5001), paid(3, 0, "c"), deadline=rich) == [
        ("b", 60 * SECOND, 0)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(["order.paid", "order.shipped", "order.cancelled"]),
            st.sampled_from("abc"),
        ),
        max_size=40,
    )
)
def test_misses_equal_a_plain_simulation(steps: list[tuple[int, str, str]]) -> None:
    """Against a dictionary that is searched at every step."""
    second, events, armed, want = 0, [], {}, []
    for seq, (gap, kind, order) in enumerate(steps, 1):
        second += gap
        for due, key in sorted((due, key) for key, due in armed.items() if due <= second):
            want.append((due * SECOND, key))
            del armed[key]
        if kind == "order.paid":
            armed.setdefault(order, second + 60)
        else:
            armed.pop(order, None)
        events.append(shipped(seq, second, order, kind))
    want += [(due * SECOND, key) for key, due in sorted(armed.items(), key=lambda pair: pair[1])]
    got = [(due, key) for key, due, _ in missed(*events)]
    assert sorted(got) == sorted(want)
    assert [due for due, _ in got] == sorted(due for due, _ in got)


def test_a_wrong_deadline_says_what_to_change() -> None:
    """Misconfigured names the fault."""
    with pytest.raises(Misconfigured, match="within_s"):
        Fold([Probe(deadlines=(Deadline(name="x", key="order", after=("a",), must=("b",), within_s=0),))])

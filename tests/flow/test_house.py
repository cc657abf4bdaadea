"""The house's own windows: what may be declared, what a change keeps, and what rules read meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from tests.flow.stream import event

from tocsin.core.desk import Aggregate, Rule, Window
from tocsin.core.events import SECOND, Event
from tocsin.core.signal import Decision, Mode, Text
from tocsin.errors import Misconfigured
from tocsin.flow import house
from tocsin.flow.fold import Fold
from tocsin.flow.wide.jit import AVAILABLE

PAY = "payment.attempted"
COUNT = Window(name="own_count", fold=Aggregate.COUNT, by="card", span_s=600, of=(PAY,))
SUM = Window(name="own_sum", fold=Aggregate.SUM, by="card", span_s=600, of=(PAY,), field="amount")
RULE = Rule(
    id="own", when="features.own_count >= 3.0", decision=Decision.HOLD, code="own", on=(PAY,), mode=Mode.LIVE,
    text=Text("own", "自己的"),
)  # fmt: skip


class Desk:
    """A desk with one window, whose name is taken."""

    name = "desk"
    version = 1
    reads = (PAY,)
    windows = (Window(name="desk_count", fold=Aggregate.COUNT, by="card", span_s=60, of=(PAY,)),)
    series = ()
    deadlines = ()
    rules = ()
    kinds: dict[str, Text] = {}

    def judge(self, batch: Any, features: Any) -> Any:
        import numpy as np

        from tocsin.core.desk import Judgement

        return Judgement(scores=np.full(batch.n, np.nan))


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.skipif(not AVAILABLE, reason="no numba"))])
def fold(request: pytest.FixtureRequest) -> Fold:
    return Fold([Desk()], wide=request.param)


def documents(*windows: Window) -> list[Any]:
    return [msgspec.to_builtins(window) for window in windows]


def pay(seq: int, second: int) -> Event:
    return event(seq, PAY, 1_700_000_000 * SECOND + second * SECOND, card="c1", amount=5)


def control(seq: int, what: str, second: int, **data: Any) -> Event:
    return event(seq, f"tocsin.{what}", 1_700_000_000 * SECOND + second * SECOND, **data)


def decided(fold: Fold, event: Event) -> Decision:
    (row,) = fold.step([event], features_for=[0]).rows
    return row.computed


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([{"name": "x"}], "windows: "),
        ("nonsense", "windows: "),
        (documents(msgspec.structs.replace(COUNT, name="desk_count")), "one of that name already"),
        (documents(COUNT, COUNT), "one of that name already"),
        (documents(msgspec.structs.replace(COUNT, name="a-b")), "letters, digits and underscores"),
        (documents(msgspec.structs.replace(COUNT, span_s=0)), "own_count"),
        (documents(msgspec.structs.replace(SUM, field="")), "own_sum"),
    ],
)
def test_what_is_wrong_with_a_window_is_said_and_changes_nothing(fold: Fold, wrong: Any, says: str) -> None:
    """By the door that checks as by the event in the journal."""
    with pytest.raises(Misconfigured, match=says):
        fold.house.check(wrong)
    (fault,) = fold.step([control(1, "windows", 0, windows=wrong)]).faults
    assert fault.desk == "windows" and says in fault.error
    assert fold.house.own == ()


def test_windows_are_bounded(fold: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs time for every event: there is a most."""
    monkeypatch.setattr(house, "MOST", 1)
    fold.house.check(documents(COUNT))
    with pytest.raises(Misconfigured, match="at most 1"):
        fold.house.check(documents(COUNT, SUM))


def test_a_check_declares_nothing(fold: Fold) -> None:
    """Somebody may think aloud."""
    before = fold.digest()
    assert fold.house.check(documents(COUNT, SUM)) == (COUNT, SUM)
    assert fold.digest() == before and fold.house.own == ()


def test_a_window_of_before_the_first_event_is_warm_at_once(fold: Fold) -> None:
    """Nothing came that it could have missed."""
    fold.house.declare(documents(COUNT))
    assert fold.house.documents() == documents(COUNT)
    fold.step([control(2, "rules", 1, rules=[msgspec.to_builtins(RULE)]), pay(3, 2), pay(4, 3)])
    assert fold.house.cold() == ()
    assert decided(fold, pay(5, 4)) is Decision.HOLD


def test_a_window_is_missing_until_it_has_seen_its_span(fold: Fold) -> None:
    """Never 0, and a rule that reads it does not fire; then it counts as if it had always been there."""
    fold.step([pay(1, 0), pay(2, 1), control(3, "windows", 2, windows=documents(COUNT))])
    fold.step([control(4, "rules", 3, rules=[msgspec.to_builtins(RULE)])])
    assert fold.house.cold() == (COUNT,)
    assert [decided(fold, pay(5 + n, 4 + n)) for n in range(5)] == [Decision.ALLOW] * 5
    assert fold.counters["rule_error:own:missing"] == 5
    assert decided(fold, pay(20, 604)) is Decision.HOLD
    assert fold.house.cold() == ()


def past(fold: Fold, events: Iterable[Event]) -> None:
    fold.house.history = lambda after, before: [
        fold.engine.batch([one for one in events if after < one.tau and one.seq < before])
    ]


def test_a_window_takes_up_its_past_where_the_journal_says_warm(fold: Fold) -> None:
    """From that event on it counts what came before it was declared."""
    before = [pay(1, 0), pay(2, 1)]
    change = control(3, "windows", 2, windows=documents(COUNT, SUM))
    fold.step([*before, change])
    fold.step([control(4, "rules", 3, rules=[msgspec.to_builtins(RULE)])])
    if fold.engine.wide:
        past(fold, [*before, change, control(4, "rules", 3)])
    # Stamped with the tau up to which the past was read.
    fold.step([control(5, "warm", 3, windows=["own_count", "own_sum"])])
    if fold.engine.wide:
        assert fold.house.cold() == ()
        assert decided(fold, pay(6, 5)) is Decision.HOLD
    else:
        # The plain plane has no past at hand here: the windows stay missing, nothing is made up.
        assert fold.house.cold() == (COUNT, SUM)
        assert decided(fold, pay(6, 5)) is Decision.ALLOW


def test_a_past_that_ends_elsewhere_is_not_taken_up(fold: Fold) -> None:
    """A gap would be a wrong number: missing is right."""
    fold.step([pay(1, 0), pay(2, 1), control(3, "windows", 2, windows=documents(COUNT))])
    past(fold, [pay(1, 0)])
    fold.step([control(4, "warm", 4, windows=["own_count"])])
    assert fold.house.cold() == (COUNT,)
    fold.step([control(5, "warm", 5, windows=["unknown"]), control(6, "warm", 6, windows=7)])
    assert fold.house.cold() == (COUNT,)


def test_a_window_that_is_taken_away_is_missing_for_the_rule_that_reads_it(fold: Fold) -> None:
    """The rule stays and does not fire; when the window comes back it knows what it knew."""
    fold.house.declare(documents(COUNT, SUM))
    fold.step([control(1, "rules", 0, rules=[msgspec.to_builtins(RULE)])])
    fold.step([pay(2, 700), pay(3, 701)])
    assert decided(fold, pay(4, 702)) is Decision.HOLD
    faults = fold.step([control(5, "windows", 703, windows=documents(SUM))]).faults
    assert not faults
    assert fold.house.own == (SUM,)
    assert decided(fold, pay(6, 704)) is Decision.ALLOW
    fold.step([control(7, "windows", 705, windows=documents(COUNT, SUM))])
    assert decided(fold, pay(8, 706)) is Decision.HOLD

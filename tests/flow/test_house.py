"""The house's own windows: what may be declared, what a change keeps, and what rules read meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.flow.stream import event

from tocsin.core.desk import Aggregate, Rule, Window
from tocsin.core.events import SECOND, Event
from tocsin.core.signal import Decision, Mode, Text
from tocsin.errors import Misconfigured
from tocsin.flow import house
from tocsin.flow.fold import Fold
from tocsin.flow.state import logs_of, restore_into, state_of
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
    """The rule stays and does not fire; when the window comes back it begins anew, as after a restart."""
    fold.house.declare(documents(COUNT, SUM))
    fold.step([control(1, "rules", 0, rules=[msgspec.to_builtins(RULE)])])
    fold.step([pay(2, 700), pay(3, 701)])
    assert decided(fold, pay(4, 702)) is Decision.HOLD
    faults = fold.step([control(5, "windows", 703, windows=documents(SUM))]).faults
    assert not faults
    assert fold.house.own == (SUM,)
    assert decided(fold, pay(6, 704)) is Decision.ALLOW
    fold.step([control(7, "windows", 705, windows=documents(COUNT, SUM))])
    assert fold.house.cold() == (COUNT,)
    assert [decided(fold, pay(8 + n, 706 + n)) for n in range(3)] == [Decision.ALLOW] * 3
    assert decided(fold, pay(11, 1306)) is Decision.HOLD


KINDS = (
    {"fold": Aggregate.COUNT, "span_s": 600},
    {"fold": Aggregate.SUM, "span_s": 7200, "field": "amount"},
    {"fold": Aggregate.DISTINCT, "span_s": 86_400, "field": "ip"},
    {"fold": Aggregate.RECENCY, "span_s": 7200, "delay_s": 60},
    {"fold": Aggregate.COUNT, "span_s": 900, "delay_s": 7200},
    {"fold": Aggregate.SUM, "span_s": 1800, "delay_s": 7200, "field": "amount"},
)


def own(kind: int, span: int, name: str) -> Window:
    """Return a window on the plane, a sketch or a plain store; by other spans other ones of the same kind."""
    parts = KINDS[kind]
    return Window(name=name, by="card", of=(PAY,), **{**parts, "span_s": parts["span_s"] * span})


def test_windows_that_change_often_keep_nothing_of_what_they_were(fold: Fold) -> None:
    """One slot for each that is declared, and no memory of those that are not."""
    fold.step([pay(1, 0)])
    fold.house.declare(documents(*(own(kind, 1, f"w{kind}") for kind in range(len(KINDS)))))
    first = len(fold.windows.windows)
    for change in range(2, 12):
        fold.house.declare(documents(*(own(kind, change, f"w{kind}") for kind in range(len(KINDS)))))
        fold.step([pay(change, change)])
    assert len(fold.windows.windows) == first
    assert len(fold.windows.slots) == first
    if fold.engine.wide:
        held = [len(fold.windows.planes), len(fold.windows.sketches), len(fold.windows.stores)]
        fresh = Fold([Desk()], wide=True)
        fresh.house.declare(fold.house.documents())
        assert held == [len(fresh.windows.planes), len(fresh.windows.sketches), len(fresh.windows.stores)]


def test_a_window_of_a_desk_keeps_its_state_when_a_twin_of_it_goes(fold: Fold) -> None:
    """State belongs to what is counted, not to the name."""
    twin = msgspec.structs.replace(Desk.windows[0], name="twin")
    fold.step([pay(1, 0)])
    fold.house.declare(documents(twin))
    fold.step([pay(2, 1)])
    fold.house.declare([])
    batch = fold.engine.batch([pay(3, 2)])
    table = fold.windows.table(Desk.windows, fold.windows.step(batch), 1)
    assert table["desk_count"].values.tolist() == [3.0]


@pytest.mark.skipif(not AVAILABLE, reason="no numba")
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_both_planes_and_a_restart_agree_whatever_is_declared_and_withdrawn(data: st.DataObject) -> None:
    """Declarations change between events: the compiled plane, the plain one and a restored one say the same."""
    folds = [Fold([Desk()], wide=False), Fold([Desk()], wide=True)]
    kinds = st.tuples(st.integers(0, 3), st.integers(1, 2))
    second = 0
    for seq in range(1, data.draw(st.integers(3, 25))):
        second += data.draw(st.sampled_from((0, 1, 300, 4000)))
        if data.draw(st.integers(0, 3)) == 0:
            wanted = data.draw(st.lists(kinds, max_size=4, unique=True))
            change = documents(*(own(kind, span, f"w{kind}{span}") for kind, span in wanted))
            events = [control(seq, "windows", second, windows=change)]
        else:
            card, ip = data.draw(st.sampled_from("abc")), data.draw(st.sampled_from("xyz"))
            tau = 1_700_000_000 * SECOND + second * SECOND
            events = [event(seq, PAY, tau, card=card, ip=ip, amount=seq)]
        for one in folds:
            one.step(events)
        if data.draw(st.integers(0, 5)) == 0:
            restored = Fold([Desk()], wide=True, hasher=folds[1].engine.hasher)
            restore_into(restored, *kept(folds[1]))
            plain = {window.fingerprint() for store in folds[1].windows.stores for _, window in store.windows}
            if not plain:
                assert restored.digest() == folds[1].digest()
                folds[1] = restored
        values = [read(one, seq, second) for one in folds]
        assert values[0] == values[1]


def kept(fold: Fold) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the state of a fold as a snapshot holds it, the logs of its planes with it."""
    meta, parts = state_of(fold)
    arrays = {
        name: one.copy() if isinstance(one, np.ndarray) else np.concatenate(list(one)) for name, one in parts.items()
    }
    for name, log in logs_of(fold).items():
        first, last = log.bounds()
        rows = log.rows(first, last)
        assert rows is not None
        arrays[name], arrays[f"{name}.first"] = np.concatenate(rows), np.array([first])
    return meta, arrays


def read(fold: Fold, seq: int, second: int) -> list[tuple[str, str]]:
    """Return what an event after all would read, without entering it."""
    (part,) = fold.windows.split([frozenset(range(256))])
    batch = fold.engine.batch([pay(seq + 1, second)])
    columns = part.step(batch)
    return [(window.name, repr(float(columns[part.slots[window.fingerprint()]][0]))) for window in fold.house.own]

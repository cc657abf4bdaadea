"""Plan, guard, record, actuate, record, verify, keep or undo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tocsin.actuators.shadow import ShadowActuator
from tocsin.core.action import VERBS, Action, ActionState, Expectation, Outcome, Receipt, Ruling
from tocsin.core.events import MINUTE, SECOND, Event
from tocsin.core.incident import Incident, Phase
from tocsin.core.playbook import Automation, Playbook, Step
from tocsin.core.records import Limit
from tocsin.core.signal import Signal, Text, signal_id
from tocsin.errors import Conflict, Retryable
from tocsin.ledger.memory import MemoryRecords
from tocsin.runtime.casebook import Casebook
from tocsin.runtime.clock import DataClock
from tocsin.runtime.feed import Feed
from tocsin.runtime.responder import Responder

START = 1_700_000_000 * SECOND
BLOCK = Playbook(
    name="block",
    title=Text("Block", "封禁"),
    on=("flood",),
    steps=(
        Step(verb="ip.block", target="${incident.entities.ip}", ttl_s=600, expect=Expectation("requests", "down", 60)),
    ),
)


class House:
    """A responder over memory, on the data's clock."""

    def __init__(
        self, *, actuators: Sequence[Any] = (), records: MemoryRecords | None = None, auto: bool = True
    ) -> None:
        self.records = records or MemoryRecords()
        self.clock = DataClock(START)
        self.shadow = ShadowActuator()
        self.emitted: list[Event] = []
        self.levels: dict[str, list[tuple[int, float]]] = {}
        self.killed = False
        if auto:
            row = Limit(id="automation/playbook:block", kind="automation", key="playbook:block", word="auto")
            self.records.table(Limit).put(row)
        book = Casebook(self.records, ceiling=Automation.AUTO, killed=lambda: self.killed)
        self.responder = Responder(
            book,
            self.records,
            kinds={"flood": Text("Flood", "洪水")},
            playbooks=lambda: [BLOCK],
            conditions=lambda text, incident: True,
            actuators=actuators or (self.shadow,),
            reveal=lambda action: {},
            levels=self._levels,
            emit=self.emitted.extend,
            feed=Feed(),
            now=self.clock.now,
        )

    def _levels(self, series: str, shop: str, start: int, end: int) -> list[float]:
        return [value for at, value in self.levels.get(series, []) if start <= at < end]

    def signal(self, ip: str = "203.0.113.7", at: int = START) -> None:
        self.clock.observe(at)
        subject = f"ip:{ip}"
        signal = Signal(
            id=signal_id("attack", "flood", "shop", subject, at),
            desk="attack",
            kind="flood",
            shop="shop",
            subject=subject,
            score=0.95,
            onset=at - MINUTE,
            tau=at,
            entities={"ip": ip},
        )
        self.responder.take([(1, signal)], at)

    def settle(self) -> None:
        self.responder.barrier().result(10)

    def actions(self) -> list[Action]:
        return list(self.records.table(Action).find({}, order="created"))

    def incident(self) -> Incident:
        (only,) = self.records.table(Incident).find({})
        return only

    def go_on(self, seconds: float) -> None:
        self.clock.observe(self.clock.now() + int(seconds * SECOND))
        self.settle()
        self.settle()


@pytest.fixture
def house() -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(**arguments: Any) -> House:
        made.append(House(**arguments))
        made[-1].responder.start()
        return made[-1]

    yield make
    for one in made:
        one.responder.stop()


def test_a_new_installation_only_suggests(house: Callable[..., House]) -> None:
    here = house(auto=False)
    here.signal()
    here.settle()
    assert [action.state for action in here.actions()] == [ActionState.SUGGESTED]
    assert here.shadow.entries == ()


def test_on_auto_the_ruling_is_recorded_before_the_action_is_done(house: Callable[..., House]) -> None:
    records = MemoryRecords()
    seen: list[int] = []

    class Watching(ShadowActuator):
        def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
            seen.append(records.table(Ruling).count({"action": action.id, "answer": "ALLOW"}))
            return super().do(action, sealed)

    here = house(records=records, actuators=(Watching(),))
    here.signal()
    here.settle()
    assert seen == [1]
    assert [action.state for action in here.actions()] == [ActionState.DONE]
    assert here.incident().phase is Phase.MITIGATING


def test_an_effect_expires_by_itself_and_is_renewed_when_the_trouble_comes_back(house: Callable[..., House]) -> None:
    here = house()
    here.signal()
    here.settle()
    here.go_on(601)
    assert [action.state for action in here.actions()] == [ActionState.EXPIRED]
    here.signal(at=here.clock.now())
    here.settle()
    assert sorted(action.state for action in here.actions()) == [ActionState.DONE, ActionState.EXPIRED]


def test_what_makes_no_difference_is_undone(house: Callable[..., House]) -> None:
    here = house()
    here.levels["requests"] = [(START + n * 10 * SECOND, 100.0 + n % 3) for n in range(-30, 30)]
    here.signal()
    here.settle()
    here.go_on(61)
    (action,) = here.actions()
    assert (action.state, action.effect) == (ActionState.UNDONE, "no_difference")


def test_what_helped_is_kept_until_it_expires(house: Callable[..., House]) -> None:
    here = house()
    here.levels["requests"] = [(START + n * 10 * SECOND, 100.0 + n % 3 if n < 0 else 5.0) for n in range(-30, 30)]
    here.signal()
    here.settle()
    here.go_on(61)
    (action,) = here.actions()
    assert (action.state, action.effect) == (ActionState.DONE, "helped")


def test_the_kill_switch_stops_everything_also_what_a_person_approves(house: Callable[..., House]) -> None:
    here = house(auto=False)
    here.signal()
    here.settle()
    here.killed = True
    here.responder.approve(here.actions()[0].id, "ana").result(30)
    here.settle()
    assert here.actions()[0].state is ActionState.DENIED
    assert here.shadow.entries == ()


def test_a_person_approves_then_undoes(house: Callable[..., House]) -> None:
    here = house(auto=False)
    here.signal()
    here.settle()
    id = here.actions()[0].id
    here.responder.approve(id, "ana").result(30)
    here.settle()
    assert here.actions()[0].state is ActionState.DONE
    here.responder.undo(id, "ana").result(30)
    here.settle()
    assert (here.actions()[0].state, here.actions()[0].by) == (ActionState.UNDONE, "ana")
    with pytest.raises(Conflict):
        here.responder.undo(id, "ana").result(30)


def test_a_false_alarm_is_dismissed_and_its_effects_are_undone(house: Callable[..., House]) -> None:
    here = house()
    here.signal()
    here.settle()
    here.responder.label(here.incident().id, "false_alarm", "ana").result(30)
    here.settle()
    assert here.incident().phase is Phase.DISMISSED
    assert [action.state for action in here.actions()] == [ActionState.UNDONE]
    assert any(event.type == "tocsin.label" for event in here.emitted)


def test_a_quiet_incident_is_monitored_then_resolved(house: Callable[..., House]) -> None:
    here = house()
    here.signal()
    here.settle()
    here.go_on(3 * 60 + 1)
    assert here.incident().phase is Phase.MONITORING
    here.go_on(12 * 60)
    assert here.incident().phase is Phase.RESOLVED


def test_after_a_jump_of_the_clock_an_incident_goes_through_all_that_is_due(house: Callable[..., House]) -> None:
    """At once, and by every phase: what it comes to does not depend on how often the responder looks."""
    here = house()
    here.signal()
    here.settle()
    here.clock.observe(here.clock.now() + 15 * MINUTE + SECOND)
    here.settle()
    assert here.incident().phase is Phase.RESOLVED
    moves = [moment.detail["to"] for moment in here.incident().timeline if moment.what == "phase"]
    assert moves[-2:] == ["monitoring", "resolved"]


def test_one_stuck_actuator_blocks_no_other(house: Callable[..., House]) -> None:
    release = threading.Event()

    class Stuck(ShadowActuator):
        def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
            release.wait(20)
            return super().do(action, sealed)

    here = house(actuators=(Stuck(["ip.block"], name="stuck"), ShadowActuator(set(VERBS) - {"ip.block"})))
    here.signal()
    try:
        until = time.monotonic() + 5
        while not here.records.table(Incident).count() and time.monotonic() < until:
            time.sleep(0.01)
        labelled = here.responder.label(here.incident().id, "confirmed", "ana").result(30)
        assert labelled.label == "confirmed"
    finally:
        release.set()


def test_after_a_crash_between_ruling_and_action_the_same_action_is_done_under_the_same_key(
    house: Callable[..., House],
) -> None:
    records = MemoryRecords()
    first = house(records=records, actuators=(ShadowActuator(set(VERBS) - {"ip.block"}, name="none"),))
    first.signal()
    first.settle()
    (action,) = first.actions()
    table = records.table(Action)
    table.put(msgspec.structs.replace(action, state=ActionState.DUE, version=action.version + 1))
    second = house(records=records)
    second.settle()
    assert [entry.action.id for entry in second.shadow.entries] == [action.id]
    assert second.actions()[0].state is ActionState.DONE


def test_a_failure_that_may_pass_is_tried_again_and_a_final_one_is_told(house: Callable[..., House]) -> None:
    class Failing(ShadowActuator):
        calls = 0

        def do(self, action: Action, sealed: Mapping[str, str]) -> Receipt:
            self.calls += 1
            return Receipt(ok=False, detail="503", retry=True)

    failing = Failing()
    here = house(actuators=(failing,))
    here.signal()
    here.settle()
    for _ in range(8):
        here.go_on(16)
    assert failing.calls == 5
    assert here.actions()[0].state is ActionState.FAILED
    assert [outcome.what for outcome in here.records.table(Outcome).find({})] == ["failed"]
    assert here.incident().phase in (Phase.OPEN, Phase.MONITORING)


def test_every_change_is_told_to_the_journal_once(house: Callable[..., House]) -> None:
    here = house()
    here.signal()
    here.settle()
    identities = [(event.type, event.id) for event in here.emitted]
    assert len(identities) == len(set(identities))
    assert {"tocsin.incident", "tocsin.ruling", "tocsin.action", "tocsin.outcome"} <= {type for type, _ in identities}


def test_a_signal_that_the_records_do_not_take_is_tried_again_and_told(house: Callable[..., House]) -> None:
    class Full(MemoryRecords):
        left = 0

        def transaction(self) -> Any:
            if self.left:
                self.left -= 1
                raise Retryable("records: the disk is full")
            return super().transaction()

    records = Full()
    here = house(records=records)
    records.left = 2
    here.signal()
    until = time.monotonic() + 10
    while "responder" not in here.responder.faults and time.monotonic() < until:
        time.sleep(0.01)
    assert here.responder.faults["responder"] == "records: the disk is full"
    here.settle()
    assert [action.state for action in here.actions()] == [ActionState.DONE]
    assert "responder" not in here.responder.faults


def test_one_broken_playbook_is_told_and_keeps_no_other_from_answering(house: Callable[..., House]) -> None:
    here = house()
    broken = msgspec.structs.replace(BLOCK, name="broken", steps=(Step(verb="notify", args={"text": "${nonsense}"}),))
    here.responder._playbooks = lambda: [broken, BLOCK]
    here.signal()
    here.settle()
    assert [action.verb for action in here.actions()] == ["ip.block"]
    assert "nonsense" in here.responder.faults["playbook:broken"]

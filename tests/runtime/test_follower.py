"""Follower: whatever is noted is in the records or behind the cursor, whoever writes it and whoever dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.ledger.test_compactor import state_of, until
from tests.runtime.test_embedded import START, Flood, payment

from tocsin.app import build
from tocsin.config import load
from tocsin.core.events import Event
from tocsin.core.records import Switch
from tocsin.core.signal import Decision, Verdict
from tocsin.errors import Retryable
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.recorder import RecorderProcess
from tocsin.ledger.records import SqlRecords
from tocsin.runtime import follower as follower_module
from tocsin.runtime.clock import DataClock
from tocsin.runtime.feed import Feed
from tocsin.runtime.follower import CURSOR, Follower, RecorderHere
from tocsin.runtime.verdicts import build as built

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tocsin.core.ports import Records


def judged(n: int) -> Verdict:
    return built(payment(n), None, mode="live", fallback=Decision.ALLOW)


def resolved(verdict: Verdict, outcome: str) -> Event:
    data = {"verdict": verdict.id, "outcome": outcome}
    return Event(id="r" + verdict.id, source="t", type="verdict.resolved", time=START, data=data)


class Locked(MemoryRecords):
    """Records that can refuse."""

    locked = False

    def transaction(self) -> Any:
        if self.locked:
            raise Retryable("the database is locked", after_s=1)
        return super().transaction()


class Heard(RecorderHere):
    """Keeps the JSON that it is given."""

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self.bodies: dict[str, bytes] = {}

    def write(self, verdicts: Sequence[Verdict], cursor: Switch | None, bodies: Mapping[str, bytes] = {}) -> None:
        self.bodies.update(bodies)
        super().write(verdicts, cursor, bodies)


def test_the_json_of_a_verdict_is_that_of_its_newest_state() -> None:
    """Noted again without it, or resolved, in the same batch: it is not written as it was before."""
    records = MemoryRecords()
    heard = Heard(records)
    follower = Follower(records, Feed(), heard)
    first, second, third = judged(1), judged(2), judged(3)
    follower.note(1, [first, second, third], [], {one.id: b"{}" for one in (first, second, third)})
    follower.note(2, [first], [resolved(second, "released")])
    follower.start()
    follower.stop()
    assert heard.bodies == {third.id: b"{}"}


class Slow(RecorderHere):
    """Writes when it may."""

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self.may = threading.Event()
        self.sizes: list[int] = []

    def write(self, verdicts: Sequence[Verdict], cursor: Switch | None, bodies: Mapping[str, bytes] = {}) -> None:
        self.may.wait()
        self.sizes.append(len(verdicts))
        super().write(verdicts, cursor, bodies)


@pytest.fixture(params=["here", "process"])
def follower(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Follower, Records]]:
    records = SqlRecords(f"sqlite:///{tmp_path / 'records.sqlite'}")
    store = records.store()
    assert store is not None
    follower = Follower(records, Feed(), RecorderProcess(store) if request.param == "process" else None)
    follower.start()
    yield follower, records
    follower.stop()
    records.close()


def test_all_that_was_noted_is_written_at_the_stop(follower: tuple[Follower, Records]) -> None:
    """Verdicts of the last moment, their endings and the cursor: nothing waits any more."""
    one, records = follower
    verdicts = [judged(n) for n in range(300)]
    for seq, verdict in enumerate(verdicts, 1):
        one.note(seq, [verdict], [resolved(verdicts[0], "released")] if seq == 300 else [])
    one.reach(900)
    one.stop()
    table = records.table(Verdict)
    assert table.count() == 300
    assert [table.get(verdict.id) for verdict in verdicts[1:]] == verdicts[1:]
    ended = table.get(verdicts[0].id)
    assert ended is not None
    assert ended.outcome == "released"
    assert (one.cursor, one.failures) == (900, 0)


def test_an_ending_finds_its_verdict_wherever_that_is(
    follower: tuple[Follower, Records], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same batch, in memory, or in the table alone; asked again it is the newest state."""
    monkeypatch.setattr(follower_module, "RECENT", 2)
    one, records = follower
    verdicts = [judged(n) for n in range(5)]
    one.note(1, verdicts, [])
    assert one.settle(10)
    one.note(2, [judged(9)], [resolved(verdicts[0], "confirmed"), resolved(verdicts[4], "released"),
                              resolved(judged(9), "expired"), resolved(judged(77), "released")])  # fmt: skip
    assert one.settle(10)
    for verdict, outcome in ((verdicts[0], "confirmed"), (verdicts[4], "released"), (judged(9), "expired")):
        for found in (one.verdict(verdict.id), records.table(Verdict).get(verdict.id)):
            assert found is not None
            assert found.outcome == outcome
    assert records.table(Verdict).count() == 6


def test_a_writer_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """Kill -9 of the child time and again while verdicts come: all are written, none is a failure."""
    tocsin = build(load({"data_dir": str(tmp_path)}, {}), clock=DataClock(START), desks=[Flood()])
    recorder = tocsin.follower._recorder
    assert isinstance(recorder, RecorderProcess)
    tocsin.start()
    seen: list[int] = []
    for seq in range(1, 61):
        tocsin.follower.note(seq, [judged(seq * 10 + k) for k in range(10)], [])
        if seq % 20 == 10:
            # The next batch has not been taken up, or is on its way: it waits a moment for company.
            until(lambda: recorder.process not in (0, *seen))
            seen.append(recorder.process)
            os.kill(seen[-1], signal.SIGKILL)
        if seq % 20 == 0:
            assert tocsin.follower.settle(20)
    child = recorder.process
    assert child not in (0, *seen)
    assert tocsin.records.table(Verdict).count() == 600
    assert (tocsin.follower.cursor, tocsin.follower.failures) == (60, 0)
    tocsin.stop()
    assert [state_of(one) for one in (*seen, child)] == [""] * 4


def test_the_cursor_of_verdicts_waits_for_what_the_records_did_not_take() -> None:
    """Otherwise the next start would not write them again."""
    records = Locked()
    follower = Follower(records, Feed())
    follower.start()
    verdicts = [judged(n) for n in range(3)]
    for seq, verdict in enumerate(verdicts, 1):
        records.locked = seq == 2
        follower.note(seq, [verdict], [])
        assert follower.settle(5)
    follower.stop()
    assert follower.failures == 1
    assert records.table(Verdict).count({}) == 2
    cursor = records.table(Switch).get(CURSOR)
    assert cursor is not None and cursor.number == follower.cursor == 1


def test_a_cursor_that_rests_stays_behind_what_was_not_written() -> None:
    """A quiet cursor follows what has been noted, but not past verdicts that the records did not take."""
    for locked in (False, True):
        records = Locked()
        follower = Follower(records, Feed())
        follower.start()
        records.locked = locked
        follower.note(3, [judged(1)], [])
        follower.reach(3)
        assert follower.settle(5)
        records.locked = False
        follower.reach(900)
        follower.stop()
        assert follower.cursor == (0 if locked else 900)


def test_what_waits_is_bounded_and_who_notes_more_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile a verdict is found in memory; as soon as a batch is written there is room, and nothing is lost."""
    monkeypatch.setattr(follower_module, "MOST_BEHIND", 8)
    monkeypatch.setattr(follower_module, "MOST_TOGETHER", 4)
    monkeypatch.setattr(follower_module, "WAITS_S", 60.0)
    records = MemoryRecords()
    recorder = Slow(records)
    follower = Follower(records, Feed(), recorder)
    follower.start()
    noted: list[int] = []

    def note() -> None:
        for seq in range(1, 31):
            follower.note(seq, [judged(seq)], [])
            noted.append(seq)

    noting = threading.Thread(target=note)
    noting.start()
    until(lambda: len(noted) == 8)
    noting.join(0.3)
    assert noting.is_alive()
    assert len(noted) == 8
    assert records.table(Verdict).count({}) == 0
    assert follower.verdict(judged(8).id) == judged(8)
    recorder.may.set()
    noting.join(10)
    follower.stop()
    assert records.table(Verdict).count({}) == 30
    assert (follower.cursor, follower.failures) == (30, 0)
    assert max(recorder.sizes) <= 8


def test_records_that_take_nothing_hold_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has waited once waits no more; what had no room is behind the cursor, and found in memory."""
    monkeypatch.setattr(follower_module, "MOST_BEHIND", 8)
    monkeypatch.setattr(follower_module, "WAITS_S", 0.3)
    records = MemoryRecords()
    recorder = Slow(records)
    follower = Follower(records, Feed(), recorder)
    follower.start()
    began = time.monotonic()
    for seq in range(1, 101):
        follower.note(seq, [judged(seq)], [])
    assert 0.3 <= time.monotonic() - began < 10
    assert follower.failures == 92
    assert follower.verdict(judged(100).id) == judged(100)
    recorder.may.set()
    assert follower.settle(10)
    follower.note(101, [judged(101)], [])
    follower.reach(101)
    follower.stop()
    assert records.table(Verdict).count({}) == 9
    assert follower.cursor <= 8


def test_the_journal_is_held_for_what_has_not_been_written() -> None:
    """Up to the last batch while one is on its way, up to what was reached when nothing is; not where it is refused."""
    records = Locked()
    recorder = Slow(records)
    follower = Follower(records, Feed(), recorder)
    follower.start()
    follower.reach(3)
    assert follower.written(3) == 3
    recorder.may.set()
    follower.note(5, [judged(5)], [])
    follower.reach(6)
    assert follower.written(6, 10) == 6
    recorder.may.clear()
    follower.note(8, [judged(8)], [])
    follower.reach(9)
    assert follower.written(9, 0.2) == 5
    records.locked = True
    recorder.may.set()
    assert follower.written(9, 10) == 9
    recorder.may.clear()
    follower.note(10, [judged(10)], [])
    assert follower.written(9, 0) == 9
    recorder.may.set()
    follower.stop()


def test_a_start_finds_in_the_journal_whatever_is_not_in_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots may stand for the fold already: a segment is kept as long as a verdict in it has not been written."""
    tocsin = build(load({"data_dir": str(tmp_path)}, {}), clock=DataClock(START), desks=[Flood()])
    told: list[int] = []
    slow = Slow(tocsin.records)
    monkeypatch.setattr(tocsin.journal, "covered", told.append)
    monkeypatch.setattr(tocsin.snapshots, "covered", lambda: 100)
    monkeypatch.setattr(tocsin.follower, "_recorder", slow)
    tocsin.start()
    tocsin.follower.note(40, [judged(1)], [])
    tocsin.follower.reach(200)
    tocsin._covered(0)
    slow.may.set()
    tocsin._covered(0)
    assert told == [0, 100]
    tocsin.stop()

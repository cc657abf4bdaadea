"""The ask lane: callers whose events become rows are told what single events are told, each exactly once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.runtime.test_bulk import PAY, START, Till, documents, pair, settled, start
from tests.runtime.test_embedded import Failing

from tocsin.app import Tocsin
from tocsin.config import load
from tocsin.core.events import SECOND, Event
from tocsin.core.signal import Decision, Verdict
from tocsin.errors import BadEvent, Retryable
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger.memory import MemoryRecords
from tocsin.runtime import asklane
from tocsin.runtime.clock import DataClock
from tocsin.runtime.verdicts import LineJob

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")


class Caller(LineJob):
    """A caller in a thread of its own."""

    def __init__(self, tocsin: Tocsin, document: Any, *, strict: bool = False, shop: str = "default") -> None:
        line = document if isinstance(document, bytes) else msgspec.json.encode(document)

        def read(job: LineJob) -> Event:
            try:
                job.document = msgspec.json.decode(job.line)
            except msgspec.MsgspecError as error:
                raise BadEvent("this is not JSON", code="malformed") from error
            return tocsin.door.admit(
                job.document, now=tocsin.clock.now(), live=False, shop=job.shop or None, strict=job.strict
            )

        super().__init__(line, shop, strict, read)
        self.error: BadEvent | Retryable | None = None

    def refuse(self, document: Any, error: BadEvent | Retryable) -> None:
        self.document, self.error = document, error


def put(tocsin: Tocsin, callers: Sequence[Caller]) -> Sequence[Caller]:
    assert tocsin.host.asks is not None
    tocsin.host.asks.put(callers)
    tocsin.host.ask_rows()
    return callers


def answers(callers: Sequence[Caller]) -> list[Verdict]:
    return [caller.future.result(10) for caller in callers]


def pay(id: Any, **data: Any) -> dict[str, Any]:
    told = {"card": "c1", "amount": 5, **data}
    return {"specversion": "1.0", "id": str(id), "source": "t", "type": PAY, "time": START, "data": told}


def told(tocsin: Tocsin) -> list[Event]:
    """Return the journal without what the responder made of it, in its own time, and so without seqs."""
    kept = ("tocsin.verdict", "tocsin.signal")
    found = [event for event in tocsin.journal.read(0) if not event.internal or event.type in kept]
    return [msgspec.structs.replace(event, seq=0) for event in found]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Tocsin]:
    made = start(tmp_path)
    yield made
    made.stop()


def test_rows_are_told_what_events_are_told(tmp_path: Path) -> None:
    """The same journal, verdicts of its own included, the same records and the same state, however they come in."""
    rows, events = pair(tmp_path)
    rng, wanted, at = random.Random(4), documents(400, seed=9), 0
    try:
        while at < len(wanted):
            part = wanted[at : at + rng.choice((1, 2, 7, 16))]
            at += len(part)
            with rows.host._folding, events.host._folding:
                here = put(rows, [Caller(rows, one) for one in part])
                there = [events.host.verdict(events.door.admit(one, now=START, live=False)) for one in part]
            assert answers(here) == [job.future.result(10) for job in there]
            assert [job.replayed for job in here] == [job.replayed for job in there]
        settled(rows), settled(events)
        assert told(rows) == told(events)
        assert rows.fold.digest() == events.fold.digest()
        assert rows.host.counters == events.host.counters
        assert rows.records.table(Verdict).find({}, order="id", limit=1000) == events.records.table(Verdict).find(
            {}, order="id", limit=1000
        )
        assert rows.views.overview(rows.fold.tau) == events.views.overview(events.fold.tau)
    finally:
        rows.stop()
        events.stop()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(
        st.sampled_from(("usual", "spaced", "pretty", "unversioned", "nonsense", "two", "wrong", "again", "other")),
        min_size=1,
        max_size=20,
    ),
    strict=st.booleans(),
)
def test_each_caller_has_its_own_answer(house: Tocsin, kinds: list[str], strict: bool) -> None:
    """Whatever stands beside it in a batch: refused lines, odd layouts, other shops, the same event twice."""
    first = house.host.counters["accepted"] + house.host.counters["duplicates"]
    callers, expected = [], []
    for place, kind in enumerate(kinds):
        id = "same" if kind == "again" else f"{first}-{place}-{random.random()}"
        document: Any = pay(id, amount="much" if kind == "wrong" else 5)
        if kind == "unversioned":
            del document["specversion"]
        line = msgspec.json.encode(document)
        line = {
            "spaced": msgspec.json.format(line, indent=0),
            "pretty": msgspec.json.format(line, indent=2),
            "nonsense": b'{"id":',
            "two": line + b" " + line,
        }.get(kind, line)
        callers.append(Caller(house, line, strict=strict, shop="other" if kind == "other" else "default"))
        refused = {"nonsense": "malformed", "two": "malformed", "wrong": "wrong-type"}
        expected.append("missing" if kind == "unversioned" and strict else refused.get(kind, id))
    put(house, callers)
    for caller, awaited in zip(callers, expected, strict=True):
        if caller.error is not None:
            assert isinstance(caller.error, BadEvent) and caller.error.code == awaited
        else:
            assert caller.future.result(10).event_id == awaited


def test_a_chunk_that_is_full_loses_nobody(house: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the fold is held up, rows go on into further chunks, and are answered in their order."""
    monkeypatch.setattr(asklane, "ROWS", 8)
    assert house.host.asks is not None
    house.host.asks._open.chunk = house.host.asks._fresh_chunk(8)
    with house.host._folding:
        callers = [Caller(house, pay(n) if n % 5 else b"\n" + msgspec.json.encode(pay(n))) for n in range(100)]
        for first in range(0, 100, 20):
            put(house, callers[first : first + 20])
    found = answers(callers)
    assert [verdict.event_id for verdict in found] == [str(n) for n in range(100)]
    assert house.journal.last()[0] >= 200


def test_callers_from_many_threads_are_all_answered(house: Tocsin) -> None:
    """Scanned by one, folded by another, and chunks go round between them."""
    threads: list[threading.Thread] = []
    heard: dict[int, list[str]] = {}
    for number in range(8):

        def ask(number: int = number) -> None:
            mine = [put(house, [Caller(house, pay(f"{number}-{n}"))])[0] for n in range(40)]
            heard[number] = [verdict.event_id for verdict in answers(mine)]

        threads.append(threading.Thread(target=ask))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert heard == {number: [f"{number}-{n}" for n in range(40)] for number in range(8)}


def test_where_the_disk_refuses_callers_get_the_fall_back_and_the_host_goes_on(tmp_path: Path) -> None:
    """Rows that wait then are given up; when the disk is back the next ones are answered."""
    journal = Failing()
    chosen = load({"data_dir": str(tmp_path), "verdict_mode": "live", "verdict_fallback": "hold"}, {})
    tocsin = Tocsin(
        chosen, clock=DataClock(START), desks=[Till()], journal=journal, records=MemoryRecords(), folder=tmp_path
    )
    tocsin.start()
    try:
        assert not answers(put(tocsin, [Caller(tocsin, pay(1))]))[0].degraded
        journal.full = True
        for n in range(2, 6):
            heard = answers(put(tocsin, [Caller(tocsin, pay(n))]))[0]
            assert (heard.served, heard.event_id) == (Decision.HOLD, str(n))
        journal.full = False
        tocsin.host._outbox.drained(5)
        settled(tocsin)
        assert not answers(put(tocsin, [Caller(tocsin, pay(6))]))[0].degraded
    finally:
        tocsin.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fold_that_fails_leaves_no_caller_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose rows it had, those behind them, and those who come later hear the fall-back."""
    tocsin = start(tmp_path)

    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tocsin.fold, "step_asked", fails)
    with tocsin.host._folding:
        callers = [put(tocsin, [Caller(tocsin, pay(n))])[0] for n in range(3)]
    assert all(verdict.degraded for verdict in answers(callers))
    tocsin.host._thread.join(5)
    assert tocsin.host.stopped
    assert answers(put(tocsin, [Caller(tocsin, pay(9))]))[0].degraded
    tocsin.stop()


def test_a_repeated_question_gets_the_recorded_verdict(house: Tocsin) -> None:
    """Also in a batch in which others ask for the first time, and after other lanes brought the event."""
    first = answers(put(house, [Caller(house, pay("a", amount=950))]))[0]
    settled(house)
    house.clock.observe(START + SECOND)
    callers = put(house, [Caller(house, one) for one in (pay("b"), pay("a", amount=950), pay("c"), pay("b"))])
    found = answers(callers)
    assert [verdict.event_id for verdict in found] == ["b", "a", "c", "b"]
    assert found[1] == first and found[3] == found[0]
    assert [caller.replayed for caller in callers] == [False, True, False, False]

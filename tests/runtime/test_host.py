"""Nobody hangs: whatever thread fails or ends, and whenever, those who wait hear of it; the rest goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.test_embedded import START, Failing, Flood, payment, request

from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.core.signal import Decision, Verdict
from tocsin.errors import Retryable
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.ledger.memory import MemoryJournal, MemoryRecords
from tocsin.runtime import follower as follower_module
from tocsin.runtime import responder as responder_module
from tocsin.runtime.clock import DataClock
from tocsin.runtime.lanes import Lanes
from tocsin.runtime.verdicts import VerdictJob

LINE = b'{"id":"l%d","source":"t","type":"http.request","time":1700000000000000,"data":{"ip":"203.0.113.7","path":"/"}}'
BROKEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def house(folder: Path, journal: MemoryJournal | None = None, **more: Any) -> Tocsin:
    settings = load({"data_dir": str(folder), "verdict_mode": "live", "verdict_fallback": "hold", **more}, {})
    return Tocsin(
        settings, clock=DataClock(START), desks=[Flood()], journal=journal or MemoryJournal(),
        records=MemoryRecords(), folder=folder,
    )  # fmt: skip


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Tocsin]:
    made = house(tmp_path)
    made.start()
    yield made
    made.stop()


def breaks(tocsin: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tocsin.fold, "step", step)
    monkeypatch.setattr(tocsin.fold, "step_bulk", step)


@BROKEN
def test_a_fold_that_fails_leaves_nobody_waiting(running: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in the cycle, those behind it, and those who come later: a fall-back or a refusal for each."""
    breaks(running, monkeypatch)
    with running.host._folding:
        job = running.host.verdict(payment(1))
        sent = running.host.submit([request(1)])
        marked = running.host.settle()
    assert job.future.result(30).served is Decision.HOLD
    with pytest.raises(Retryable):
        sent.result(30)
    with pytest.raises(Retryable):
        marked.result(30)
    running.host._thread.join(5)
    assert running.host.stopped
    assert running.host.verdict(payment(2)).future.result(30).degraded
    for late in (lambda: running.host.submit([request(2)]), running.host.settle):
        with pytest.raises(Retryable):
            late()


@BROKEN
@pytest.mark.skipif(not AVAILABLE, reason="numba is not there")
def test_a_fold_that_fails_on_lines_answers_them_all(running: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is on its way to the disk by then, or refused; none is left open."""
    breaks(running, monkeypatch)
    wide = running.host.wide
    assert wide is not None
    with running.host._folding:
        futures = [wide.submit(LINE % n, "") for n in range(3)]
    for future in futures:
        assert future.exception(5) is None or isinstance(future.exception(5), Retryable)
    running.host._thread.join(5)
    with pytest.raises(Retryable):
        wide.submit(LINE % 9, "")


def test_a_cycle_that_fails_in_a_door_stops_the_host(running: Tocsin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a cycle has been folded: no later event may be folded on top of it."""
    running.host._single._calm = 100
    breaks(running, monkeypatch)
    job = VerdictJob(payment(1))
    until = time.monotonic() + 5
    with pytest.raises(ZeroDivisionError):
        while not running.host.answer_here([job]):
            assert time.monotonic() < until
    assert job.future.result(30).degraded
    running.host._thread.join(5)
    assert running.host.stopped and not running.host.finished


def test_a_stop_while_the_disk_refuses_ends(tmp_path: Path) -> None:
    """Own events that the disk does not take, and marks behind it, do not hold it up."""
    journal = Failing()
    tocsin = house(tmp_path, journal)
    tocsin.start()
    journal.full = True
    with pytest.raises(Retryable):
        tocsin.host.submit([request(1)]).result(30)
    tocsin.host.note([request(2)])
    marked = tocsin.host.settle()
    stopping = threading.Thread(target=tocsin.host.stop)
    stopping.start()
    stopping.join(10)
    assert not stopping.is_alive()
    with pytest.raises(Retryable):
        marked.result(30)
    assert not tocsin.host.finished
    journal.full = False
    tocsin.stop()


@pytest.mark.skipif(not AVAILABLE, reason="numba is not there")
def test_a_stop_takes_a_last_snapshot(tmp_path: Path) -> None:
    """The next start folds nothing again."""
    for events in (2, 0):
        tocsin = build(load({"data_dir": str(tmp_path)}, {}), clock=DataClock(START), desks=[Flood()])
        tocsin.start()
        assert tocsin.replayed.events == 0
        tocsin.host.submit([request(1), request(2)]).result(30)
        seq = tocsin.host.stamper.seq
        tocsin.stop()
        assert tocsin.host.finished
        assert tocsin.snapshots is not None
        found = tocsin.snapshots.newest()
        assert found is not None and found.seq == seq == 2, events


def test_what_must_happen_between_cycles_happens_under_load(running: Tocsin) -> None:
    """A writer that always has something to write does not put it off for ever."""
    ended = threading.Event()
    slow = running.journal.commit

    def commit() -> None:
        time.sleep(0.25)
        slow()

    running.journal.commit = commit  # type: ignore[method-assign]

    def send() -> None:
        n = 100
        while not ended.is_set():
            n += 1
            running.host.submit([request(n, ip=f"203.0.113.{n % 200}")])
            time.sleep(0.01)

    sender = threading.Thread(target=send)
    sender.start()
    done = threading.Event()
    running.host.between_cycles(lambda: done.set() or [])  # type: ignore[func-returns-value]
    try:
        assert done.wait(10)
    finally:
        ended.set()
        sender.join()
        running.journal.commit = slow  # type: ignore[method-assign]


def test_a_settled_host_has_written_folded_published_and_answered(running: Tocsin) -> None:
    """Whichever lane it came by, whoever folded it."""
    running.host._single._calm = 100
    for n in range(20):
        if n % 3:
            running.host.submit([request(n, ip=f"203.0.113.{n}")])
        else:
            job = VerdictJob(payment(n, n))
            if not running.host.answer_here([job]):
                running.host.ask(job)
        running.host.settle().result(30)
        assert running.journal.last()[0] == running.host.stamper.seq
        assert running.host._outbox.drained(1)
        assert not running.host.unpublished
        assert sum(running.views.overview(START)["counters"].values()) >= n + 1


def test_a_future_of_the_host_cannot_be_cancelled(running: Tocsin) -> None:
    """A caller who goes away must not break the thread that answers."""
    with running.host._folding:
        sent, marked = running.host.submit([request(1)]), running.host.settle()
        assert not sent.cancel() and not marked.cancel()
    sent.result(30)
    marked.result(30)


def test_lanes_take_nothing_after_their_end() -> None:
    """What waits is given back once; nobody can queue behind the last look."""
    lanes = Lanes(most_events=10, batch_events=10)
    lanes.submit([request(1)])
    assert lanes.ask(VerdictJob(payment(1)))
    left = lanes.end()
    assert (len(left.bulk), len(left.urgent)) == (1, 1)
    assert not lanes.ask(VerdictJob(payment(2)))
    with pytest.raises(Retryable):
        lanes.submit([request(2)])
    with pytest.raises(Retryable):
        lanes.barrier()


def test_a_stop_journals_what_the_last_signals_led_to(tmp_path: Path) -> None:
    """Incidents and actions are events, also those of the last moment: what learns from the journal must find them."""
    tocsin = house(tmp_path)
    tocsin.start()
    tocsin.host.submit([request(n, second=n / 10) for n in range(10)])
    tocsin.stop()
    types = [event.type for event in tocsin.journal.read(0)]
    assert "tocsin.signal" in types
    assert "tocsin.incident" in types


def test_a_quiet_shop_reads_little_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a verdict or a signal the cursors of both readers follow the journal, while it runs and at its end."""
    monkeypatch.setattr(follower_module, "REST_S", 0.02)
    monkeypatch.setattr(responder_module, "REST_S", 0.02)
    tocsin = house(tmp_path)
    tocsin.start()
    tocsin.host.submit([request(n, ip=f"192.0.2.{n}") for n in range(5)]).result(30)

    def cursors() -> list[int]:
        return [tocsin.follower.cursor, tocsin.casebook.cursor("responder")]

    until = time.monotonic() + 10
    while min(cursors()) < 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert cursors() == [5, 5]
    tocsin.host.submit([request(9)]).result(30)
    tocsin.stop()
    assert cursors() == [6, 6]


@pytest.mark.parametrize("ack", ["disk", "memory"])
def test_records_say_what_the_caller_was_told_when_the_disk_refused(tmp_path: Path, ack: str) -> None:
    """Who heard the fall-back finds it in the record, in the journal and when asking again; who was answered before
    the disk was asked finds what was computed.
    """
    journal = Failing()
    tocsin = house(tmp_path, journal, verdict_ack=ack)
    tocsin.start()
    try:
        journal.full = True
        told = tocsin.host.verdict(payment(1)).future.result(30)
        journal.full = False
        assert (told.served, bool(told.degraded)) == (
            (Decision.HOLD, True) if ack == "disk" else (Decision.ALLOW, False)
        )
        tocsin.host.settle().result(10)
        assert tocsin.follower.settle()
        found = tocsin.records.table(Verdict).get(told.id)
        written = [event.data for event in journal.read() if event.type == "tocsin.verdict"]
        again = tocsin.host.verdict(payment(1)).future.result(30)
        assert found is not None
        for one in (found, again):
            assert (one.served, one.degraded) == (told.served, told.degraded)
        assert [(one["served"], one.get("degraded", "")) for one in written] == [(told.served, told.degraded)]
        counted = tocsin.views.overview(START)["verdicts"]
        assert counted[told.served] == 1
    finally:
        tocsin.stop()

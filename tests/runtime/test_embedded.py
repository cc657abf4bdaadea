"""Stamp, fold, make durable, acknowledge, answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.core.desk import Aggregate, Batch, Bucket, Features, Judgement, Labelled, Miss, Rule, Window
from tocsin.core.events import MINUTE, SECOND, Event, split_subject
from tocsin.core.incident import Incident
from tocsin.core.signal import Decision, Mode, Signal, Text, signal_id
from tocsin.errors import Retryable
from tocsin.ledger.memory import MemoryJournal, MemoryRecords
from tocsin.runtime.clock import DataClock

START = 1_700_000_000 * SECOND


class Flood:
    """A desk that counts requests per address: over 5 in a minute is a flood."""

    name = "flood"
    version = 1
    reads = ("http.request", "payment.attempted")
    windows = (
        Window(name="requests_1m", fold=Aggregate.COUNT, by="ip", span_s=60, of=("http.request",)),
        Window(name="payments_1m", fold=Aggregate.COUNT, by="card", span_s=60, of=("payment.attempted",)),
    )
    series = ()
    deadlines = ()
    rules = (
        Rule(
            id="third-payment",
            when="features.payments_1m >= 3.0",
            decision=Decision.HOLD,
            code="velocity",
            text=Text("Too many payments", "付款过于频繁"),
            on=("payment.attempted",),
            mode=Mode.LIVE,
        ),
    )
    kinds = {"flood": Text("Flood", "洪水")}

    def judge(self, batch: Batch, features: Features) -> Judgement:
        counts = features["requests_1m"]
        signals = []
        for row in np.flatnonzero(counts.present & (counts.values > 5) & batch.of_type("http.request")):
            event = batch.events[int(row)]
            subject = f"ip:{event.data['ip']}"
            signal = Signal(
                id=signal_id("flood", "flood", event.shop, subject, event.tau),
                desk="flood", kind="flood", shop=event.shop, subject=subject, score=0.9,
                onset=event.tau - event.tau % MINUTE, tau=event.tau, entities={"ip": split_subject(subject)[1]},
            )  # fmt: skip
            signals.append((int(row), signal))
        return Judgement(scores=np.full(batch.n, np.nan), signals=signals)

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        return ()

    def learn(self, labelled: Labelled) -> None:
        return None

    def with_model(self, artefact: bytes | None) -> Flood:
        return self

    def playbooks(self) -> Sequence[Any]:
        return ()


def request(n: int, ip: str = "203.0.113.7", second: float = 0) -> Event:
    time = START + int(second * SECOND)
    return Event(id=str(n), source="edge", type="http.request", time=time, data={"ip": ip, "path": "/"})


def payment(n: int, second: float = 0) -> Event:
    time = START + int(second * SECOND)
    return Event(
        id=f"p{n}", source="shop", type="payment.attempted", time=time,
        data={"card": "c1", "amount": 100, "currency": "CNY"},
    )  # fmt: skip


def start(folder: Path, **settings: Any) -> Tocsin:
    values = {"data_dir": str(folder), "verdict_mode": "live", **settings}
    tocsin = build(load(values, {}), clock=DataClock(START), desks=[Flood()])
    tocsin.start()
    return tocsin


@pytest.fixture
def tocsin(tmp_path: Path) -> Iterator[Tocsin]:
    running = start(tmp_path / "data")
    yield running
    running.stop()


def test_acknowledged_events_are_in_the_journal_in_order_and_duplicates_are_told(tocsin: Tocsin) -> None:
    receipts = tocsin.host.submit([request(1), request(2), request(1)]).result(30)
    assert [(r.seq, r.duplicate) for r in receipts] == [(1, False), (2, False), (1, True)]
    assert [(e.seq, e.id) for e in tocsin.journal.read(0)][:2] == [(1, "1"), (2, "2")]


def test_a_signal_becomes_an_incident_and_both_are_in_the_journal(tocsin: Tocsin) -> None:
    tocsin.host.submit([request(n, second=n / 10) for n in range(10)]).result(30)
    tocsin.host.settle().result(30)
    (incident,) = tocsin.records.table(Incident).find({})
    assert (incident.kind, incident.subject) == ("flood", "ip:203.0.113.7")
    tocsin.host.settle().result(30)
    types = [event.type for event in tocsin.journal.read(0)]
    assert types.count("tocsin.signal") == 1
    assert "tocsin.incident" in types


def test_a_verdict_is_journaled_with_its_features_and_a_repeated_request_gets_the_same(tocsin: Tocsin) -> None:
    verdicts = [tocsin.host.verdict(payment(n, n)).future.result(30) for n in range(4)]
    assert [v.served for v in verdicts] == [Decision.ALLOW, Decision.ALLOW, Decision.HOLD, Decision.HOLD]
    assert verdicts[3].features["payments_1m"] == 4.0
    assert tocsin.host.verdict(payment(2, 2)).future.result(30) == verdicts[2]
    journaled = [event.data for event in tocsin.journal.read(0) if event.type == "tocsin.verdict"]
    assert [data["served"] for data in journaled] == ["allow", "allow", "hold", "hold"]


def test_shadow_mode_serves_allow_and_records_what_was_computed(tmp_path: Path) -> None:
    running = start(tmp_path, verdict_mode="shadow")
    try:
        verdicts = [running.host.verdict(payment(n, n)).future.result(30) for n in range(3)]
        assert (verdicts[2].computed, verdicts[2].served) == (Decision.HOLD, Decision.ALLOW)
    finally:
        running.stop()


def test_a_restart_folds_the_journal_to_the_same_state(tmp_path: Path) -> None:
    first = start(tmp_path)
    for n in range(30):
        first.host.submit([request(n, second=n), payment(n, n)]).result(30)
    first.host.settle().result(30)
    digest, seq = first.fold.digest(), first.host.stamper.seq
    first.stop()
    second = start(tmp_path)
    try:
        assert second.replayed.rederived == 0
        assert second.fold.digest() == digest
        assert second.host.stamper.seq == seq
        assert second.host.verdict(payment(5, 5)).future.result(30).tau == START + 5 * SECOND
    finally:
        second.stop()


class Failing(MemoryJournal):
    """A journal whose disk can be full."""

    full = False

    def commit(self) -> None:
        if self.full:
            raise Retryable("no space left on the device", after_s=5)
        super().commit()

    def recover(self) -> None:
        if self.full:
            raise Retryable("no space left on the device", after_s=5)
        self._pending.clear()
        self._next = self._at


def test_a_full_disk_refuses_events_serves_the_fallback_and_loses_nothing_that_was_folded(tmp_path: Path) -> None:
    journal = Failing()
    settings = load({"data_dir": str(tmp_path), "verdict_mode": "live", "verdict_fallback": "hold"}, {})
    running = Tocsin(
        settings, clock=DataClock(START), desks=[Flood()], journal=journal, records=MemoryRecords(), folder=tmp_path
    )
    running.start()
    try:
        running.host.submit([request(1)]).result(30)
        journal.full = True
        with pytest.raises(Retryable, match="no space"):
            running.host.submit([request(2)]).result(30)
        verdict = running.host.verdict(payment(1)).future.result(30)
        assert (verdict.served, verdict.degraded) == (Decision.HOLD, "journal unavailable")
        assert running.host.counters["verdicts_degraded"] >= 1
        journal.full = False
        sent = time.monotonic()
        while running.host.refusing and time.monotonic() < sent + 5:
            time.sleep(0.01)
        receipts = running.host.submit([request(2), request(3)]).result(30)
        assert [receipt.duplicate for receipt in receipts] == [True, False]
        running.host.settle().result(30)
        external = [event.id for event in journal.read(0) if not event.internal]
        assert sorted(external) == ["1", "2", "3"]
        assert [event.seq for event in journal.read(0)] == list(range(1, running.host.stamper.seq + 1))
    finally:
        running.stop()


def test_a_full_queue_refuses_the_whole_request(tmp_path: Path) -> None:
    waiting = build(load({"data_dir": str(tmp_path), "queue_events": 10}, {}), clock=DataClock(START), desks=[Flood()])
    try:
        waiting.host.submit([request(n) for n in range(8)])
        with pytest.raises(Retryable):
            waiting.host.submit([request(n) for n in range(8, 12)])
    finally:
        waiting.start()
        waiting.stop()


def test_who_gave_up_is_recorded_as_late_with_the_fallback(tocsin: Tocsin) -> None:
    job = tocsin.host.verdict(payment(1))
    if job.give_up():
        tocsin.host.settle().result(30)
        (recorded,) = [event.data for event in tocsin.journal.read(0) if event.type == "tocsin.verdict"]
        assert recorded["late"] is True
    else:
        assert job.future.result(30).late is False

"""The lane of lines decides what single events decide: the same state, signals, verdicts and numbers."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tocsin.app import Tocsin, build
from tocsin.config import load
from tocsin.core.desk import (
    Aggregate,
    Batch,
    Bucket,
    Features,
    Judgement,
    Labelled,
    Measure,
    Miss,
    Rule,
    Series,
    Window,
)
from tocsin.core.events import SECOND
from tocsin.core.signal import Decision, Mode, Signal, Text, Verdict, signal_id
from tocsin.flow.wide.jit import AVAILABLE
from tocsin.runtime.clock import DataClock
from tocsin.runtime.verdicts import verdict_id

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not there")
START = 1_700_000_000 * SECOND
PAY = "payment.attempted"


class Till:
    """Scores payments, signals cards with many, and holds the fourth within a minute."""

    name = "till"
    version = 1
    reads = (PAY, "order.placed")
    windows = (
        Window(name="payments_1m", fold=Aggregate.COUNT, by="card", span_s=60, of=(PAY,)),
        Window(name="spent_1d", fold=Aggregate.SUM, by="card", span_s=86_400, of=(PAY,), field="amount"),
    )
    series = (Series(name="payments", measure=Measure.COUNT, of=(PAY,), bucket_s=60),)
    deadlines = ()
    rules = (
        Rule(
            id="fourth", when="features.payments_1m >= 4.0", decision=Decision.HOLD, code="velocity", on=(PAY,),
            text=Text("Too many", "过多"), mode=Mode.LIVE,
        ),
        Rule(
            id="large", when="data.amount >= 900", decision=Decision.DENY, code="large", on=(PAY,),
            text=Text("Too large", "过大"), mode=Mode.SHADOW,
        ),
    )  # fmt: skip
    kinds = {"busy": Text("Busy card", "繁忙的卡")}

    def judge(self, batch: Batch, features: Features) -> Judgement:
        counts = features["payments_1m"]
        scores = np.where(batch.of_type(PAY), np.minimum(features["spent_1d"].values / 1e5, 1.0), np.nan)
        signals = []
        for row in np.flatnonzero(counts.present & (counts.values >= 6)).tolist():
            event = batch.events[row]
            subject = f"card:{event.data['card']}"
            signal = Signal(
                id=signal_id("till", "busy", event.shop, subject, event.tau), desk="till", kind="busy",
                shop=event.shop, subject=subject, score=0.5, onset=event.tau, tau=event.tau,
            )  # fmt: skip
            signals.append((row, signal))
        return Judgement(scores=scores, signals=signals, model="m1")

    def closed(self, buckets: Sequence[Bucket]) -> Sequence[Signal]:
        return ()

    def missed(self, misses: Sequence[Miss]) -> Sequence[Signal]:
        return ()

    def learn(self, labelled: Labelled) -> None:
        return None

    def with_model(self, artefact: bytes | None) -> Till:
        return self

    def playbooks(self) -> Sequence[Any]:
        return ()


def documents(n: int, seed: int = 1) -> list[dict[str, Any]]:
    rng, time, found = random.Random(seed), START, []
    for at in range(n):
        time += rng.choice((0, 1, 1, 3)) * SECOND
        data: dict[str, Any] = {"card": f"c{int(rng.paretovariate(0.6)) % 60}", "amount": rng.randrange(1000)}
        kind = rng.choice((PAY, PAY, "order.placed", "http.request"))
        if kind == "order.placed":
            data = {"order": f"o{at}", "account": "a1", "amount": 5 * at, "currency": rng.choice(("CNY", "EUR"))}
        elif kind == "http.request":
            data = {"ip": "203.0.113.7", "path": f"/{at}"}
        # Some are late, some come twice, some hold what the scanner leaves to the plain door.
        late = rng.choice((0, 0, 0, 100)) * SECOND
        id = f"e{at - 3}" if rng.random() < 0.05 and at > 3 else f"e{at}"
        if rng.random() < 0.05:
            data["note"] = 'said "\\u4f60"'
        found.append({"id": id, "source": "t", "type": kind, "time": time - late, "data": data})
    return found


def start(folder: Path) -> Tocsin:
    settings = load({"data_dir": str(folder), "verdict_mode": "live", "verdict_deadline_ms": 5000}, {})
    tocsin = build(settings, clock=DataClock(START), desks=[Till()])
    tocsin.start()
    return tocsin


def pair(tmp_path: Path) -> tuple[Tocsin, Tocsin]:
    """Return two installations with the same keys."""
    first = start(tmp_path / "lines")
    first.stop()
    shutil.copytree(tmp_path / "lines", tmp_path / "single")
    return start(tmp_path / "lines"), start(tmp_path / "single")


def lines(tocsin: Tocsin, wanted: Sequence[dict[str, Any]]) -> tuple[int, int]:
    assert tocsin.host.wide is not None
    body = b"\n".join(msgspec.json.encode(one) for one in wanted)
    receipt = tocsin.host.wide.submit(body, "default").result(30)
    assert not receipt.refused
    return receipt.accepted, receipt.duplicates


def single(tocsin: Tocsin, wanted: Sequence[dict[str, Any]]) -> tuple[int, int]:
    events = [tocsin.door.admit(one, now=START, live=False) for one in wanted]
    told = tocsin.host.submit(events).result(30)
    return sum(not one.duplicate for one in told), sum(one.duplicate for one in told)


def settled(tocsin: Tocsin) -> Tocsin:
    tocsin.host.settle().result(30)
    tocsin.host.settle().result(30)
    assert tocsin.follower.settle()
    return tocsin


def outside(tocsin: Tocsin) -> list[Any]:
    """Return the journal's events from outside without seqs: derived ones lie between them elsewhere."""
    return [msgspec.structs.replace(event, seq=0) for event in tocsin.journal.read(0) if not event.internal]


def signals(tocsin: Tocsin) -> list[Any]:
    return [event.data for event in tocsin.journal.read(0) if event.type == "tocsin.signal"]


def decisions(tocsin: Tocsin) -> dict[str, tuple[Any, ...]]:
    """Return event id -> what was decided, wherever the journal holds it."""
    by_seq, found = {}, {}
    for event in tocsin.journal.read(0):
        by_seq[event.seq] = event
        if event.type == "tocsin.verdict":
            told = msgspec.convert(event.data, Verdict)
            assert told.event_id not in found
            features = {name: value for name, value in told.features.items() if value is not None}
            found[told.event_id] = (told.served, told.computed, told.score, told.model, told.tau, features)
    for columns in tocsin.journal.read_columns():
        for row, seq in enumerate(columns.seq.tolist()):
            event, values = by_seq[seq], columns.features[row].tolist()
            features = {name: value for name, value in zip(columns.names, values, strict=True) if value == value}
            allow = list(Decision)[int(columns.decision[row])]
            assert event.id not in found
            found[event.id] = (allow, allow, float(columns.score[row]), columns.model, event.tau, features)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the same 1,500 events in an installation by lines and in one singly, both at rest."""
    by_lines, singly = pair(tmp_path_factory.mktemp("both"))
    wanted, rng = documents(1500), random.Random(3)
    for send, tocsin in ((lines, by_lines), (single, singly)):
        at = 0
        while at < len(wanted):
            n = rng.choice((1, 7, 200, 300))
            send(tocsin, wanted[at : at + n])
            at += n
        settled(tocsin)
    yield by_lines, singly
    by_lines.stop()
    singly.stop()


def test_the_journal_and_the_state_are_the_same(both: Any) -> None:
    """The same events at the same taus, and a fold of the same digest."""
    by_lines, singly = both
    assert outside(by_lines) == outside(singly)
    assert by_lines.fold.digest() == singly.fold.digest()
    assert by_lines.host.counters["duplicates"] == singly.host.counters["duplicates"] > 10
    assert by_lines.host.counters["accepted"] == singly.host.counters["accepted"]


def test_signals_are_the_same(both: Any) -> None:
    """In their order, to the last number."""
    by_lines, singly = both
    assert signals(by_lines) == signals(singly)
    assert len(signals(by_lines)) > 3


def test_verdicts_are_the_same_and_only_what_was_decided_costs_a_record(both: Any) -> None:
    """Columns hold what was allowed; records hold every event that a rule, live or in shadow, objected to."""
    by_lines, singly = both
    assert decisions(by_lines) == decisions(singly)
    assert by_lines.host.counters["verdicts"] == singly.host.counters["verdicts"]
    told = [msgspec.convert(e.data, Verdict) for e in by_lines.journal.read(0) if e.type == "tocsin.verdict"]
    assert all(verdict.reasons for verdict in told)
    assert {verdict.computed for verdict in told} == {Decision.ALLOW, Decision.HOLD}
    assert sum(len(columns.seq) for columns in by_lines.journal.read_columns()) > 100 < len(told)
    assert by_lines.records.table(Verdict).count({}) == len(told)


def test_the_numbers_people_see_are_the_same(both: Any) -> None:
    """Rates, money by currency, verdicts and lines of series."""
    by_lines, singly = both
    now = by_lines.fold.tau
    first, second = by_lines.views.overview(now), singly.views.overview(now)
    assert first == second
    assert first["verdicts"]["allow"] > 0 and first["money"].keys() == {"CNY", "EUR"}
    for line in by_lines.views.series_names():
        told = by_lines.views.series(line["name"], line["key"], shop=line["shop"])
        assert told == singly.views.series(line["name"], line["key"], shop=line["shop"])
    assert len(by_lines.views.series("payments")) > 5


def test_duplicates_are_known_from_one_lane_to_the_other(tmp_path: Path) -> None:
    """One memory of identities for both."""
    tocsin = start(tmp_path)
    try:
        wanted = documents(40, seed=5)[:20]
        fresh = len({one["id"] for one in wanted})
        assert lines(tocsin, wanted) == (fresh, 20 - fresh)
        assert single(tocsin, wanted) == (0, 20)
        more = [{**one, "id": f"x{one['id']}"} for one in wanted]
        assert single(tocsin, more) == (fresh, 20 - fresh)
        assert lines(tocsin, [*more, *wanted]) == (0, 40)
        job = tocsin.host.verdict(tocsin.door.admit({**more[0], "type": PAY}, now=START, live=False))
        job.future.result(30)
        assert job.replayed
    finally:
        tocsin.stop()


def test_the_end_of_a_verdict_comes_through_the_lane(tmp_path: Path) -> None:
    """What people or the shop say afterwards is in the record, also after a restart."""
    tocsin = start(tmp_path)
    pay = {"id": "p", "source": "t", "type": PAY, "time": START, "data": {"card": "c1", "amount": 950}}
    assert lines(tocsin, [pay]) == (1, 0)
    settled(tocsin)
    id = verdict_id(tocsin.door.admit(pay, now=START, live=False))
    ended = {"id": "r", "source": "t", "type": "verdict.resolved", "time": START,
             "data": {"verdict": id, "outcome": "passed"}}  # fmt: skip
    assert lines(tocsin, [ended]) == (1, 0)
    settled(tocsin)
    found = tocsin.records.table(Verdict).get(id)
    assert found is not None and found.outcome == "passed"
    digest = tocsin.fold.digest()
    tocsin.stop()
    again = start(tmp_path)
    try:
        kept = again.follower.verdict(id)
        assert kept is not None and kept.outcome == "passed"
        assert again.fold.digest() == digest
        assert again.replayed.rederived == 0
    finally:
        again.stop()

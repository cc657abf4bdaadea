"""What the flow benchmarks declare runs in the plain flow, and the gate lets through what it says."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from benchmarks.plane import DURABLE, EXACT, BenchDesk, rule_book, trained
from benchmarks.stream import Stream

from tocsin.core.desk import Desk
from tocsin.flow.batch import PlainBatch
from tocsin.flow.fold import Fold
from tocsin.ledger.memory import MemoryRecords
from tocsin.ledger.vault import KeyVault
from tocsin.sources.door import Door

NOW = 1_794_355_100_000_000
STEP = 2_000


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    door = Door(KeyVault(MemoryRecords(), tmp_path_factory.mktemp("keys")))
    documents = Stream(1, pool=3_000, live_keys=200).events(3_000, NOW, STEP)
    admitted = [door.admit(document, now=NOW, live=False) for document in documents]
    return [msgspec.structs.replace(event, seq=i + 1, tau=event.time) for i, event in enumerate(admitted)]


def test_there_are_22_exact_features_over_four_entities_and_the_durable_set_over_two() -> None:
    """All exact spans lie within 60 s and 1 h; the durable ones are 60 s or 24 h, for ip and account."""
    assert len(EXACT) == 22
    assert {window.by for window in EXACT} == {"ip", "session", "account", "card"}
    assert all(60 <= window.span_s <= 3600 for window in EXACT)
    assert {window.span_s for window in DURABLE} == {60, 86_400}
    assert {window.by for window in DURABLE} == {"ip", "account"}


def test_a_longer_rule_book_begins_with_the_shorter_one() -> None:
    """50 of 500 rules are the 50 rules; ids are unique; all have verdicts of their own."""
    short, long = rule_book(50, EXACT), rule_book(500, EXACT)
    assert long[:50] == short
    assert len({rule.id for rule in long}) == 500


@pytest.mark.parametrize("windows", [EXACT, DURABLE], ids=["exact", "durable"])
def test_rules_compile_and_fire_seldom(windows, events) -> None:
    """200 rules over 3,000 events: they are accepted, some of them fire, and not on one event in ten."""
    desk = BenchDesk(windows, rule_book(200, windows, busiest_per_s=60.0), trained(windows))
    assert isinstance(desk, Desk)
    fold = Fold([desk], wide=False)
    rows = [row for start in range(0, 3_000, 1_000) for row in fold.step(events[start : start + 1_000]).rows]
    hits = {name: count for name, count in fold.counters.items() if name.startswith("rule:")}
    assert hits
    assert sum(hits.values()) < 300
    assert rows


def test_the_gate_lets_one_event_in_twenty_through(events) -> None:
    """Between 4 and 6.5 % of the events are scored; all scores are probabilities."""
    desk = BenchDesk(EXACT, (), trained(EXACT))
    fold = Fold([desk], wide=False)
    columns = fold.windows.step(PlainBatch(events))
    judged = desk.judge(PlainBatch(events), fold.windows.table(EXACT, columns, len(events)))
    scored = ~np.isnan(judged.scores)
    assert 0.04 < scored.mean() < 0.065
    assert ((judged.scores[scored] > 0) & (judged.scores[scored] < 1)).all()
    assert desk.with_model(None).model is None

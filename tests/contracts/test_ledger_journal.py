"""The contract of journals: every backend, the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tocsin.core.events import Event
from tocsin.ledger.journal import SegmentJournal
from tocsin.ledger.memory import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["memory", "segments"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryJournal | SegmentJournal]:
    made = MemoryJournal() if request.param == "memory" else SegmentJournal(tmp_path, 400)
    yield made
    made.close()


def stamped(first: int, count: int) -> list[Event]:
    data = {"text": "a 甲 \0", "n": -(2**63), "m": 2**63, "x": 0.1, "none": None, "list": [1, {"a": True}]}
    return [
        Event(id=f"e{seq}", source="test", type="x", time=seq, data=data, sealed={"email": "z"}, seq=seq, tau=seq // 2)
        for seq in range(first, first + count)
    ]


def test_events_come_back_as_they_were_committed(journal: MemoryJournal | SegmentJournal) -> None:
    assert journal.last() == (0, 0)
    assert list(journal.read()) == []
    for first in range(1, 20, 4):
        journal.append(stamped(first, 2))
        journal.append(stamped(first + 2, 2))
        journal.commit()
    assert list(journal.read()) == stamped(1, 20)
    assert list(journal.read(17)) == stamped(18, 3)
    assert list(journal.read(99)) == []
    assert journal.last() == (20, 10)


def test_what_is_not_committed_is_not_read(journal: MemoryJournal | SegmentJournal) -> None:
    journal.commit()
    journal.append([])
    journal.append(stamped(1, 2))
    assert list(journal.read()) == []
    assert journal.last() == (0, 0)
    journal.commit()
    assert journal.last() == (2, 1)


def test_a_gap_or_a_step_back_is_the_callers_mistake(journal: MemoryJournal | SegmentJournal) -> None:
    journal.append(stamped(1, 2))
    for wrong in (stamped(4, 1), stamped(2, 1), [msgspec.structs.replace(stamped(3, 1)[0], tau=0)]):
        with pytest.raises(ValueError, match="stamped"):
            journal.append(wrong)
    journal.append(stamped(3, 1))
    journal.commit()
    assert list(journal.read()) == stamped(1, 3)


def test_recovering_a_healthy_journal_is_harmless(journal: MemoryJournal | SegmentJournal) -> None:
    journal.append(stamped(1, 1))
    journal.recover()
    journal.commit()
    assert list(journal.read()) == stamped(1, 1)


def test_rewriting_changes_bodies_and_never_stamps(journal: MemoryJournal | SegmentJournal) -> None:
    journal.append(stamped(1, 9))
    assert journal.rewrite(lambda event: event) == 0
    assert journal.rewrite(lambda event: msgspec.structs.replace(event, data={}, seq=0, tau=0)) == 9
    assert [(event.seq, event.tau, event.data) for event in journal.read()] == [(n, n // 2, {}) for n in range(1, 10)]

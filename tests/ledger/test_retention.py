"""Retention: the journal stays within its bound, and what is kept longer is in the history before it goes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.ledger.test_history import EVERY, NOON, bare, journal_of
from tests.ledger.test_journal import QuickDisk

from tocsin.core.events import DAY
from tocsin.errors import Retryable
from tocsin.ledger.compactor import Pace, WriterHere, WriterProcess
from tocsin.ledger.files import Files
from tocsin.ledger.history import History
from tocsin.ledger.retention import Retention, kept_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tocsin.ledger.files import File
    from tocsin.ledger.keep import Keep
    from tocsin.ledger.shelf import Closed


def here(history: History) -> WriterHere:
    return WriterHere(Files(history.folder, QuickDisk()))


def until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


@pytest.mark.parametrize("everything", [True, False])
def test_retention_bounds_the_journal_and_loses_nothing_that_is_kept_longer(tmp_path: Path, everything: bool) -> None:
    """Past its bound the journal shrinks as far as snapshots cover it; labels and control events are in the history."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    retention = Retention(
        journal, history, EVERY, here(history), journal_bytes=4000, everything=everything, now=lambda: NOON + DAY
    )
    wanted = [bare(event) for event in journal.read() if EVERY.longer(event.type)]
    while retention.step():
        pass
    assert journal.first() == 1
    assert retention.overdue > 0
    journal.covered(journal.last()[0])
    while retention.step():
        pass
    assert journal.bytes() <= 4000
    assert retention.overdue == 0
    assert journal.first() > 20
    assert [bare(event) for event in kept_events(history, journal, "label.given", "tocsin.mode")] == wanted
    assert all(not entry.whole for entry in history.entries())
    assert not list(history.read("order.placed"))
    journal.close()


def test_in_the_background_everything_is_taken_up_while_there_is_room(tmp_path: Path) -> None:
    """With room left whole segments enter the history and none is removed; old ones go for their age."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    now = [NOON]
    writer = WriterProcess(history.folder, lingers_s=0.0)
    retention = Retention(journal, history, EVERY, writer, journal_bytes=1 << 40, everything=True, now=lambda: now[0])
    retention.start()
    until(lambda: history.through() == journal.closed()[-1].last)
    until(lambda: not writer.process)
    retention.stop()
    assert all(entry.whole for entry in history.entries())
    assert (journal.first(), retention.fault) == (1, "")
    journal.covered(99)
    now[0] = NOON + 4000 * DAY
    while retention.step():
        pass
    assert journal.first() == history.through() + 1
    assert not list((tmp_path / "journal").glob("spare-*"))
    journal.close()


class Told:
    """A writer that does what the test says."""

    def __init__(self, write: Callable[[Callable[[], Pace]], list[File] | None]) -> None:
        self.tries = 0
        self._write = write

    def write(self, segment: Closed, keep: Keep, *, whole: bool, pace: Callable[[], Pace]) -> list[File] | None:
        self.tries += 1
        return self._write(pace)

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_fails_is_told_and_tried_again_ever_later(tmp_path: Path) -> None:
    """The fault has the error's text and stays between the tries, of which there are few; a stop does not wait."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())

    def fails(pace: Callable[[], Pace]) -> list[File] | None:
        raise Retryable("history: it died")

    writer = Told(fails)
    retention = Retention(journal, history, EVERY, writer, journal_bytes=1 << 40, everything=True, now=lambda: NOON)
    retention.start()
    until(lambda: writer.tries == 2)
    time.sleep(0.5)
    began = time.monotonic()
    retention.stop()
    assert time.monotonic() - began < 1
    assert (writer.tries, retention.fault, history.through()) == (2, "history: it died", 0)
    journal.close()


def test_while_nothing_can_be_taken_up_the_journal_still_gives_back_what_it_can(tmp_path: Path) -> None:
    """A failing writer does not hold up the removal of what the history has."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    retention = Retention(
        journal, history, EVERY, here(history), journal_bytes=1 << 40, everything=True, now=lambda: NOON
    )
    assert retention.step()

    def fails(pace: Callable[[], Pace]) -> list[File] | None:
        raise OSError(28, "No space left on device")

    writer = Told(fails)
    retention._writer = writer
    with pytest.raises(OSError, match="No space left"):
        retention.step()
    journal.covered(journal.last()[0])
    retention._most = 10
    assert retention.step()
    assert journal.first() == history.through() + 1 > 1
    assert (writer.tries, retention.step()) == (1, False)
    journal.close()


def test_who_writes_waits_for_the_stream_and_ends_at_the_bound_of_the_journal(tmp_path: Path) -> None:
    """Busy means wait; over the bound, with nothing to remove, a whole segment is left for what is kept longer."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    busy, paces = [False], list[Pace]()

    def writes(pace: Callable[[], Pace]) -> list[File] | None:
        paces.append(pace())
        busy[0] = True
        paces.append(pace())
        retention._most = 10
        paces.append(pace())
        return None

    retention = Retention(
        journal,
        history,
        EVERY,
        Told(writes),
        journal_bytes=1 << 40,
        everything=True,
        now=lambda: NOON,
        busy=lambda: busy[0],
    )
    assert not retention.step()
    assert paces == [Pace.RUN, Pace.WAIT, Pace.END]
    assert history.through() == 0
    retention._writer = here(history)
    assert retention.step()
    assert [entry.whole for entry in history.entries()] == [False]
    journal.close()


def test_what_can_go_goes_before_a_segment_is_taken_up_in_part(tmp_path: Path) -> None:
    """At its bound the journal first loses what the history has whole; so the next segment may be whole too."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    retention = Retention(
        journal, history, EVERY, here(history), journal_bytes=1 << 40, everything=True, now=lambda: NOON
    )
    for _ in range(2):
        assert retention.step()
    journal.covered(journal.last()[0])
    retention._most = journal.bytes() - 1
    while retention.step():
        pass
    assert journal.first() > 1
    assert history.through() == journal.closed()[-1].last
    assert all(entry.whole for entry in history.entries())
    journal.close()


def test_a_stop_does_not_wait_for_a_segment(tmp_path: Path) -> None:
    """A writer that stands still ends at the stop; the segment is not taken up."""
    journal, history = journal_of(tmp_path), History(tmp_path / "history", disk=QuickDisk())
    begun = threading.Event()

    def waits(pace: Callable[[], Pace]) -> list[File] | None:
        while pace() is not Pace.END:
            begun.set()
            time.sleep(0.01)
        return None

    retention = Retention(
        journal, history, EVERY, Told(waits), journal_bytes=1 << 40, everything=True, now=lambda: NOON
    )
    retention.start()
    assert begun.wait(10)
    retention.stop()
    assert history.through() == 0
    journal.close()

"""Retention: how long what is kept, and the thread that takes closed segments into the history and then away."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from tocsin.core.events import DAY, HOUR
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.compactor import Pace
from tocsin.ledger.shelf import removing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.core.events import Event
    from tocsin.ledger.blocks import Columns
    from tocsin.ledger.compactor import Writer
    from tocsin.ledger.files import File
    from tocsin.ledger.history import History
    from tocsin.ledger.journal import SegmentJournal
    from tocsin.ledger.keep import Keep
    from tocsin.ledger.memory import MemoryJournal

EVERY_S = 1.0
MOST_S = 60.0
"""What fails is tried again ever later, at most after so long."""
log = logging.getLogger(__name__)


class Retention:
    """Bounds the journal by size and age.

    A closed segment goes when (1) a snapshot covers it (``journal.covered``), (2) whatever is kept longer than the
    default is in the history, and (3) the journal is larger than ``journal_bytes`` or the segment is older than the
    default. With ``everything`` all types are taken into the history as segments close; where that cannot keep up and
    the journal reaches its bound, only what is kept longer is, and the history's manifest says which segments are not
    whole. While ``busy()`` nothing is taken up that the bound does not demand, and who writes stands still.
    """

    def __init__(
        self,
        journal: SegmentJournal,
        history: History,
        keep: Keep,
        writer: Writer,
        *,
        journal_bytes: int,
        everything: bool,
        now: Callable[[], int],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.overdue = 0
        """Bytes by which the journal exceeds its bound because nothing covers what could go: worth an alarm."""
        self.fault = ""
        """Why the history takes nothing just now; empty when it does."""
        self._journal = journal
        self._history = history
        self._keep = keep
        self._writer = writer
        self._most = journal_bytes
        self._everything = everything
        self._now = now
        self._busy = busy
        self._expired = 0
        self._failed = 0
        self._again_s = 0.0
        """When what failed is tried again, as of ``time.monotonic``."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to work in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End at once: what was being taken up is taken up after the next start."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._writer.close()

    def step(self) -> bool:
        """Do what is most urgent, at most one segment's worth; return whether there was anything."""
        done = self._remove()
        if time.monotonic() >= self._again_s:
            done = self._try() or done
        self.overdue = max(0, self._journal.bytes() - self._most)
        if self._now() - self._expired > HOUR:
            with removing(self._journal.folder) as may:
                if may:
                    self._expired = self._now()
                    self._history.expire(self._now(), self._keep.days)
        return done

    def _try(self) -> bool:
        """Take a segment up; what fails is left alone for a while, what the journal can give back is not."""
        try:
            done = self._take_up(pressed=self._over())
        except (OSError, Retryable, Misconfigured):
            self._again_s = time.monotonic() + min(EVERY_S * 2 ** min(self._failed, 16), MOST_S)
            self._failed += 1
            raise
        self._failed, self._again_s = 0, 0.0
        return done

    def _over(self) -> bool:
        return self._journal.bytes() > self._most

    def _take_up(self, *, pressed: bool) -> bool:
        waiting = [one for one in self._journal.closed() if one.last > self._history.through()]
        if not waiting or not (self._everything or pressed or self._old(waiting[0].path.stat().st_mtime)):
            return False
        whole = self._everything and not pressed
        if whole and self._busy():
            return False

        def write(void: Callable[[], bool]) -> list[File] | None:
            def pace() -> Pace:
                return Pace.END if self._end.is_set() or void() else self._pace() if whole else Pace.RUN

            return self._writer.write(waiting[0], self._keep, whole=whole, pace=pace)

        return self._history.take_up(waiting[0], write, whole=whole) is not None

    def _pace(self) -> Pace:
        """Say how a whole segment is to go on: it waits for others as long as there is room for what comes."""
        if self._over():
            self._remove()
            if self._over():
                return Pace.END
        return Pace.WAIT if self._busy() else Pace.RUN

    def _remove(self) -> bool:
        through, over = self._history.through(), self._journal.bytes() - self._most
        by_size = by_age = 0
        for one in self._journal.closed():
            if one.last > through:
                break
            if self._old(one.path.stat().st_mtime):
                by_age = one.last
            if over > 0:
                by_size = one.last
            over -= one.size
        # Files that are removed for their age are not used again: what they hold is to be gone.
        gone = self._journal.remove(by_age, reuse=False) if by_age else 0
        return bool(gone + (self._journal.remove(by_size) if by_size else 0))

    def _old(self, written: float) -> bool:
        return written * 1e6 < self._now() - self._keep.default * DAY

    def _run(self) -> None:
        clean = False
        while not self._end.is_set():
            try:
                if not clean:
                    self._history.clean()
                    clean = True
                done = self.step()
                if not self._failed:
                    self.fault = ""
            except (OSError, Retryable, Misconfigured) as error:
                if not self.fault:
                    log.error("history: %s", error)
                done, self.fault = False, str(error)
            if not done:
                self._writer.rest()
                self._end.wait(EVERY_S)


def kept_events(history: History, journal: SegmentJournal | MemoryJournal, *types: str) -> Iterator[Event]:
    """Yield all events of these types that are kept, once and in order: from the history, then from the journal."""
    through = history.through()
    yield from history.read(*types)
    for event in journal.read(through):
        if event.type in types:
            yield event


def served_features(history: History, journal: SegmentJournal | MemoryJournal, desk: str) -> Iterator[Columns]:
    """Yield what a desk's verdicts of the bulk lane were made from, all that is kept, each row once."""
    through = history.through()
    yield from history.columns(desk)
    for columns in journal.columns_behind(through):
        if columns.desk == desk and len(columns.seq):
            yield columns

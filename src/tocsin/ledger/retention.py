"""Retention: how long what is kept, and the thread that takes closed segments into the history and then away."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.events import DAY, HOUR
from tocsin.errors import Misconfigured, Retryable
from tocsin.ledger.shelf import removing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.core.events import Event
    from tocsin.ledger.blocks import Columns
    from tocsin.ledger.history import History
    from tocsin.ledger.journal import SegmentJournal
    from tocsin.ledger.memory import MemoryJournal

EVERY_S = 1.0
GIVE_WAY_S = 0.02
log = logging.getLogger(__name__)


class Keep(msgspec.Struct, frozen=True):
    """How many days events are kept, by type; 0: they never enter the history."""

    default: int
    types: dict[str, int] = {}
    prefixes: dict[str, int] = {}

    @classmethod
    def parse(cls, text: str) -> Keep:
        """Return what a setting says: days for all, then ``type=days`` or ``prefix*=days``; Misconfigured otherwise.

        >>> keep = Keep.parse("30, label.given=400, tocsin.*=400, http.request=0")
        >>> keep.days("order.placed"), keep.days("tocsin.verdict"), keep.longer("http.request")
        (30, 400, False)
        """
        first, *rest = [part.strip() for part in text.split(",")]
        types: dict[str, int] = {}
        prefixes: dict[str, int] = {}
        for part in rest:
            name, _, days = part.partition("=")
            if not name.strip() or not days.strip().isdecimal():
                raise Misconfigured(f"settings: journal_keep_days holds {part!r}; it must be type=days")
            target = prefixes if name.strip().endswith("*") else types
            target[name.strip().removesuffix("*")] = int(days)
        if not first.isdecimal() or not int(first):
            raise Misconfigured(f"settings: journal_keep_days begins with {first!r}; it must be a number of days")
        return cls(int(first), types, prefixes)

    def days(self, name: str) -> int:
        """Return how many days events of that type, or rows of that table, are kept."""
        if name in self.types:
            return self.types[name]
        for prefix, days in self.prefixes.items():
            if name.startswith(prefix):
                return days
        return self.default

    def longer(self, name: str) -> bool:
        """Return whether it is kept longer than the journal is: then no segment goes before it is in the history."""
        return self.days(name) > self.default

    def ever(self, name: str) -> bool:
        """Return whether it enters the history at all."""
        return self.days(name) > 0


class Retention:
    """Bounds the journal by size and age.

    A closed segment goes when (1) a snapshot covers it (``journal.covered``), (2) whatever is kept longer than the
    default is in the history, and (3) the journal is larger than ``journal_bytes`` or the segment is older than the
    default. With ``everything`` all types are taken into the history as segments close; where that cannot keep up and
    the journal reaches its bound, only what is kept longer is, and the history's manifest says which segments are not
    whole. While ``busy()`` nothing is taken up that the bound does not demand.
    """

    def __init__(
        self,
        journal: SegmentJournal,
        history: History,
        keep: Keep,
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
        self._most = journal_bytes
        self._everything = everything
        self._now = now
        self._busy = busy
        self._expired = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to work in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End after the segment under way."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def step(self) -> bool:
        """Do what is most urgent, at most one segment's worth; return whether there was anything."""
        pressed = self._journal.bytes() > self._most
        done = self._take_up(pressed) or self._remove()
        self.overdue = max(0, self._journal.bytes() - self._most)
        if self._now() - self._expired > HOUR:
            with removing(self._journal.folder) as may:
                if may:
                    self._expired = self._now()
                    self._history.expire(self._now(), self._keep.days)
        return done

    def _take_up(self, pressed: bool) -> bool:
        waiting = [one for one in self._journal.closed() if one.last > self._history.through()]
        if not waiting or not (self._everything or pressed or self._old(waiting[0].path.stat().st_mtime)):
            return False
        whole = self._everything and not pressed
        if whole and self._busy():
            return False
        wanted = self._keep.ever if whole else self._keep.longer
        self._history.compact(waiting[0], wanted, whole=whole, pause=self._give_way if whole else lambda: None)
        return True

    def _give_way(self) -> None:
        """Wait while others need the processor, as long as there is room for what comes meanwhile."""
        while self._busy() and self._journal.bytes() <= self._most and not self._end.wait(GIVE_WAY_S):
            pass

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
                self.fault = ""
            except (OSError, Retryable, Misconfigured) as error:
                if not self.fault:
                    log.error("history: %s", error)
                done, self.fault = False, str(error)
            if not done:
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

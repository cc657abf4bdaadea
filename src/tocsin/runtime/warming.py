"""Warming: what a new window would hold had it been there from the start, read from the journal beside the stream.

A thread feeds the past to a state of its own, up to what is on disk. The last stretch is fed between two cycles of the
host, which then journals ``tocsin.warm``: from that event on the windows are known, at the same place in every replay.
What a crash interrupts begins anew at the next start.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from tocsin.core.events import Event
from tocsin.errors import TocsinError
from tocsin.flow.view import reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.desk import Window
    from tocsin.runtime.embedded import EmbeddedHost
    from tocsin.runtime.reading import Reader

LAST_STRETCH = 20_000
"""The host stands still for at most about so many events."""
ROUNDS = 100
log = logging.getLogger(__name__)


class Warming:
    """Warms the declared windows of one host that are cold.

    ``reader`` makes a reader of the journal for a thread of its own; ``oldest`` is the seq before the first event that
    the journal still holds: what was recycled cannot be read, and a window that needs it warms by itself.
    """

    def __init__(self, host: EmbeddedHost, *, reader: Callable[[], Reader], oldest: Callable[[], int]) -> None:
        self._host = host
        self._reader = reader
        self._oldest = oldest
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._stopping = False
        self.progress = (0, 0)
        """Events read and to be read for the windows that are warming; (0, 0) while none is."""

    def look(self) -> None:
        """Begin to warm what is cold; for any thread, returns at once."""
        with self._lock:
            self._again = True
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="warming", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Give up what is not finished."""
        self._stopping = True
        thread = self._thread
        if thread is not None:
            thread.join()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is being warmed; for tests and the command line."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            thread = self._thread
            if thread is None or not thread.is_alive():
                return True
            time.sleep(0.01)
        return False

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                if not self._again:
                    self._thread = None
                    return
                self._again = False
            try:
                self._warm()
            except TocsinError as error:
                log.error("windows warm by themselves: %s", error)

    def _warm(self) -> None:
        windows = self._host.cold_windows()
        if not windows:
            return
        state = self._host.fold.house.fresh(windows)
        reader, seq = self._reader(), max(0, self._oldest())
        first = self._host.stamper.tau - max(reach(window) for window in windows)
        if seq and next(self._host.journal.read(seq)).tau > first:
            log.warning("windows warm by themselves: the journal does not reach back far enough any more")
            return
        for _ in range(ROUNDS):
            last, _ = self._host.journal.last()
            if self._stopping or last - seq <= LAST_STRETCH:
                break
            seq = self._feed(state, reader, first, seq, last)
        if not self._stopping:
            self._host.between_cycles(lambda: self._finish(windows, state, reader, first, seq))
        self.progress = (0, 0)

    def _feed(self, state: Any, reader: Reader, first: int, seq: int, last: int) -> int:
        """Feed the events (seq, last]; return the seq that has been reached."""
        for batch in reader.history(self._host.journal, first, last + 1, seq):
            if self._stopping:
                break
            rows = batch.pick(((batch.seqs > seq) & (batch.seqs <= last)).nonzero()[0])
            if rows.n:
                state.step(rows)
                seq = int(rows.seqs[-1])
            self.progress = (seq, last)
        return last if not self._stopping else seq

    def _finish(self, windows: Sequence[Window], state: Any, reader: Reader, first: int, seq: int) -> list[Event]:
        """In the host's thread, with everything on disk: feed the rest and say that the windows are warm."""
        house = self._host.fold.house
        last = self._host.stamper.seq
        self._feed(state, reader, first, seq, last)
        if state.tau != self._host.fold.windows.tau:
            log.error("windows warm by themselves: their past could not be read up to now")
            return []
        house.prepare(windows, state)
        now = self._host.stamper.tau
        names = [window.name for window in windows]
        return [Event(id=f"{last}", source="tocsin", type="tocsin.warm", time=now, data={"windows": names})]

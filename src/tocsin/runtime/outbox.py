"""Outbox: what is on its way to the journal. One thread writes and syncs while the fold goes on.

Everything that waits goes into one commit. What has been folded is never given up: where the disk refuses, those who
wait are told so at once, and the records are written first when the disk takes them again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from tocsin.errors import Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from tocsin.core.ports import Journal
    from tocsin.telemetry import Plane

RETRY_S = 0.2
MOST_UNWRITTEN = 256_000_000
"""Bytes of blocks that may wait for the disk before the fold waits for it, too."""
GATHER_S = 0.004
"""So long patient parcels wait for company: a commit for each would have the writer take the interpreter from those
who answer callers, hundreds of times a second."""
MOST_BYTES = 32_000_000
"""Of blocks in one commit: a larger one would keep those who wait longer than it saves."""


class Parcel:
    """Records that belong together, or what makes them when they are written.

    ``told(error)`` is called once: when they are durable (None), or when the disk has refused them. ``published()`` is
    called once, when they are durable at last; ``lost(error)`` in its place, where the writer ends before they are.
    ``patient``: nobody waits for the disk, so it may wait some milliseconds for company.
    """

    __slots__ = ("lost", "patient", "published", "records", "rows", "size", "told")

    def __init__(
        self,
        records: Sequence[Any] | Callable[[], Sequence[Any]],
        told: Callable[[Retryable | None], None] | None = None,
        published: Callable[[], None] | None = None,
        *,
        lost: Callable[[Retryable], None] | None = None,
        size: int = 0,
        rows: int = 0,
        patient: bool = False,
    ) -> None:
        self.records = records
        self.told = told
        self.published = published
        self.lost = lost
        self.size = size
        self.rows = rows
        self.patient = patient

    def made(self) -> Sequence[Any]:
        """Return the records, made now where they are not there yet; in the writer's thread."""
        return self.records() if callable(self.records) else self.records


class Outbox:
    """The writer of one journal. ``put`` comes from the host's thread, in the order of seq.

    Parameters
    ----------
    flush_keys
        Makes new keys durable; called before every commit: a sealed value is never on disk without its key.
    refused
        Called in the writer's thread when the disk begins to refuse.
    most_events
        Events that may wait for the disk before the fold waits for it, too.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        flush_keys: Callable[[], None],
        plane: Plane,
        refused: Callable[[str], None],
        most_events: int,
    ) -> None:
        self.taken = 0
        """Bytes of blocks that were put since the start."""
        self.refusing = ""
        """Why the disk takes nothing just now; empty when it does."""
        self.journal = journal
        self._flush_keys = flush_keys
        self._plane = plane
        self._refused = refused
        self._waiting: deque[Parcel] = deque()
        self._bytes = self._events = self._open = 0
        self._most_events = most_events
        self._ready = threading.Condition()
        self._closing = self._ended = False
        self._hasty = self._gathering = False
        """Whether somebody waits for what is in the queue; whether the writer lets what nobody waits for gather."""
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of blocks that have not been written yet."""
        return self._bytes

    @property
    def waiting_events(self) -> int:
        """Events that have not been written yet."""
        return self._events

    @property
    def stopped(self) -> bool:
        """Whether the writer ended by a fault."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel; returns at once. Where the writer has ended, who waits for it hears so."""
        with self._ready:
            ended = self._ended
            self._open += 1
            if not ended:
                self._waiting.append(parcel)
                self._bytes += parcel.size
                self.taken += parcel.size
                self._events += parcel.rows
                self._hasty = self._hasty or not parcel.patient
                if self._hasty or not self._gathering:
                    self._ready.notify()
        if ended:
            _lose(parcel, self._end())

    def room(self, timeout_s: float) -> bool:
        """Wait until there is room for more; False where that takes longer than ``timeout_s``.

        A disk that refuses is no reason to wait: the host must say so.
        """

        def there_is() -> bool:
            full = self._bytes >= MOST_UNWRITTEN or self._events >= self._most_events
            return not full or bool(self.refusing) or self.stopped

        with self._ready:
            return self._ready.wait_for(there_is, timeout_s)

    def drained(self, timeout_s: float) -> bool:
        """Wait until everything that was put is on disk and published; False where that takes longer."""
        with self._ready:
            return self._ready.wait_for(lambda: not self._open, timeout_s)

    def stop(self) -> None:
        """Write what waits, then end; what the disk still refuses stays unwritten."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        batch: list[Parcel] = []
        try:
            self._work(batch)
        finally:
            # By order nothing waits any more. By a fault everyone who waits must hear of it: nobody hangs.
            error = self._end()
            with self._ready:
                self._ended = True
                left = [*batch, *self._waiting]
                self._waiting.clear()
                self._ready.notify_all()
            for parcel in left:
                _lose(parcel, error)

    def _end(self) -> Retryable:
        self.refusing = self.refusing or "the journal's writer has stopped"
        return Retryable(self.refusing, after_s=30.0)

    def _work(self, batch: list[Parcel]) -> None:
        while True:
            if not batch:
                batch.extend(self._take())
                if not batch:
                    return
            error = self._commit(batch)
            if error is None:
                self._finish(batch)
                batch.clear()
                continue
            for parcel in batch:
                _tell(parcel, error)
            if self._closing:
                return
            # A full disk is not asked a thousand times a second; parcels that come meanwhile wait behind.
            time.sleep(RETRY_S)
            batch.extend(self._take_more())

    def _take(self) -> list[Parcel]:
        """Return what goes into the next commit; empty at the end."""
        with self._ready:
            while not self._waiting and not self._closing:
                self._ready.wait()
            if not self._hasty and not self._closing:
                self._gathering = True
                self._ready.wait(GATHER_S)
                self._gathering = False
            return self._taken()

    def _take_more(self) -> list[Parcel]:
        with self._ready:
            return self._taken()

    def _taken(self) -> list[Parcel]:
        batch: list[Parcel] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= MOST_BYTES):
            batch.append(self._waiting.popleft())
            size += batch[-1].size
        if not self._waiting:
            self._hasty = False
        return batch

    def _commit(self, batch: Sequence[Parcel]) -> Retryable | None:
        """Make a batch durable; return why not."""
        try:
            if self.refusing:
                self.journal.recover()
            self._flush_keys()
            began = time.perf_counter()
            self.journal.extend([record for parcel in batch for record in parcel.made()])
            written = time.perf_counter()
            self.journal.commit()
            ended = time.perf_counter()
        except Retryable as error:
            first = not self.refusing
            self.refusing = error.reason
            if first:
                self._refused(error.reason)
            return error
        rows = sum(parcel.rows for parcel in batch)
        self._plane["write"].add(written - began, rows)
        self._plane["sync"].add(ended - written, rows)
        self.refusing = ""
        return None

    def _finish(self, batch: Sequence[Parcel]) -> None:
        for parcel in batch:
            _tell(parcel, None)
        began = time.perf_counter()
        for parcel in batch:
            if parcel.published is not None:
                parcel.published()
        self._plane["publish"].add(time.perf_counter() - began, sum(parcel.rows for parcel in batch))
        with self._ready:
            self._open -= len(batch)
            self._bytes -= sum(parcel.size for parcel in batch)
            self._events -= sum(parcel.rows for parcel in batch)
            self._ready.notify_all()


def _tell(parcel: Parcel, error: Retryable | None) -> None:
    told, parcel.told = parcel.told, None
    if told is not None:
        told(error)


def _lose(parcel: Parcel, error: Retryable) -> None:
    _tell(parcel, error)
    if parcel.lost is not None:
        parcel.lost(error)

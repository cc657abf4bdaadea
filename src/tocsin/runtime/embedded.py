"""EmbeddedHost: the fold on one machine. Stamp, fold, make durable, acknowledge, answer.

One thread folds, another writes (``outbox``): a cycle takes what waits, stamps it, folds it, and hands events and
what was derived from them to the writer; when they are on disk the callers hear of it and views, records and responder
are told. Nothing leaves the house before it is on disk, and the next cycle folds meanwhile.

Two lanes, one state: callers who wait for a verdict come first, and while there are any, a cycle takes at most 1024
rows of the wide lane (``widelane``) beside them.

Where the disk refuses, what was folded already is kept and written first when the disk is back; nothing new is
accepted until then, and callers who wait get the configured fall-back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from tocsin.core.events import Event
from tocsin.core.signal import Decision
from tocsin.errors import Retryable
from tocsin.runtime.bulk import Bulk
from tocsin.runtime.lanes import Lanes, Receipt, Request, Work
from tocsin.runtime.outbox import Outbox
from tocsin.runtime.promises import fail
from tocsin.runtime.publishing import Publisher, refusal
from tocsin.runtime.single import Single
from tocsin.runtime.verdicts import VerdictJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future

    from tocsin.core.desk import Window
    from tocsin.core.ports import Journal
    from tocsin.core.signal import Signal
    from tocsin.flow.fold import Fold
    from tocsin.flow.wide.rows import Rows
    from tocsin.ledger.views import Views
    from tocsin.runtime.asklane import AskLane, Questions
    from tocsin.runtime.bulk import WideRecords
    from tocsin.runtime.clock import DataClock, SystemClock
    from tocsin.runtime.feed import Feed
    from tocsin.runtime.follower import Follower
    from tocsin.runtime.outbox import Parcel
    from tocsin.runtime.publishing import Downstream
    from tocsin.runtime.reading import Reader
    from tocsin.runtime.snapshotting import Snapshotter
    from tocsin.runtime.stamping import RowStamping, Stamping
    from tocsin.runtime.warming import Warming
    from tocsin.runtime.widelane import Slice, WideLane
    from tocsin.telemetry import Plane

IDLE_S = 0.2
LONGEST_PAUSE_S = 10.0


class EmbeddedHost:
    """Hosts one fold over one journal.

    ``submit``, ``verdict`` and the wide lane may be called from any thread; folding happens in the host's own.
    ``verdict_mode`` is ``shadow`` or ``live``, ``fallback`` what is served when an answer cannot be made in time.
    With ``ack_memory`` a verdict is answered when it is folded, up to one commit before it is on disk.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        fold: Fold,
        stamper: Stamping,
        views: Views,
        follower: Follower,
        feed: Feed,
        clock: SystemClock | DataClock,
        flush_keys: Callable[[], None],
        downstream: Downstream,
        plane: Plane,
        wide_records: WideRecords,
        wide: WideLane | None = None,
        asks: AskLane | None = None,
        queue_events: int = 65_536,
        batch_events: int = 1024,
        fallback: Decision = Decision.ALLOW,
        verdict_mode: str = "shadow",
        ack_memory: bool = False,
        shop: str = "default",
    ) -> None:
        self.fold = fold
        self.views = views
        self.follower = follower
        self.stamper = stamper
        self.wide = wide
        self.asks = asks
        """Where callers' events become rows, None where the plane is not compiled."""
        self.verdict_mode = verdict_mode
        self.fallback = fallback
        self.counters: dict[str, int] = dict.fromkeys(
            ("accepted", "duplicates", "verdicts", "verdicts_late", "verdicts_degraded", "journal_refusals", "shed"), 0
        )
        self.plane = plane
        self._shop = shop
        self._reader: Reader | None = None
        self._clock = clock
        self._downstream = downstream
        self._fault = ""
        self._by_order = False
        self._patience = IDLE_S
        """How long the writer may take before what must happen between two cycles is put off."""
        self._lanes = Lanes(most_events=queue_events, batch_events=batch_events, wide=wide, asks=asks)
        self._between: deque[Callable[[], list[Event]]] = deque()
        self.warming: Warming | None = None
        """Who lets new windows catch up with the past, where the past can be read."""
        self.snapshots: Snapshotter | None = None
        """Who takes snapshots, once the installation has a place for them."""
        self.publisher = Publisher(self, views=views, follower=follower, feed=feed, clock=clock, downstream=downstream)
        self.faults = self.publisher.faults
        """Desks that raised and are left out since, with what they raised."""
        self.unpublished = self.publisher.unpublished
        """Verdicts that are on their way to the disk."""
        self._outbox = Outbox(
            journal, flush_keys=flush_keys, plane=plane, refused=self.publisher.refused, most_events=queue_events
        )
        self.bulk = Bulk(self, wide_records)
        self._single = Single(self, self.publisher, wide_records, ack_memory=ack_memory)
        self._started = False
        self._folding = threading.Lock()
        """Held by whoever stamps and folds: the host's thread, or a door that answers a caller by itself."""
        self._thread = threading.Thread(target=self._run, name="host", daemon=True)

    # Doors ------------------------------------------------------------------------------------------------------

    def submit(self, events: list[Event]) -> Future[list[Receipt]]:
        """Accept events: the future is done when they are on disk. Retryable at once when the queue is full."""
        if self.stopped:
            raise Retryable("the host has stopped; see the log, then start it again", after_s=30.0)
        return self._lanes.submit(events)

    def note(self, events: Sequence[Event]) -> None:
        """Take the house's own events (rulings, actions, outcomes): never refused, written when the disk takes them."""
        self._lanes.note(events)

    def verdict(self, event: Event) -> VerdictJob:
        """Ask for a verdict on one event; wait on the job's future, or ``give_up`` when the deadline passes."""
        job = VerdictJob(event)
        self.ask(job)
        return job

    def answer_here(self, jobs: list[VerdictJob]) -> bool:
        """Answer callers, and those whose rows wait, in the calling thread where the fold is free just now.

        False, and nothing done, where it is not. It spares them two changes of threads. Never waits; what must be on
        disk first is still waited for. Only while answers have been quick of late: a slow desk must not hold up the
        door and with it everyone's deadline.
        """
        if not self._single.trusted or not self._folding.acquire(blocking=False):
            return False
        whole = False
        try:
            if self.refusing or self.stopped or not self._started or self._lanes.asked:
                whole = True
                return False
            self._lanes.note_caller()
            if jobs:
                self._single.cycle(jobs, [], [])
            # All of them, this thread's own the last: it puts no more meanwhile.
            while self._answer_rows():
                pass
            whole = True
            return True
        finally:
            if not whole:
                # Half a cycle has been folded: nothing may come after it, as where the host's own thread fails.
                self._fault = "a cycle failed; see the log, then start again"
                self._degrade(jobs)
            self._folding.release()

    def ask(self, job: VerdictJob) -> None:
        """Queue a caller who waits."""
        if not self._lanes.ask(job):
            self.publisher.degrade([job])

    def ask_rows(self) -> None:
        """Have the ask lane's rows answered: here where the fold is free, else in the host's own thread."""
        if not self.answer_here([]) and not self._lanes.call():
            self._degrade([])

    def between_cycles(self, action: Callable[[], list[Event]]) -> None:
        """Have something done in the host's thread with everything on disk; the events it returns are folded next."""
        self._between.append(action)
        self._lanes.wake()

    def cold_windows(self) -> tuple[Window, ...]:
        """Return the declared windows that have not seen all that they reach back to."""
        return self.fold.house.cold()

    def settle(self) -> Future[None]:
        """Return a future that is done when all that was submitted before is folded and answered by the responder."""
        if self.stopped:
            raise Retryable("the host has stopped; see the log, then start it again", after_s=30.0)
        return self._lanes.barrier()

    @property
    def journal(self) -> Journal:
        """Where accepted events lie."""
        return self._outbox.journal

    @journal.setter
    def journal(self, journal: Journal) -> None:
        self._outbox.journal = journal

    @property
    def row_stamper(self) -> RowStamping:
        """The stamper where the plane is compiled: it stamps rows as well."""
        return cast("RowStamping", self.stamper)

    @property
    def asked_lately(self) -> bool:
        """Whether somebody asks for verdicts just now, or did within the last second."""
        return self._lanes.callers_lately

    @property
    def queued(self) -> int:
        """Events accepted into the queue, not yet folded."""
        return self._lanes.waiting + (self.wide.waiting if self.wide is not None else 0)

    @property
    def queued_events(self) -> int:
        """Of those, the ones that came as single events, not as lines."""
        return self._lanes.waiting

    @property
    def oldest(self) -> float | None:
        """When the oldest came of what waits to be folded, on the monotonic clock in seconds; None: nothing waits."""
        found = [self._lanes.oldest, self.wide.oldest if self.wide is not None else None]
        return min((one for one in found if one is not None), default=None)

    @property
    def shed(self) -> int:
        """Requests of lines and single events that were refused because too many waited."""
        return self._lanes.shed + (self.wide.shed if self.wide is not None else 0)

    @property
    def unwritten_events(self) -> int:
        """Events that were folded and are not on disk yet."""
        return self._outbox.waiting_events

    @property
    def journaled_bytes(self) -> int:
        """Bytes of blocks that went to the journal since the start, those on their way included."""
        return self._outbox.taken

    @property
    def unwritten_bytes(self) -> int:
        """Bytes that were folded and are not on disk yet."""
        return self._outbox.waiting_bytes

    @property
    def refusing(self) -> str:
        """Why the intake accepts nothing just now; empty when it does."""
        return self._fault or self._outbox.refusing

    @property
    def stopped(self) -> bool:
        """Whether the host ended, by order or by a fault: nothing is accepted any more."""
        return self._started and (not self._thread.is_alive() or self._outbox.stopped)

    @property
    def running(self) -> bool:
        """Whether events are folded: begun, and not ended."""
        return self._started and not self.stopped

    @property
    def finished(self) -> bool:
        """Whether the host ended by order, with all that it folded on disk and published."""
        return self._by_order and self._outbox.drained(0)

    def start(self) -> None:
        """Begin to work; the journal must have been replayed (``recovery.replay``)."""
        self._started = True
        self._outbox.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end; what the disk refuses is given up."""
        if self.warming is not None:
            self.warming.stop()
        self._lanes.close()
        if self._started:
            self._thread.join()
            self._outbox.stop()
            if self.snapshots is not None:
                self.snapshots.finish()

    # The cycle --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        work = Work()
        try:
            while not self._lanes.closed and not self._fault:
                if not self._outbox.room(IDLE_S):
                    continue
                work = self._lanes.take(IDLE_S)
                if self.refusing:
                    if self._lanes.closing:
                        break
                    self._refuse(work.bulk, work.urgent)
                    self._lanes.put_back(work.notes)
                    with self._folding:
                        # A door that answers by itself must have let go of what it took.
                        self._degrade([])
                    self._refuse_lines()
                    # A full disk is asked again by the writer; here nothing is to be done but to say so.
                    time.sleep(IDLE_S / 4)
                else:
                    with self._folding:
                        self._work(work)
                    if self._between:
                        with self._folding:
                            self._settle_between()
                    if self.snapshots is not None:
                        with self._folding:
                            self.snapshots.look()
                for barrier in work.barriers:
                    self._outbox.put(self.publisher.mark(barrier))
                work = Work()
            self._by_order = self._lanes.closed and not self.refusing
        finally:
            # By order nothing waits any more. By a fault everyone who waits must hear of it: nobody hangs.
            with self._folding:
                # A door that answers by itself has ended its cycle, and begins no other.
                self._fault = self._fault or "the host has stopped"
            left_over = self._lanes.end()
            self._degrade([])
            for left in (work, left_over):
                self._refuse(left.bulk, left.urgent)
                for barrier in left.barriers:
                    fail(barrier, Retryable("the host has stopped", after_s=30.0))
            if self.wide is not None:
                self.wide.close(refusal(self.refusing))

    def _work(self, work: Work) -> None:
        single = work.urgent or work.bulk or work.notes
        if work.asked:
            # Not as long as others come: lines and what must happen between cycles have their turn.
            self._answer_rows()
        if single:
            self._single.cycle(work.urgent, work.bulk, work.notes)
        if work.lines and self.wide is not None:
            taken = self.wide.take(beside_callers=self._lanes.callers_lately)
            if taken is not None:
                self.bulk.cycle(taken)
        elif not (single or work.asked):
            self._tick()

    def _answer_rows(self) -> bool:
        """Answer the callers of one chunk; False where none waits."""
        one = self.asks.take() if self.asks is not None else None
        if one is not None:
            self._single.asked(one)
        return one is not None

    def _settle_between(self) -> None:
        """Do what must happen between two cycles, with everything so far on disk."""
        while self._between:
            if not self._outbox.drained(self._patience):
                # Under a full load it never is in a moment: next time the stream waits longer for it.
                self._patience = min(2 * self._patience, LONGEST_PAUSE_S)
                return
            self._patience = IDLE_S
            events = self._between.popleft()()
            if events:
                self._single.cycle([], [], events)

    def _tick(self) -> None:
        """Where something is due and no event comes, let the journal say that time went on."""
        due = self.fold.next_wake()
        now = self._clock.now()
        if self._clock.data or due is None or due > now:
            return
        # A bucket that a late event opened again is due when it was before: that must not be taken for a duplicate.
        self.note([Event(id=f"{due}.{self.stamper.seq}", source="tocsin", type="tocsin.tick", time=now)])

    def derive(self, derived: list[Event]) -> list[Event]:
        """Return derived events stamped, without those that the journal has already."""
        return self.stamper.stamp_all(derived, self.stamper.tau).fresh

    # Where nothing is accepted ----------------------------------------------------------------------------------

    def _refuse(self, bulk: list[Request], urgent: list[VerdictJob]) -> None:
        for request in bulk:
            fail(request.future, refusal(self.refusing))
        self.publisher.degrade(urgent)

    def _degrade(self, jobs: list[VerdictJob]) -> None:
        """Answer these callers and those of the ask lane with the fall-back."""
        waiting = [] if self.asks is None else self.asks.end()
        self.publisher.degrade([*jobs, *waiting])

    def _refuse_lines(self) -> None:
        if self.wide is not None:
            self.wide.refuse(refusal(self.refusing))

    def reader(self) -> Reader:
        """Return who reads the journal for this fold, one for the thread that asks."""
        from tocsin.runtime.reading import Reader

        if self._reader is None:
            self._reader = Reader(self.fold.engine, self._shop)
        return self._reader

    def ahead(self, parts: Iterable[Any], after: int) -> Iterable[tuple[Any, Rows | None]]:
        """Return parts of the journal as a replay takes them, read and scanned ahead (``reading.Ahead``)."""
        from tocsin.runtime.reading import Ahead

        return Ahead(self.fold.engine, self._shop, parts, after)

    # Recovery and configuration ---------------------------------------------------------------------------------

    def hand_on(self, signals: Sequence[tuple[int, Signal]]) -> None:
        """After a replay: give the responder what it has not answered, and let the clock stand where the data ends."""
        self._clock.observe(self.stamper.tau)
        self._downstream.take(signals, self._clock.now())

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel for the journal, in the order of seq; for the wide lane's cycle."""
        self._outbox.put(parcel)

    def clock_now(self) -> int:
        """Return the receiving clock."""
        return self._clock.now()

    @property
    def data_clock(self) -> bool:
        """Whether the clock stands where the data is."""
        return self._clock.data

    def release(self, one: Slice) -> None:
        """Let go of a slice that has been folded."""
        if self.wide is not None:
            self.wide.release(one)

    def release_questions(self, one: Questions) -> None:
        """Let go of callers' rows that have been folded."""
        if self.asks is not None:
            self.asks.release(one)

    def apply_mode(self, data: dict[str, Any]) -> None:
        """Let a change of mode take effect, at its place in the journal."""
        if data.get("verdict_mode") in ("shadow", "live"):
            self.verdict_mode = str(data["verdict_mode"])
        if data.get("verdict_fallback") in ("allow", "hold"):
            self.fallback = Decision(str(data["verdict_fallback"]))

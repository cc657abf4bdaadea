"""EmbeddedHost: the fold on one machine, in one thread. Stamp, fold, make durable, acknowledge, answer.

One cycle takes what waits (callers who wait for a verdict first, at most 256 other events beside them):

* where a caller waits: stamp, fold, write events and what was derived from them, one ``fdatasync``, then acknowledge
  and answer: nothing leaves the house before it is on disk;
* otherwise: stamp, write, ``fdatasync``, acknowledge, fold; what was derived becomes durable with the next cycle, or
  at once when nothing waits. A crash in between loses nothing: it is derived again, under the same identities.

Where the disk refuses, what was folded already is kept and written first when the disk is back; nothing new is
accepted until then, and callers who wait get the configured fall-back.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.core.events import Event
from tocsin.core.signal import Decision, Signal, Verdict
from tocsin.errors import Retryable
from tocsin.runtime import verdicts as serving
from tocsin.runtime.lanes import Lanes, Receipt, Request
from tocsin.runtime.stamping import Stamper
from tocsin.runtime.verdicts import VERDICT_TYPES, VerdictJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from tocsin.core.ports import Journal
    from tocsin.flow.fold import Fold, Folded
    from tocsin.ledger.views import Views
    from tocsin.runtime.clock import DataClock, SystemClock
    from tocsin.runtime.feed import Feed
    from tocsin.runtime.follower import Follower

IDLE_S = 0.2
log = logging.getLogger(__name__)
DERIVED = frozenset({"tocsin.signal", "tocsin.verdict", "tocsin.ruling", "tocsin.action", "tocsin.incident"})
"""Internal types that the fold itself or the responder made: journaled for people and learning, not folded again."""


class Downstream(Protocol):
    """Who takes the signals: the responder."""

    def take(self, signals: Sequence[tuple[int, Signal]], now: int) -> None:
        """Take (journal seq, signal) pairs; returns at once."""
        ...

    def barrier(self) -> Future[None]:
        """Return a future that is done when everything taken so far has been answered."""
        ...


class EmbeddedHost:
    """Hosts one fold over one journal.

    ``submit`` and ``verdict`` may be called from any thread; everything else happens in the host's own.
    ``verdict_mode`` is ``shadow`` or ``live``, ``fallback`` what is served when an answer cannot be made in time.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        fold: Fold,
        views: Views,
        follower: Follower,
        feed: Feed,
        clock: SystemClock | DataClock,
        flush_keys: Callable[[], None],
        downstream: Downstream,
        queue_events: int = 65_536,
        batch_events: int = 1024,
        fallback: Decision = Decision.ALLOW,
        verdict_mode: str = "shadow",
    ) -> None:
        self.journal = journal
        self.fold = fold
        self.views = views
        self.follower = follower
        self.stamper = Stamper()
        self.verdict_mode = verdict_mode
        self.fallback = fallback
        self.counters: dict[str, int] = dict.fromkeys(
            ("accepted", "duplicates", "verdicts", "verdicts_late", "verdicts_degraded", "journal_refusals", "shed"), 0
        )
        self.faults: dict[str, str] = {}
        """Desks that raised and are left out since, with what they raised."""
        self.refusing = ""
        """Why the intake accepts nothing just now; empty when it does."""
        self._feed = feed
        self._clock = clock
        self._flush_keys = flush_keys
        self._downstream = downstream
        self._unwritten: list[Event] = []
        self._unpublished: list[Callable[[], None]] = []
        self._lanes = Lanes(most_events=queue_events, batch_events=batch_events)
        self._started = False
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
        self._lanes.ask(job)
        return job

    def settle(self) -> Future[None]:
        """Return a future that is done when all that was submitted before is folded and answered by the responder."""
        if self.stopped:
            raise Retryable("the host has stopped; see the log, then start it again", after_s=30.0)
        return self._lanes.barrier()

    @property
    def queued(self) -> int:
        """Events accepted into the queue, not yet folded."""
        return self._lanes.waiting

    @property
    def stopped(self) -> bool:
        """Whether the host ended, by order or by a fault: nothing is accepted any more."""
        return self._started and not self._thread.is_alive()

    def start(self) -> None:
        """Begin to work; the journal must have been replayed (``recovery.replay``)."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end."""
        self._lanes.close()
        if self._started:
            self._thread.join()

    # The cycle --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._lanes.closed:
                work = self._lanes.take(IDLE_S)
                if work.urgent or work.bulk or work.notes or self._unwritten:
                    self._cycle(work.urgent, work.bulk, work.notes)
                elif not work:
                    self._tick()
                for barrier in work.barriers:
                    self._downstream.barrier().add_done_callback(partial(_release, barrier))
        finally:
            # By order nothing waits any more. By a fault everyone who waits must hear of it: nobody hangs.
            self.refusing = self.refusing or "the host has stopped"
            left = self._lanes.drain()
            self._refuse(left.bulk, left.urgent)
            for barrier in left.barriers:
                barrier.set_exception(Retryable("the host has stopped", after_s=30.0))

    def _tick(self) -> None:
        """Where something is due and no event comes, let the journal say that time went on."""
        due = self.fold.next_wake()
        now = self._clock.now()
        if self._clock.data or due is None or due > now:
            return
        self.note([Event(id=str(due), source="tocsin", type="tocsin.tick", time=now)])

    def _cycle(
        self,
        urgent: list[VerdictJob],
        bulk: list[Request],
        notes: list[Event],
    ) -> None:
        if self._unwritten and not self._write([]):
            self._put_back(bulk, urgent, notes)
            return
        before = (self.stamper.seq, self.stamper.tau)
        clock = self._clock.now()
        fresh: list[Event] = []
        receipts = [[self._receive(event, clock, fresh) for event in request.events] for request in bulk]
        waiting: dict[int, list[VerdictJob]] = {}
        replayed: list[VerdictJob] = []
        for job in urgent:
            position = self._receive(job.event, clock, fresh).seq - before[0] - 1
            if position >= 0:
                waiting.setdefault(position, []).append(job)
            else:
                replayed.append(job)
        external = len(fresh)
        for event in notes:
            self._receive(event, clock, fresh)
        for job in replayed:
            self._answer_again(job)
        told: list[tuple[VerdictJob, Verdict]] = []
        if waiting:
            told = self._fold(fresh, waiting)
            if not self._write([]):
                self._refuse(bulk, [job for job, _ in told])
                return
        elif not self._write(fresh):
            self.stamper.retract(fresh, *before)
            self._put_back(bulk, [], notes)
            return
        self.counters["accepted"] += external
        self.counters["duplicates"] += sum(len(request.events) for request in bulk) + len(urgent) - external
        for request, answer in zip(bulk, receipts, strict=True):
            request.future.set_result(answer)
        for job, verdict in told:
            job.future.set_result(verdict)
        if fresh and not waiting:
            self._fold(fresh, {})
        for publish in self._unpublished:
            publish()
        self._unpublished.clear()
        if self._unwritten and self._lanes.idle:
            self._write([])

    def _receive(self, event: Event, clock: int, fresh: list[Event]) -> Receipt:
        known = self.stamper.seen(event.identity)
        if known:
            return Receipt(known, duplicate=True)
        # On the data's clock nothing is ahead of it: it moves on with what is folded.
        stamped = self.stamper.stamp(event, max(clock, event.time) if self._clock.data else clock)
        fresh.append(stamped)
        return Receipt(stamped.seq)

    def _write(self, fresh: list[Event]) -> bool:
        """Make keys, what is folded but not yet written, and fresh events durable; say why not."""
        try:
            if self.refusing:
                self.journal.recover()
            # A sealed value must never be on disk without the key that opens it.
            self._flush_keys()
            self.journal.append([*self._unwritten, *fresh])
            self.journal.commit()
        except Retryable as error:
            self.counters["journal_refusals"] += 1
            if not self.refusing:
                self._feed.publish("fault", "journal")
            self.refusing = error.reason
            return False
        self._unwritten.clear()
        self.refusing = ""
        return True

    def _put_back(
        self,
        bulk: list[Request],
        urgent: list[VerdictJob],
        notes: list[Event],
    ) -> None:
        """Refuse who waits, and keep the house's own notes for later."""
        self._refuse(bulk, urgent)
        self._lanes.put_back(notes)
        # A full disk is not asked a thousand times a second.
        time.sleep(IDLE_S)

    def _refuse(self, bulk: list[Request], urgent: list[VerdictJob]) -> None:
        for request in bulk:
            request.future.set_exception(Retryable(f"the journal refuses: {self.refusing}", after_s=5.0))
        for job in urgent:
            self.counters["verdicts_degraded"] += 1
            job.claim()
            job.future.set_result(
                serving.build(
                    job.event, None, mode=self.verdict_mode, fallback=self.fallback, degraded="journal unavailable"
                )
            )

    def _fold(self, fresh: list[Event], waiting: dict[int, list[VerdictJob]]) -> list[tuple[VerdictJob, Verdict]]:
        """Fold stamped events and stamp what is derived; return who is to be told which verdict."""
        offsets = [position for position, event in enumerate(fresh) if event.type not in DERIVED]
        place = {position: index for index, position in enumerate(offsets)}
        folded = self.fold.step(
            [fresh[position] for position in offsets], features_for=[place[position] for position in waiting]
        )
        for event in fresh:
            if event.type == "tocsin.mode":
                self.apply_mode(event.data)
        rows = {offsets[row.index]: row for row in folded.rows}
        records: list[Verdict] = []
        told: list[tuple[VerdictJob, Verdict]] = []
        for position in sorted(rows.keys() | waiting.keys()):
            event = fresh[position]
            jobs = waiting.get(position, [])
            if not jobs and event.type not in VERDICT_TYPES:
                continue
            claims = [job.claim() for job in jobs]
            late = bool(jobs) and not any(claims)
            verdict = serving.build(
                event, rows.get(position), mode=self.verdict_mode, fallback=self.fallback, late=late
            )
            self.counters["verdicts"] += 1
            self.counters["verdicts_late"] += late
            records.append(verdict)
            told.extend((job, verdict) for job, claimed in zip(jobs, claims, strict=True) if claimed)
        derived = [serving.as_event(verdict) for verdict in records] + [signal_event(s) for s in folded.signals]
        stamped = self.derive(derived)
        if waiting:
            self._unwritten.extend(sorted([*fresh, *stamped], key=lambda event: event.seq))
        else:
            self._unwritten.extend(stamped)
        self._unpublished.append(lambda: self._publish(fresh, folded, records, stamped))
        return told

    def derive(self, derived: list[Event]) -> list[Event]:
        """Return derived events stamped, without those that the journal has already."""
        return [
            self.stamper.stamp(event, self.stamper.tau) for event in derived if not self.stamper.seen(event.identity)
        ]

    def _publish(self, fresh: list[Event], folded: Folded, records: list[Verdict], stamped: list[Event]) -> None:
        self.views.note(fresh, folded, records)
        resolved = [event for event in fresh if event.type == "verdict.resolved"]
        last = (stamped or fresh)[-1].seq
        if records or resolved:
            self.follower.note(last, records, resolved)
        seqs = {event.id: event.seq for event in stamped}
        pairs = [(seqs.get(signal.id, last), signal) for signal in folded.signals]
        now = max(self._clock.now(), fresh[-1].tau)
        self._downstream.take(pairs, now)
        # After the signals are in the responder's queue, so that no timer of later data overtakes them.
        self._clock.observe(now)
        for fault in folded.faults:
            log.error("desk %s is left out: %s", fault.desk, fault.error)
            self.faults[f"desk:{fault.desk}"] = fault.error
            self._feed.publish("fault", fault.desk)

    def hand_on(self, signals: Sequence[tuple[int, Signal]]) -> None:
        """After a replay: give the responder what it has not answered, and let the clock stand where the data ends."""
        self._clock.observe(self.stamper.tau)
        self._downstream.take(signals, self._clock.now())

    def _answer_again(self, job: VerdictJob) -> None:
        """A repeated request gets the recorded verdict."""
        found = self.follower.verdict(serving.verdict_id(job.event))
        if job.claim():
            job.replayed = True
            verdict = found or serving.build(
                job.event,
                None,
                mode=self.verdict_mode,
                fallback=self.fallback,
                degraded="accepted without a verdict",
            )
            job.future.set_result(verdict)

    def apply_mode(self, data: dict[str, Any]) -> None:
        """Let a change of mode take effect, at its place in the journal."""
        if data.get("verdict_mode") in ("shadow", "live"):
            self.verdict_mode = str(data["verdict_mode"])
        if data.get("verdict_fallback") in ("allow", "hold"):
            self.fallback = Decision(str(data["verdict_fallback"]))


def _release(barrier: Future[None], _: Future[None]) -> None:
    barrier.set_result(None)


def signal_event(signal: Signal) -> Event:
    """Return the journal's event of a signal."""
    return Event(
        id=signal.id,
        source="tocsin",
        type="tocsin.signal",
        time=signal.tau,
        subject=signal.subject,
        shop=signal.shop,
        data=msgspec.to_builtins(signal),
    )

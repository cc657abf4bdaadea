"""EmbeddedHost: the fold on one machine, in one thread. Stamp, make durable, acknowledge, fold, record, answer.

One cycle takes what waits (callers who wait for a verdict first, at most 256 other events beside them):

1. stamp (seq, tau), set duplicates aside;
2. keys, then events to disk; only then acknowledge;
3. fold; derived events (signals, verdicts) to disk; only then answer.

What a cycle derived and could not write is derived again by the replay at the next start: its identities depend on
the journal alone.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.core.events import Event
from tocsin.core.signal import Decision, Signal, Verdict
from tocsin.errors import Retryable
from tocsin.runtime import verdicts as serving
from tocsin.runtime.stamping import Stamper
from tocsin.runtime.verdicts import VERDICT_TYPES, VerdictJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.ports import Journal
    from tocsin.flow.fold import Fold, Folded
    from tocsin.ledger.views import Views
    from tocsin.runtime.clock import DataClock, SystemClock
    from tocsin.runtime.feed import Feed
    from tocsin.runtime.follower import Follower

BESIDE_A_CALLER = 256
"""At most so many other events share a cycle with a caller who waits."""
IDLE_S = 0.2
DERIVED = frozenset({"tocsin.signal", "tocsin.verdict", "tocsin.ruling", "tocsin.action", "tocsin.incident"})
"""Internal types that the fold itself or the responder made: journaled for people and learning, not folded again."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of one event at the intake."""

    seq: int
    duplicate: bool = False


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
        self.refusing = ""
        """Why the intake accepts nothing just now; empty when it does."""
        self._feed = feed
        self._clock = clock
        self._flush_keys = flush_keys
        self._downstream = downstream
        self._queue_events = queue_events
        self._batch_events = batch_events
        self._urgent: deque[VerdictJob] = deque()
        self._bulk: deque[tuple[list[Event], Future[list[Receipt]]]] = deque()
        self._barriers: deque[Future[None]] = deque()
        self._waiting = 0
        self._stopping = False
        self._started = False
        self._ready = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="host", daemon=True)

    # Doors ------------------------------------------------------------------------------------------------------

    def submit(self, events: list[Event]) -> Future[list[Receipt]]:
        """Accept events: the future is done when they are on disk. Retryable at once when the queue is full."""
        future: Future[list[Receipt]] = Future()
        with self._ready:
            if self.stopped:
                raise Retryable("the host has stopped; see the log, then start it again", after_s=30.0)
            if self._waiting and self._waiting + len(events) > self._queue_events:
                self.counters["shed"] += len(events)
                raise Retryable("the intake is full; nothing of this request was accepted", after_s=1.0)
            self._bulk.append((events, future))
            self._waiting += len(events)
            self._ready.notify()
        return future

    def verdict(self, event: Event) -> VerdictJob:
        """Ask for a verdict on one event; wait on the job's future, or ``give_up`` when the deadline passes."""
        job = VerdictJob(event)
        with self._ready:
            self._urgent.append(job)
            self._ready.notify()
        return job

    def settle(self) -> Future[None]:
        """Return a future that is done when all that was submitted before is folded and answered by the responder."""
        future: Future[None] = Future()
        with self._ready:
            self._barriers.append(future)
            self._ready.notify()
        return future

    @property
    def queued(self) -> int:
        """Events accepted into the queue, not yet folded."""
        return self._waiting

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
        with self._ready:
            self._stopping = True
            self._ready.notify()
        if self._started:
            self._thread.join()

    # The cycle --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            # By order nothing waits any more. By a fault everyone who waits must hear of it: nobody hangs.
            for _, future in self._bulk:
                future.set_exception(Retryable("the host has stopped", after_s=30.0))
            self._refuse([], list(self._urgent))

    def _loop(self) -> None:
        while True:
            with self._ready:
                if not (self._urgent or self._bulk or self._barriers or self._stopping):
                    self._ready.wait(IDLE_S)
                urgent, bulk, barriers = self._take()
                if self._stopping and not (urgent or bulk or barriers):
                    return
            if urgent or bulk:
                self._cycle(urgent, bulk)
            elif not barriers:
                self._tick()
            for barrier in barriers:
                self._downstream.barrier().add_done_callback(lambda _, done=barrier: done.set_result(None))  # type: ignore[misc]

    def _take(self) -> tuple[list[VerdictJob], list[tuple[list[Event], Future[list[Receipt]]]], list[Future[None]]]:
        urgent = list(self._urgent)
        self._urgent.clear()
        limit = BESIDE_A_CALLER if urgent else self._batch_events
        bulk: list[tuple[list[Event], Future[list[Receipt]]]] = []
        taken = 0
        # A request is never split: at least one is taken, so a large one cannot starve.
        while self._bulk and (not bulk or taken + len(self._bulk[0][0]) <= limit):
            if urgent and len(self._bulk[0][0]) > BESIDE_A_CALLER:
                break
            bulk.append(self._bulk.popleft())
            taken += len(bulk[-1][0])
        self._waiting -= taken
        barriers: list[Future[None]] = []
        if not self._bulk and not self._urgent:
            barriers = list(self._barriers)
            self._barriers.clear()
        return urgent, bulk, barriers

    def _tick(self) -> None:
        """Where something is due and no event comes, let the journal say that time went on."""
        due = self.fold.next_wake()
        now = self._clock.now()
        if self._clock.data or due is None or due > now:
            return
        tick = Event(id=str(due), source="tocsin", type="tocsin.tick", time=now)
        self._cycle([], [([tick], Future())])

    def _cycle(self, urgent: list[VerdictJob], bulk: list[tuple[list[Event], Future[list[Receipt]]]]) -> None:
        before = (self.stamper.seq, self.stamper.tau)
        clock = self._clock.now()
        fresh: list[Event] = []
        answers: list[tuple[Future[list[Receipt]], list[Receipt]]] = []
        for events, future in bulk:
            answers.append((future, [self._receive(event, clock, fresh) for event in events]))
        waiting: dict[int, list[VerdictJob]] = {}
        replayed: list[VerdictJob] = []
        for job in urgent:
            receipt = self._receive(job.event, clock, fresh)
            position = receipt.seq - before[0] - 1
            if position >= 0:
                waiting.setdefault(position, []).append(job)
            else:
                replayed.append(job)
        if fresh and not self._write(fresh):
            self.stamper.retract(fresh, *before)
            self._refuse(answers, urgent)
            return
        external = sum(not event.internal for event in fresh)
        self.counters["accepted"] += external
        self.counters["duplicates"] += sum(len(events) for events, _ in bulk) + len(urgent) - len(fresh)
        for future, receipts in answers:
            future.set_result(receipts)
        for job in replayed:
            self._answer_again(job)
        if fresh:
            self._fold(fresh, waiting)

    def _receive(self, event: Event, clock: int, fresh: list[Event]) -> Receipt:
        known = self.stamper.seen(event.identity)
        if known:
            return Receipt(known, duplicate=True)
        stamped = self.stamper.stamp(event, clock)
        fresh.append(stamped)
        return Receipt(stamped.seq)

    def _write(self, events: Sequence[Event]) -> bool:
        """Make keys and events durable; say why not."""
        try:
            if self.refusing:
                self.journal.recover()
            # A sealed value must never be on disk without the key that opens it.
            self._flush_keys()
            self.journal.append(events)
            self.journal.commit()
        except Retryable as error:
            self.counters["journal_refusals"] += 1
            if not self.refusing:
                self._feed.publish("fault", "journal")
            self.refusing = error.reason
            return False
        self.refusing = ""
        return True

    def _refuse(self, answers: list[tuple[Future[list[Receipt]], list[Receipt]]], urgent: list[VerdictJob]) -> None:
        for future, _ in answers:
            future.set_exception(Retryable(f"the journal refuses: {self.refusing}", after_s=5.0))
        for job in urgent:
            self.counters["verdicts_degraded"] += 1
            if job.claim():
                job.future.set_result(
                    serving.build(
                        job.event, None, mode=self.verdict_mode, fallback=self.fallback, degraded="journal unavailable"
                    )
                )

    def _fold(self, fresh: list[Event], waiting: dict[int, list[VerdictJob]]) -> None:
        offsets = [position for position, event in enumerate(fresh) if event.type not in DERIVED]
        place = {position: index for index, position in enumerate(offsets)}
        folded = self.fold.step(
            [fresh[position] for position in offsets], features_for=[place[position] for position in waiting]
        )
        for event in fresh:
            if event.type == "tocsin.mode":
                self._apply_mode(event.data)
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
        first = self._derive(derived)
        self._publish(fresh, folded, records, first)
        for job, verdict in told:
            job.future.set_result(verdict)

    def _derive(self, derived: list[Event]) -> list[Event]:
        """Stamp and write derived events; where the disk refuses, the next start derives them again."""
        if not derived:
            return []
        before = (self.stamper.seq, self.stamper.tau)
        stamped = [
            self.stamper.stamp(event, self.stamper.tau) for event in derived if not self.stamper.seen(event.identity)
        ]
        if not self._write(stamped):
            self.stamper.retract(stamped, *before)
            return []
        return stamped

    def _publish(self, fresh: list[Event], folded: Folded, records: list[Verdict], stamped: list[Event]) -> None:
        self.views.note(fresh, folded, records)
        resolved = [event for event in fresh if event.type == "verdict.resolved"]
        if records or resolved:
            self.follower.note(self.stamper.seq, records, resolved)
        seqs = {event.id: event.seq for event in stamped}
        now = self._clock.now()
        self._downstream.take([(seqs.get(signal.id, self.stamper.seq), signal) for signal in folded.signals], now)
        for fault in folded.faults:
            self._feed.publish("fault", fault.desk)

    def _answer_again(self, job: VerdictJob) -> None:
        """A repeated request gets the recorded verdict."""
        found = self.follower.verdict(serving.verdict_id(job.event))
        if job.claim():
            verdict = found or serving.build(
                job.event, None, mode=self.verdict_mode, fallback=self.fallback, degraded="accepted without a verdict"
            )
            job.future.set_result(verdict)

    def _apply_mode(self, data: dict[str, Any]) -> None:
        if data.get("verdict_mode") in ("shadow", "live"):
            self.verdict_mode = str(data["verdict_mode"])
        if data.get("verdict_fallback") in ("allow", "hold"):
            self.fallback = Decision(str(data["verdict_fallback"]))


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

"""The writer's half of the host: who waits is told, and views, records and responder hear of what is on disk.

All but ``degrade`` runs in the thread of the journal's writer.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tocsin.errors import Retryable
from tocsin.runtime import verdicts as serving
from tocsin.runtime.outbox import Parcel
from tocsin.runtime.promises import fail, keep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from tocsin.core.events import Event
    from tocsin.core.signal import Decision, Signal, Verdict
    from tocsin.flow.fold import Folded
    from tocsin.ledger.views import Views
    from tocsin.runtime.clock import DataClock, SystemClock
    from tocsin.runtime.feed import Feed
    from tocsin.runtime.follower import Follower
    from tocsin.runtime.lanes import Receipt, Request
    from tocsin.runtime.served import Served
    from tocsin.runtime.verdicts import VerdictJob

log = logging.getLogger(__name__)
UNAVAILABLE = "journal unavailable"
_NONE: Mapping[str, bytes] = {}


class Downstream(Protocol):
    """Who takes the signals: the responder."""

    def take(self, signals: Sequence[tuple[int, Signal]], now: int) -> None:
        """Take (journal seq, signal) pairs in journal order; returns at once."""
        ...

    def reach(self, seq: int) -> None:
        """Hear that all signals up to this journal seq have been given; returns at once."""
        ...

    def barrier(self) -> Future[None]:
        """Return a future that is done when everything taken so far has been answered."""
        ...


class Serving(Protocol):
    """How verdicts are served: ``shadow`` or ``live``, and what is served where no answer can be made in time."""

    verdict_mode: str
    fallback: Decision
    counters: dict[str, int]


class Cycle:
    """What one cycle of the host brought, on its way to the disk."""

    __slots__ = ("bulk", "folded", "fresh", "receipts", "records", "served", "stamped", "told", "written")

    def __init__(self, fresh: list[Event], bulk: list[Request], receipts: list[list[Receipt]], folded: Folded) -> None:
        self.fresh, self.bulk, self.receipts, self.folded = fresh, bulk, receipts, folded
        self.records: list[Verdict] = []
        """The verdicts of the cycle, as they are recorded."""
        self.told: list[tuple[VerdictJob, Verdict]] = []
        """Who is to be told what."""
        self.stamped: list[Event] = []
        """What was derived of its events, but for what is in ``served``."""
        self.written: list[Event] = []
        """What is written of it, in order of seq, where nothing is in ``served``."""
        self.served: Served | None = None
        """Its events and verdicts, where they are written as they came and as they are made: before ``stamped``."""

    @property
    def last_seq(self) -> int:
        """The seq of the last event that was stamped."""
        if self.stamped:
            return self.stamped[-1].seq
        return self.served.last_seq if self.served is not None else self.fresh[-1].seq

    def parts(self) -> list[Any]:
        """Return what is written of it; in the writer's thread."""
        if self.served is None:
            return [self.written]
        return [self.served.block(), *([self.stamped] if self.stamped else ())]


class Publisher:
    """Tells of what is on disk, for one host."""

    def __init__(
        self, host: Serving, *, views: Views, follower: Follower, feed: Feed, clock: SystemClock | DataClock,
        downstream: Downstream,
    ) -> None:  # fmt: skip
        self.unpublished: dict[str, Verdict] = {}
        """Verdicts that are on their way to the disk: a repeated request must find them."""
        self.faults: dict[str, str] = {}
        """Desks that raised and are left out since, with what they raised."""
        self._host = host
        self._views = views
        self._follower = follower
        self._feed = feed
        self._clock = clock
        self._downstream = downstream

    def parcel(self, cycle: Cycle, *, answers: bool, patient: bool) -> Parcel:
        """Return the parcel of a cycle: with its events and answers, or with what was derived of it alone."""
        if answers:
            return Parcel(cycle.parts, partial(self._answered, cycle), partial(self._publish, cycle),
                          rows=len(cycle.fresh), patient=patient)  # fmt: skip
        return Parcel([cycle.stamped] if cycle.stamped else (), None, partial(self._publish, cycle))

    def acknowledgement(self, records: Sequence[list[Event]], bulk: list[Request],
                        receipts: list[list[Receipt]], rows: int = 0) -> Parcel:  # fmt: skip
        """Return the parcel of requests that wait for nothing but the disk."""
        return Parcel(records, partial(self._acknowledge, bulk, receipts), rows=rows)

    def mark(self, barrier: Future[None]) -> Parcel:
        """Return a parcel that ends a barrier: all before it is on disk, and the responder has answered it."""
        return Parcel((), published=partial(self._pass, barrier), lost=partial(fail, barrier))

    def again(self, job: VerdictJob) -> Parcel:
        """Return the parcel of a request that came before: what it was told then is on disk by then."""
        return Parcel((), published=partial(self._answer_again, job), lost=partial(self.degrade, [job]))

    def pass_on(
        self,
        last: int,
        tau: int,
        folded: Folded,
        records: list[Verdict],
        stamped: list[Event],
        resolved: list[Event],
        bodies: Mapping[str, bytes] = _NONE,
    ) -> None:
        """Tell records and responder what a cycle up to journal position ``last`` brought.

        ``bodies``: the JSON of verdicts by id, of those whose JSON is there.
        """
        if records or resolved:
            self._follower.note(last, records, resolved, bodies)
        self._follower.reach(last)
        for verdict in records:
            self.unpublished.pop(verdict.id, None)
        seqs = {event.id: event.seq for event in stamped} if folded.signals else {}
        pairs = [(seqs.get(signal.id, last), signal) for signal in folded.signals]
        now = max(self._clock.now(), tau)
        self._downstream.take(pairs, now)
        self._downstream.reach(last)
        # After the signals are in the responder's queue, so that no timer of later data overtakes them.
        self._clock.observe(now)
        for fault in folded.faults:
            log.error("desk %s is left out: %s", fault.desk, fault.error)
            self.faults[f"desk:{fault.desk}"] = fault.error
            self._feed.publish("fault", fault.desk)

    def refused(self, reason: str) -> None:
        """Hear that the disk begins to refuse."""
        self._host.counters["journal_refusals"] += 1
        log.error("journal: %s", reason)
        self._feed.publish("fault", "journal")

    def degrade(self, jobs: Sequence[VerdictJob], _: Retryable | None = None) -> None:
        """Answer callers with the fall-back: nothing can be written."""
        host = self._host
        for job in jobs:
            if job.verdict is None:
                host.counters["verdicts_degraded"] += 1
                job.claim()
                mode, fallback = host.verdict_mode, host.fallback
                job.answer(serving.build(job.event, None, mode=mode, fallback=fallback, degraded=UNAVAILABLE))

    # ------------------------------------------------------------------------------------------------------------

    def _acknowledge(self, bulk: list[Request], receipts: list[list[Receipt]], error: Retryable | None) -> None:
        for request, answer in zip(bulk, receipts, strict=True):
            if error is None:
                keep(request.future, answer)
            else:
                fail(request.future, refusal(error.reason))

    def _answered(self, cycle: Cycle, error: Retryable | None) -> None:
        self._acknowledge(cycle.bulk, cycle.receipts, error)
        if error is not None:
            self._correct(cycle)
        answer(cycle.told)

    def _correct(self, cycle: Cycle) -> None:
        """The disk refuses: who has not been answered gets the fall-back, and that is what will be written.

        Nothing of the cycle is on disk, so its verdicts are replaced where they stand, under their own seq.
        """
        corrected: dict[str, Verdict] = {}
        for place, (job, verdict) in enumerate(cycle.told):
            if job.verdict is None:
                self._host.counters["verdicts_degraded"] += 1
                served = msgspec.structs.replace(verdict, served=self._host.fallback, degraded=UNAVAILABLE)
                corrected[verdict.id] = served
                cycle.told[place] = (job, served)
        if not corrected:
            return
        cycle.records[:] = [corrected.get(verdict.id, verdict) for verdict in cycle.records]
        self.unpublished.update(corrected)
        if cycle.served is not None:
            cycle.served.correct(corrected)
        for events in (cycle.written, cycle.stamped):
            for place, event in enumerate(events):
                if event.type == "tocsin.verdict" and event.id in corrected:
                    new = serving.as_event(corrected[event.id])
                    events[place] = msgspec.structs.replace(event, data=new.data)

    def _publish(self, cycle: Cycle) -> None:
        """Tell views, records and responder of a cycle that is on disk."""
        fresh, stamped = cycle.fresh, cycle.stamped
        self._views.note(fresh, cycle.folded, cycle.records)
        resolved = [event for event in fresh if event.type == "verdict.resolved"]
        bodies = cycle.served.bodies if cycle.served is not None else _NONE
        self.pass_on(cycle.last_seq, fresh[-1].tau, cycle.folded, cycle.records, stamped, resolved, bodies)

    def _pass(self, barrier: Future[None]) -> None:
        self._downstream.barrier().add_done_callback(partial(_release, barrier))

    def _answer_again(self, job: VerdictJob) -> None:
        """A repeated request gets the recorded verdict."""
        id = serving.verdict_id(job.event)
        found = self.unpublished.get(id) or self._follower.verdict(id)
        if job.claim():
            job.replayed = True
            mode, fallback = self._host.verdict_mode, self._host.fallback
            missing = "accepted without a verdict"
            job.answer(found or serving.build(job.event, None, mode=mode, fallback=fallback, degraded=missing))


def answer(told: Sequence[tuple[VerdictJob, Verdict]]) -> None:
    """Tell callers their verdicts; who has been answered already keeps the answer."""
    for job, verdict in told:
        job.answer(verdict)


def refusal(reason: str) -> Retryable:
    """Return what callers hear while the journal refuses."""
    return Retryable(f"the journal refuses: {reason}", after_s=5.0)


def _release(barrier: Future[None], _: Future[None]) -> None:
    keep(barrier, None)

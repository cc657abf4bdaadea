"""The narrow half of the host's cycle: single events, and callers who wait for a verdict.

A caller's event comes as an ``Event``, or, where the plane is compiled, as a row of the ask lane (``asklane``). It is
stamped, folded, judged and handed to the journal's writer together with all that is derived from it.
"""

from __future__ import annotations

import time
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np

from tocsin.core.events import Event
from tocsin.runtime import verdicts as serving
from tocsin.runtime.bulk import FOR_EVER, line_rows
from tocsin.runtime.lanes import Receipt
from tocsin.runtime.publishing import Cycle, answer
from tocsin.runtime.served import Served
from tocsin.runtime.verdicts import VERDICT_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.flow.fold import Row
    from tocsin.flow.wide.lines import LineRows
    from tocsin.flow.wide.rows import Rows
    from tocsin.flow.wide.scan_chunk import Chunk
    from tocsin.runtime.asklane import Questions
    from tocsin.runtime.embedded import EmbeddedHost
    from tocsin.runtime.lanes import Request
    from tocsin.runtime.publishing import Publisher
    from tocsin.runtime.served import Blocks
    from tocsin.runtime.verdicts import VerdictJob

QUICK_S = 0.005
"""A cycle of so much processor time may run in the door's own thread; for what else the machine does it cannot help."""
TRUSTED = 16
"""So many quick cycles in a row earn the trust that the next is quick, too."""
_BY_SEQ = attrgetter("seq")
_LINES = msgspec.json.Decoder(Event).decode_lines
DERIVED = frozenset({"tocsin.signal", "tocsin.verdict", "tocsin.ruling", "tocsin.action", "tocsin.incident"})
"""Internal types that the fold itself or the responder made: journaled for people and learning, not folded again."""


class Single:
    """Folds single events and questions for one host; whoever calls it holds the fold.

    With ``ack_memory`` a verdict is answered when it is folded, up to one commit before it is on disk.
    """

    def __init__(self, host: EmbeddedHost, publisher: Publisher, blocks: Blocks, *, ack_memory: bool) -> None:
        self._host = host
        self._publisher = publisher
        self._blocks = blocks
        self._ack_memory = ack_memory
        self._calm = 0
        """Cycles with callers in a row that were quick."""

    @property
    def trusted(self) -> bool:
        """Whether answers have been quick of late."""
        return self._calm >= TRUSTED

    def cycle(self, urgent: list[VerdictJob], bulk: list[Request], notes: list[Event]) -> None:
        """Stamp, fold and judge events; requests hear when they are on disk, callers are answered."""
        began = time.thread_time()
        host = self._host
        before = host.stamper.seq
        events = [event for request in bulk for event in request.events]
        at = len(events)
        external = at + len(urgent)
        events += [job.event for job in urgent]
        fresh, seqs, new = host.stamper.stamp_all([*events, *notes], self._clock())
        self._count(sum(new[:external]), external)
        known = iter(zip(seqs, new, strict=True))
        receipts = [
            [Receipt(seq, duplicate=not one) for seq, one in islice(known, len(request.events))] for request in bulk
        ]
        waiting, replayed = _waiting(urgent, seqs[at:external], before)
        if fresh and not waiting:
            # Nobody waits for what is derived: the disk may begin while it is folded.
            host.put(self._publisher.acknowledgement([fresh], bulk, receipts, len(fresh)))
        if fresh:
            self._tell(self._fold(fresh, waiting, bulk, receipts), answers=bool(waiting))
        elif bulk or replayed:
            host.put(self._publisher.acknowledgement((), bulk, receipts))
        self._again(replayed)
        if urgent:
            self._note_pace(began)

    def asked(self, one: Questions) -> None:
        """Stamp, fold and judge the rows of callers who wait, then let go of them."""
        began = time.thread_time()
        host, chunk, jobs, n = self._host, one.chunk, one.jobs, one.chunk.n
        before = host.stamper.seq
        seqs, taus, fresh = host.row_stamper.stamp_rows(chunk.identity[:n], chunk.times[:n], self._clock())
        chunk.seqs[:n], chunk.taus[:n] = seqs, taus
        count = int(fresh.sum())
        self._count(count, n)
        waiting, replayed = _waiting(jobs, seqs.tolist(), before)
        if replayed:
            for place, job in enumerate(jobs):
                job.read_from(chunk, place)
        if count:
            batch = line_rows(chunk, 0, n)
            if count < n:
                batch = batch.pick(fresh.nonzero()[0])
            lines = cast("LineRows", batch).lines()
            events = _events(chunk, batch, lines, fresh)
            start = time.perf_counter()
            folded = host.fold.step_asked(batch)
            host.plane["fold"].add(time.perf_counter() - start, count)
            cycle = Cycle(events, [], [], folded)
            for row in folded.rows:
                self._judge(cycle, events[row.index], row, waiting[row.index])
            cycle.served = self._served(cycle, lines, batch)
            cycle.stamped = host.derive(serving.signals(folded))
            self._tell(cycle, answers=True)
        host.release_questions(one)
        self._again(replayed)
        self._note_pace(began)

    # ------------------------------------------------------------------------------------------------------------

    def _clock(self) -> int:
        # On the data's clock nothing is ahead of it: it moves on with what is folded.
        return FOR_EVER if self._host.data_clock else self._host.clock_now()

    def _count(self, accepted: int, external: int) -> None:
        # Before anybody is answered: who has an answer finds it counted.
        self._host.counters["accepted"] += accepted
        self._host.counters["duplicates"] += external - accepted

    def _note_pace(self, began: float) -> None:
        self._calm = self._calm + 1 if time.thread_time() - began < QUICK_S else 0

    def _again(self, replayed: list[VerdictJob]) -> None:
        for job in replayed:
            self._host.put(self._publisher.again(job))

    def _tell(self, cycle: Cycle, *, answers: bool) -> None:
        """Hand a cycle to the writer; callers who need not wait for the disk are answered."""
        patient = self._ack_memory and not cycle.bulk
        self._host.put(self._publisher.parcel(cycle, answers=answers, patient=patient))
        if self._ack_memory:
            answer(cycle.told)

    def _fold(
        self,
        fresh: list[Event],
        waiting: dict[int, list[VerdictJob]],
        bulk: list[Request],
        receipts: list[list[Receipt]],
    ) -> Cycle:
        """Fold stamped events, make verdicts of them and stamp what is derived."""
        host = self._host
        began = time.perf_counter()
        offsets = [position for position, event in enumerate(fresh) if event.type not in DERIVED]
        place = {position: index for index, position in enumerate(offsets)}
        folded = host.fold.step(
            [fresh[position] for position in offsets], features_for=[place[position] for position in waiting]
        )
        host.plane["fold"].add(time.perf_counter() - began, len(fresh))
        cycle = Cycle(fresh, bulk, receipts, folded)
        for event in fresh:
            if event.type == "tocsin.mode":
                host.apply_mode(event.data)
            elif event.type == "tocsin.windows" and host.warming is not None:
                host.warming.look()
        rows = {offsets[row.index]: row for row in folded.rows}
        for position in sorted(rows.keys() | waiting.keys()):
            jobs = waiting.get(position, [])
            if jobs or fresh[position].type in VERDICT_TYPES:
                self._judge(cycle, fresh[position], rows.get(position), jobs)
        self._derive(cycle)
        cycle.written = sorted([*fresh, *cycle.stamped], key=_BY_SEQ) if waiting else cycle.stamped
        return cycle

    def _judge(self, cycle: Cycle, event: Event, row: Row | None, jobs: list[VerdictJob]) -> None:
        """Make the verdict on an event; it is served to those who still wait for it."""
        host = self._host
        claimed = [job for job in jobs if job.claim()]
        late = bool(jobs) and not claimed
        verdict = serving.build(event, row, mode=host.verdict_mode, fallback=host.fallback, late=late)
        host.counters["verdicts"] += 1
        host.counters["verdicts_late"] += late
        cycle.records.append(verdict)
        for job in claimed:
            cycle.told.append((job, verdict))
        host.unpublished[verdict.id] = verdict

    def _served(self, cycle: Cycle, lines: bytes, batch: Rows) -> Served:
        """Stamp the events of verdicts, which are made when they are written."""
        host, records = self._host, cycle.records
        ids, times = [verdict.id for verdict in records], [verdict.tau for verdict in records]
        _, taus, new = host.row_stamper.stamp_ids("tocsin", ids, times, host.stamper.tau)
        if not new.all():
            taus, records = taus[new], [one for one, fresh in zip(records, new.tolist(), strict=True) if fresh]
        types = {event.type for event in cycle.fresh}
        return Served(self._blocks, lines, int(batch.seqs[0]), np.concatenate((batch.taus, taus)), types, records)

    def _derive(self, cycle: Cycle) -> None:
        derived = [serving.as_event(verdict) for verdict in cycle.records]
        cycle.stamped = self._host.derive(derived + serving.signals(cycle.folded))


def _events(chunk: Chunk, batch: Rows, lines: bytes, fresh: np.ndarray) -> list[Event]:
    """Return the fresh rows of a chunk as stamped events, decoded at once and kept for who looks at single rows."""
    events = _LINES(lines)
    stamp, kept = msgspec.structs.force_setattr, chunk.kept
    rows = fresh.nonzero()[0].tolist()
    for event, row, seq, tau in zip(events, rows, batch.seqs.tolist(), batch.taus.tolist(), strict=True):
        stamp(event, "seq", seq)
        stamp(event, "tau", tau)
        kept[row] = event
    return events


def _waiting(
    jobs: Sequence[VerdictJob], seqs: list[int], before: int
) -> tuple[dict[int, list[VerdictJob]], list[VerdictJob]]:
    """Return who waits for which fresh event, by its place, and who asked for one accepted up to seq ``before``."""
    waiting: dict[int, list[VerdictJob]] = {}
    replayed: list[VerdictJob] = []
    for job, seq in zip(jobs, seqs, strict=True):
        if seq > before:
            waiting.setdefault(seq - before - 1, []).append(job)
        else:
            replayed.append(job)
    return waiting, replayed

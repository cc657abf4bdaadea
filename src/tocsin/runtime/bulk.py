"""The wide half of the host's cycle: a slice of rows is stamped, journaled as one block and folded as columns."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from tocsin.core.events import MINUTE
from tocsin.runtime import verdicts as serving
from tocsin.runtime.outbox import Parcel
from tocsin.runtime.tally import tally_of
from tocsin.runtime.verdicts import VERDICT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tocsin.core.events import Event
    from tocsin.core.signal import Verdict
    from tocsin.flow.fold import Folded
    from tocsin.flow.outputs import Scored
    from tocsin.flow.wide.lines import LineRows
    from tocsin.flow.wide.rows import Rows
    from tocsin.flow.wide.scan_chunk import Chunk
    from tocsin.runtime.embedded import EmbeddedHost
    from tocsin.runtime.tally import Tally
    from tocsin.runtime.widelane import Slice

FOR_EVER = 1 << 62
"""The receiving clock of the data's own clock: nothing is ahead of it."""


class WideRecords(Protocol):
    """How the journal writes what the wide lane brings (``ledger.blocks``)."""

    Block: Any
    Columns: Any


class Bulk:
    """Folds slices for one host; everything in the host's thread but ``_publish``, which the writer calls."""

    def __init__(self, host: EmbeddedHost, records: WideRecords) -> None:
        self._host = host
        self._records = records

    def cycle(self, one: Slice) -> None:
        """Stamp, journal and fold the rows of a slice, then let go of them."""
        host, chunk, rows = self._host, one.chunk, slice(one.start, one.stop)
        began = time.perf_counter()
        clock = FOR_EVER if host.data_clock else host.clock_now()
        seqs, taus, fresh = host.row_stamper.stamp_rows(chunk.identity[rows], chunk.times[rows], clock)
        chunk.seqs[rows], chunk.taus[rows] = seqs, taus
        count = int(fresh.sum())
        host.counters["accepted"] += count
        host.counters["duplicates"] += len(fresh) - count
        if not count:
            host.put(Parcel((), partial(one.close, fresh)))
            host.release(one)
            return
        batch = line_rows(chunk, one.start, one.stop)
        if count < len(fresh):
            batch = batch.pick(np.flatnonzero(fresh))
        lines = cast("LineRows", batch).lines()
        types = tuple(batch.names.types[code] for code in np.unique(batch.kinds).tolist())
        block = self._records.Block(int(batch.seqs[0]), batch.taus.copy(), lines, types)
        host.put(Parcel([block], partial(one.close, fresh), size=len(lines), rows=count))
        stamped = time.perf_counter()
        host.plane["stamp"].add(stamped - began, len(fresh))
        folded = host.fold.step_bulk(batch)
        host.plane["fold"].add(time.perf_counter() - stamped, count)
        self._derive(batch, folded)
        host.release(one)

    def _derive(self, batch: Rows, folded: Folded) -> None:
        """Write out verdicts and signals: a record for whom something was decided, columns for all others."""
        host, began = self._host, time.perf_counter()
        records = self.verdicts(batch, folded)
        host.counters["verdicts"] += len(records)
        derived = host.derive([serving.as_event(verdict) for verdict in records] + serving.signals(folded))
        wide = self.columns(batch, folded.scored)
        host.counters["verdicts"] += sum(len(one.seq) for one in wide)
        for verdict in records:
            host.unpublished[verdict.id] = verdict
        resolved = [batch.events[row] for row in np.flatnonzero(batch.of_type("verdict.resolved")).tolist()]
        last, tau = (derived[-1].seq if derived else int(batch.seqs[-1])), int(batch.taus[-1])
        publish = partial(
            self._publish, tally_of(batch), last, tau, folded, records, derived, resolved, allowed_of(wide)
        )
        host.put(Parcel([*([derived] if derived else ()), *wide], None, publish))
        host.plane["derive"].add(time.perf_counter() - began, batch.n)

    def remember(self, batch: Rows) -> None:
        """Remember the identities of rows of the journal, stamped as they were."""
        rows = cast("LineRows", batch)
        self._host.row_stamper.restore_rows(rows.of(rows.chunk.identity), rows.seqs, rows.taus)

    def note(self, batch: Rows, folded: Folded, wide: Sequence[Any]) -> None:
        """Let the views count a batch of a replay."""
        self._host.views.note_tally(tally_of(batch), folded, (), allowed_of(wide))

    def verdicts(self, batch: Rows, folded: Folded) -> list[Verdict]:
        """Return the verdicts on rows that something was decided about."""
        host, found = self._host, []
        for row in folded.rows:
            event = batch.events[row.index]
            if event.type in VERDICT_TYPES:
                found.append(serving.build(event, row, mode=host.verdict_mode, fallback=host.fallback))
        return found

    def columns(self, batch: Rows, scored: Sequence[Scored]) -> list[Any]:
        """Return the verdicts on rows that were scored and allowed, as columns of the journal."""
        wanted = batch.of_type(*VERDICT_TYPES)
        found = []
        for one in scored:
            kept = np.flatnonzero(wanted[one.index])
            if len(kept):
                index = one.index[kept]
                found.append(
                    self._records.Columns(
                        seq=batch.seqs[index],
                        tau=batch.taus[index],
                        score=one.scores[kept],
                        decision=np.zeros(len(kept), np.uint8),
                        features=np.ascontiguousarray(one.features[kept]),
                        names=one.names,
                        desk=one.desk,
                        model=one.model,
                        until=int(batch.seqs[-1]),
                    )
                )
        return found

    def _publish(
        self,
        tally: Tally,
        last: int,
        tau: int,
        folded: Folded,
        records: list[Verdict],
        derived: list[Event],
        resolved: list[Event],
        allowed: list[tuple[int, int]],
    ) -> None:
        self._host.views.note_tally(tally, folded, records, allowed)
        self._host.publisher.pass_on(last, tau, folded, records, derived, resolved)


def allowed_of(wide: Iterable[Any]) -> list[tuple[int, int]]:
    """Return (minute of tau, rows) of the columns."""
    found: list[tuple[int, int]] = []
    for one in wide:
        minutes, counts = np.unique(one.tau // MINUTE, return_counts=True)
        found.extend(zip(minutes.tolist(), counts.tolist(), strict=True))
    return found


def line_rows(chunk: Chunk, start: int, stop: int) -> Rows:
    """Return rows of a chunk as a batch."""
    from tocsin.flow.wide.lines import LineRows

    return cast("Rows", LineRows(chunk, start, stop))

"""Recovery: after a stop of any kind the journal is folded again and what is missing behind it is written.

With a snapshot only what came after it is folded. Verdicts served, actions and approvals are read from the journal,
never decided again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tocsin.core.signal import Decision, Signal, Verdict
from tocsin.runtime import verdicts as serving
from tocsin.runtime.bulk import allowed_of
from tocsin.runtime.single import DERIVED
from tocsin.runtime.verdicts import VERDICT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tocsin.core.events import Event
    from tocsin.flow.wide.rows import Rows
    from tocsin.runtime.embedded import EmbeddedHost


BATCH = 1024
RESOLVED = "verdict.resolved"


class Replayed(msgspec.Struct):
    """What a replay found: events read, derived ones that had been lost and were written again.

    ``after`` is the seq of the snapshot that it began with, 0 without one; ``load_s`` is what the snapshot took,
    ``seconds`` what the rest took.
    """

    events: int = 0
    rederived: int = 0
    after: int = 0
    load_s: float = 0.0
    seconds: float = 0.0


class _Replay:
    """One pass over the journal: what the fold derives is paired with what the journal holds of it."""

    def __init__(self, host: EmbeddedHost, signals_after: int, judged_until: int) -> None:
        self._host = host
        self._signals_after = signals_after
        self._verdicts_after = host.follower.cursor
        self._judged_until = judged_until
        self._pending: list[Event] = []
        self._of_blocks: set[int] = set()
        """Seqs of pending events that came through the wide lane: what was allowed of them stands in columns."""
        self._found: set[str] = set()
        """Derived ids that the journal holds and whose cause has not been folded again yet."""
        self.missing: dict[str, Event] = {}
        """Derived events whose cause has been folded and which the journal has not shown yet, in their order."""
        self.columns: list[Any] = []
        """Verdicts as columns that the journal lacks."""
        self.signals: list[tuple[int, Signal]] = []

    def read(self, event: Event) -> None:
        """Take one event of the journal."""
        self._host.stamper.restore(event)
        if event.type in DERIVED:
            self.take_derived(event)
            return
        if event.type == "tocsin.mode":
            self._host.apply_mode(event.data)
        if event.type == RESOLVED and event.seq > self._verdicts_after:
            self._host.follower.note(event.seq, [], [event])
        self._pending.append(event)
        if len(self._pending) >= BATCH:
            self.fold()

    def catch_up(self, event: Event) -> None:
        """Take an event that the snapshot has folded: records and responder may not have heard of it yet."""
        if event.type in ("tocsin.verdict", "tocsin.signal"):
            self._deliver(event)
        elif event.type == RESOLVED and event.seq > self._verdicts_after:
            self._host.follower.note(event.seq, [], [event])

    def fold(self) -> None:
        """Fold what waits."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        folded = self._host.fold.step(pending)
        rows = {row.index: row for row in folded.rows}
        derived: list[Event] = []
        for index, event in enumerate(pending):
            row = rows.get(index)
            if row is None or event.type not in VERDICT_TYPES:
                continue
            if row.shadow is not Decision.ALLOW or event.seq not in self._of_blocks:
                mode, fallback = self._host.verdict_mode, self._host.fallback
                derived.append(serving.as_event(serving.build(event, row, mode=mode, fallback=fallback)))
        derived.extend(serving.signals(folded))
        self._pair(derived)
        self._host.views.note(pending, folded)

    def block(self, block: Any) -> None:
        """Take a block of the wide lane where the plane is not compiled."""
        # What waits belongs to another block. Whom the columns do not reach had no verdict yet when the process died.
        self.fold()
        self._of_blocks = set(range(block.first_seq, min(block.last_seq, self._judged_until) + 1))
        for event in block.events():
            self.read(event)

    def rows(self, batch: Rows) -> None:
        """Take rows of a block of the wide lane."""
        self.fold()
        bulk = self._host.bulk
        bulk.remember(batch)
        folded = self._host.fold.step_bulk(batch)
        derived = [serving.as_event(verdict) for verdict in bulk.verdicts(batch, folded)]
        self._pair([*derived, *serving.signals(folded)])
        columns = bulk.columns(batch, folded.scored)
        self.columns.extend(one for one in columns if one.until > self._judged_until)
        for row in np.flatnonzero(batch.of_type(RESOLVED)).tolist():
            if batch.events[row].seq > self._verdicts_after:
                self._host.follower.note(batch.events[row].seq, [], [batch.events[row]])
        bulk.note(batch, folded, columns)

    def _pair(self, derived: Sequence[Event]) -> None:
        for event in derived:
            if event.id in self._found:
                self._found.discard(event.id)
            else:
                self.missing[event.id] = event

    def take_derived(self, event: Event) -> None:
        """Take up a journaled verdict or signal: views, records and responder get what they lack."""
        if event.type not in ("tocsin.verdict", "tocsin.signal"):
            self._host.views.note([event])
            return
        if event.type == "tocsin.verdict":
            self._host.views.note_verdicts([msgspec.convert(event.data, Verdict)])
        self._deliver(event)
        id = event.id.removesuffix(".late")
        if self.missing.pop(id, None) is None:
            self._found.add(id)

    def _deliver(self, event: Event) -> None:
        if event.type == "tocsin.verdict" and event.seq > self._verdicts_after:
            self._host.follower.note(event.seq, [msgspec.convert(event.data, Verdict)], [])
        elif event.type == "tocsin.signal" and event.seq > self._signals_after:
            self.signals.append((event.seq, msgspec.convert(event.data, Signal)))


def replay(
    host: EmbeddedHost, *, signals_after: int, after: int = 0, progress: Callable[[int], None] | None = None
) -> Replayed:
    """Fold the journal again from ``after`` on, then write what a crash had cut off; call it before ``host.start``.

    Signals with a journal seq above ``signals_after`` (the responder's cursor) are handed on to the responder.
    Retryable where the disk takes nothing.
    """
    began = time.perf_counter()
    report = Replayed(after=after)
    passing = _Replay(host, signals_after, host.journal.judged())
    told = 0
    parts = host.journal.read_blocks(min(after, signals_after, host.follower.cursor))
    for part, rows in host.ahead(parts, after) if host.fold.engine.wide else ((part, None) for part in parts):
        if rows is not None:
            report.events += rows.n
            passing.rows(rows)
        elif isinstance(part, list):
            for event in part:
                if event.seq > after:
                    report.events += 1
                    passing.read(event)
                else:
                    passing.catch_up(event)
        elif part.last_seq > after:
            report.events += part.count
            passing.block(part.after(after))
        elif RESOLVED in part.types:
            for event in part.events():
                passing.catch_up(event)
        if progress is not None and report.events - told >= 10_000:
            told = report.events
            progress(told)
    passing.fold()
    if not host.fold.engine.wide:
        host.views.note_allowed(allowed_of(host.journal.read_columns(after)))
    stamped = host.derive([event for event in passing.missing.values() if not host.stamper.seen(event.identity)])
    if stamped or passing.columns:
        host.journal.extend([*([stamped] if stamped else ()), *passing.columns])
        host.journal.commit()
    report.rederived = len(stamped) + sum(len(one.seq) for one in passing.columns)
    for event in stamped:
        passing.take_derived(event)
    host.hand_on(passing.signals)
    report.seconds = time.perf_counter() - began
    return report

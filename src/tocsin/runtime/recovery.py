"""Recovery: after a stop of any kind the journal is folded again and what is missing behind it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.core.signal import Signal, Verdict
from tocsin.runtime import verdicts as serving
from tocsin.runtime.embedded import DERIVED, EmbeddedHost
from tocsin.runtime.verdicts import VERDICT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.core.events import Event


BATCH = 1024


class Replayed(msgspec.Struct):
    """What a replay found: events read, derived ones that had been lost and were written again."""

    events: int = 0
    rederived: int = 0


class _Replay:
    """One pass over the journal: what the fold derives is paired with what the journal holds of it."""

    def __init__(self, host: EmbeddedHost, signals_after: int) -> None:
        self._host = host
        self._signals_after = signals_after
        self._verdicts_after = host.follower.cursor
        self._pending: list[Event] = []
        self._found: set[str] = set()
        """Derived ids that the journal holds and whose cause has not been folded again yet."""
        self.missing: dict[str, Event] = {}
        """Derived events whose cause has been folded and which the journal has not shown yet, in their order."""
        self.signals: list[tuple[int, Signal]] = []

    def read(self, event: Event) -> None:
        """Take one event of the journal."""
        self._host.stamper.restore(event)
        if event.type in DERIVED:
            self.take_derived(event)
            return
        if event.type == "tocsin.mode":
            self._host.apply_mode(event.data)
        if event.type == "verdict.resolved" and event.seq > self._verdicts_after:
            self._host.follower.note(event.seq, [], [event])
        self._pending.append(event)
        if len(self._pending) >= BATCH:
            self.fold()

    def fold(self) -> None:
        """Fold what waits."""
        pending, self._pending = self._pending, []
        folded = self._host.fold.step(pending)
        rows = {row.index: row for row in folded.rows}
        derived: list[Event] = []
        for index, event in enumerate(pending):
            if index in rows and event.type in VERDICT_TYPES:
                mode, fallback = self._host.verdict_mode, self._host.fallback
                derived.append(serving.as_event(serving.build(event, rows[index], mode=mode, fallback=fallback)))
        derived.extend(serving.signals(folded))
        for event in derived:
            if event.id in self._found:
                self._found.discard(event.id)
            else:
                self.missing[event.id] = event
        self._host.views.note(pending, folded)

    def take_derived(self, event: Event) -> None:
        """Take up a journaled verdict or signal: views, records and responder get what they lack."""
        if event.type == "tocsin.verdict":
            verdict = msgspec.convert(event.data, Verdict)
            self._host.views.note_verdicts([verdict])
            if event.seq > self._verdicts_after:
                self._host.follower.note(event.seq, [verdict], [])
        elif event.type == "tocsin.signal":
            if event.seq > self._signals_after:
                self.signals.append((event.seq, msgspec.convert(event.data, Signal)))
        else:
            return
        id = event.id.removesuffix(".late")
        if self.missing.pop(id, None) is None:
            self._found.add(id)


def replay(host: EmbeddedHost, *, signals_after: int, progress: Callable[[int], None] | None = None) -> Replayed:
    """Fold the whole journal again, then write what a crash had cut off; call it before ``host.start``.

    Verdicts served, actions and approvals are read from the journal, never decided again. Signals with a journal seq
    above ``signals_after`` (the responder's cursor) are handed on to the responder. Retryable where the disk takes
    nothing.
    """
    report = Replayed()
    passing = _Replay(host, signals_after)
    for event in host.journal.read(0):
        report.events += 1
        passing.read(event)
        if progress is not None and report.events % 10_000 == 0:
            progress(report.events)
    passing.fold()
    stamped = host.derive([event for event in passing.missing.values() if not host.stamper.seen(event.identity)])
    if stamped:
        host.journal.append(stamped)
        host.journal.commit()
    report.rederived = len(stamped)
    for event in stamped:
        passing.take_derived(event)
    host.hand_on(passing.signals)
    return report

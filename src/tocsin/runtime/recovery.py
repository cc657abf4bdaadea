"""Recovery: after a stop of any kind the journal is folded again and what is missing behind it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.core.signal import Signal, Verdict
from tocsin.runtime import verdicts as serving
from tocsin.runtime.embedded import DERIVED, EmbeddedHost, signal_event
from tocsin.runtime.verdicts import VERDICT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.core.events import Event


class Replayed(msgspec.Struct):
    """What a replay found: events read, derived ones that had been lost and were written again."""

    events: int = 0
    rederived: int = 0


def replay(host: EmbeddedHost, *, signals_after: int, progress: Callable[[int], None] | None = None) -> Replayed:
    """Fold the whole journal again, then write what a crash had cut off; call it before ``host.start``.

    Retryable where the disk takes nothing.

    Verdicts served, actions and approvals are read from the journal, never decided again. Signals with a journal seq
    above ``signals_after`` (the responder's cursor) are handed on to the responder.
    """
    report = Replayed()
    missing: dict[str, tuple[Event, Verdict | None]] = {}
    written_verdicts = host.follower.cursor
    pending: list[Event] = []
    late_signals: list[tuple[int, Signal]] = []

    def fold_pending() -> None:
        folded = host.fold.step(pending)
        rows = {row.index: row for row in folded.rows}
        records: list[Verdict] = []
        for index, event in enumerate(pending):
            if index in rows and event.type in VERDICT_TYPES:
                verdict = serving.build(event, rows[index], mode=host.verdict_mode, fallback=host.fallback)
                missing[verdict.id] = (serving.as_event(verdict), verdict)
        for signal in folded.signals:
            missing[signal.id] = (signal_event(signal), None)
        host.views.note(pending, folded, records)
        pending.clear()

    for event in host.journal.read(0):
        report.events += 1
        host.stamper.restore(event)
        if event.type not in DERIVED:
            if event.type == "tocsin.mode":
                host.apply_mode(event.data)
            if event.type == "verdict.resolved" and event.seq > written_verdicts:
                host.follower.note(event.seq, [], [event])
            pending.append(event)
            if len(pending) >= 1024:
                fold_pending()
            continue
        # Derived events stand behind their cause: what was folded so far includes it.
        if pending:
            fold_pending()
        _take_derived(host, event, missing, written_verdicts, late_signals, signals_after)
        if progress is not None and report.events % 10_000 == 0:
            progress(report.events)
    if pending:
        fold_pending()
    lost = [event for event, _ in missing.values() if not host.stamper.seen(event.identity)]
    stamped = host.derive(lost)
    if stamped:
        host.journal.append(stamped)
        host.journal.commit()
    report.rederived = len(stamped)
    for event in stamped:
        _take_derived(host, event, missing, written_verdicts, late_signals, signals_after)
    host.hand_on(late_signals)
    return report


def _take_derived(
    host: EmbeddedHost,
    event: Event,
    missing: dict[str, tuple[Event, Verdict | None]],
    written_verdicts: int,
    late_signals: list[tuple[int, Signal]],
    signals_after: int,
) -> None:
    """Take up one journaled signal or verdict: it is not missing, and the views and records get what they lack."""
    missing.pop(event.id.removesuffix(".late"), None)
    if event.type == "tocsin.verdict":
        verdict = msgspec.convert(event.data, Verdict)
        host.views.note_verdicts([verdict])
        if event.seq > written_verdicts:
            host.follower.note(event.seq, [verdict], [])
    elif event.type == "tocsin.signal" and event.seq > signals_after:
        late_signals.append((event.seq, msgspec.convert(event.data, Signal)))

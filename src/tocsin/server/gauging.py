"""Gauging: reads the running data plane. Nothing waits for it: the fold goes on while it looks.

What changes while it is read may be seen half changed, a count ahead of another; nothing is wrong by an order.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tocsin.core.events import ID_MEMORY, SECOND
from tocsin.core.signal import Text
from tocsin.ledger.journal import SegmentJournal
from tocsin.server import measured as m
from tocsin.server.advice import advise
from tocsin.server.recent import Mark, length, stage_of
from tocsin.sources.lines import WideDoor
from tocsin.telemetry import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.app import Tocsin

T = TypeVar("T")
RECENT_S = 60.0
NEXT_S = 1.0
MOST_RULES = 50
"""Rules that ``/v1/plane`` lists."""
STEADY = 20
_STATM = Path("/proc/self/statm")


class Gauge:
    """Looks at one house. For any thread; a look takes about a millisecond.

    The recent time begins at the first look, and is then what lies between this look and the oldest one of the last
    ``RECENT_S`` seconds.

    Parameters
    ----------
    refused
        Gives the events refused at the doors, by code.
    now
        A monotonic clock in seconds.
    """

    def __init__(
        self, tocsin: Tocsin, refused: Callable[[], dict[str, int]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._tocsin = tocsin
        self._refused = refused
        self._now = now
        self._lock = threading.Lock()
        self._began = now()
        self._marks: deque[Mark] = deque([self._mark()])

    def look(self, most_rules: int = MOST_RULES) -> m.PlaneView:
        """Return the plane as it is now, with advice."""
        mark, since = self._since()
        tocsin = self._tocsin
        stages = tuple(
            stage_of(tocsin.plane[name], mark, since, Text(english, chinese))
            for name, (english, chinese) in STAGES.items()
        )
        windows = tocsin.fold.windows
        wide = tocsin.fold.engine.wide
        view = m.PlaneView(
            now=tocsin.clock.now(),
            over_s=mark.at - since.at,
            uptime_s=mark.at - self._began,
            compiled=wide,
            advice=(),
            stages=stages,
            queue=self._queue(mark, since),
            flow=self._flow(mark, since),
            scanner=self._scanner(mark, since),
            ids=self._ids() if wide else None,
            windows=steady(self._windows) if wide else None,
            deadlines_pending=tocsin.fold.deadlines.pending,
            memory=self._memory(windows if wide else None),
            rules=self._rules(most_rules),
            journal=self._journal(),
            snapshots=self._snapshots(),
            history=self._history(),
            faults={**tocsin.host.faults, **tocsin.responder.faults, **self._book_fault()},
        )
        return msgspec.structs.replace(view, advice=tuple(advise(view)))

    def fold_counters(self) -> dict[str, int]:
        """Return the counts of the fold by name."""
        return steady(lambda: self._tocsin.fold.counters)

    # Recent time ------------------------------------------------------------------------------------------------

    def _mark(self) -> Mark:
        host = self._tocsin.host
        door = self._door()
        return Mark(
            at=self._now(),
            stages={
                name: (one.runs, one.rows, one.seconds, tuple(one.bins))
                for name, one in self._tocsin.plane.stages.items()
            },
            accepted=host.counters["accepted"],
            verdicts=host.counters["verdicts"],
            verdicts_late=host.counters["verdicts_late"],
            shed=host.shed,
            unwritten_bytes=host.unwritten_bytes,
            lines=door.lines if door is not None else 0,
            slow=door.slow if door is not None else 0,
        )

    def _since(self) -> tuple[Mark, Mark]:
        """Return this moment and the one that the recent time began with."""
        with self._lock:
            mark, marks = self._mark(), self._marks
            while len(marks) > 1 and marks[0].at < mark.at - RECENT_S:
                marks.popleft()
            since = marks[0]
            if mark.at - marks[-1].at >= NEXT_S:
                marks.append(mark)
                # What lies longer back than anybody looked is not recent.
                if mark.at - since.at > RECENT_S:
                    marks.popleft()
            return mark, since

    # Parts ------------------------------------------------------------------------------------------------------

    def _door(self) -> WideDoor | None:
        lane = self._tocsin.host.wide
        return lane.door if lane is not None and isinstance(lane.door, WideDoor) else None

    def _queue(self, mark: Mark, since: Mark) -> m.QueueView:
        host = self._tocsin.host
        oldest = host.oldest
        return m.QueueView(
            events=host.queued_events,
            rows=host.wide.waiting if host.wide is not None else None,
            most=self._tocsin.settings.queue_events,
            waited_s=max(0.0, time.monotonic() - oldest) if oldest is not None else 0.0,
            unwritten_events=host.unwritten_events,
            unwritten_bytes=mark.unwritten_bytes,
            grown_bytes=mark.unwritten_bytes - since.unwritten_bytes,
            shed=mark.shed,
            shed_recent=mark.shed - since.shed,
        )

    def _flow(self, mark: Mark, since: Mark) -> m.FlowView:
        tocsin = self._tocsin
        counters, tau = tocsin.host.counters, int(tocsin.fold.windows.tau)
        # Those of the bulk lane have nobody who waits.
        asked = mark.stages["verdict"][0] - since.stages["verdict"][0]
        return m.FlowView(
            seq=tocsin.host.stamper.seq,
            tau=tau,
            lag_s=max(0, tocsin.clock.now() - tau) / SECOND if tau else 0.0,
            accepted=mark.accepted,
            accepted_per_s=(mark.accepted - since.accepted) / length(mark, since),
            duplicates=counters["duplicates"],
            refused=self._refused(),
            late=int(tocsin.fold.tracks.counters["late"]),
            verdicts=mark.verdicts,
            verdicts_late=mark.verdicts_late,
            verdicts_late_share=min(1.0, (mark.verdicts_late - since.verdicts_late) / asked) if asked else 0.0,
            verdicts_degraded=counters["verdicts_degraded"],
            deadline_ms=tocsin.settings.verdict_deadline_ms,
        )

    def _scanner(self, mark: Mark, since: Mark) -> m.ScannerView | None:
        door = self._door()
        if door is None:
            return None
        lines = mark.lines - since.lines
        return m.ScannerView(
            lines=mark.lines,
            slow=mark.slow,
            share=(mark.slow - since.slow) / lines if lines else 0.0,
            lines_recent=lines,
            causes=tuple(m.CauseView(cause=cause, lines=n) for cause, n in steady(door.causes.most_common)),
        )

    def _ids(self) -> m.IdsView:
        memory = self._tocsin.host.row_stamper.memory
        return m.IdsView(
            count=len(memory),
            capacity=memory.capacity,
            span_s=memory.span() / SECOND,
            declared_s=ID_MEMORY / SECOND,
            forgotten_early=memory.forgotten_early,
        )

    def _windows(self) -> m.WindowsView:
        host, windows = self._tocsin.host, self._tocsin.fold.windows
        # Of several planes the one that reaches back the smallest part of what it should.
        reaches = [(plane.span(), plane.plan.reach) for plane, _ in windows.planes if plane.plan.reach]
        span, declared = min(reaches, key=lambda one: (one[0] / one[1], -one[1]), default=(0, 0))
        sizes = windows.sizes()
        warming = host.warming.progress if host.warming is not None else (0, 0)
        return m.WindowsView(
            keys={name.removeprefix("keys:"): size for name, size in sorted(sizes.items()) if name != "log"},
            log_events=sizes.get("log", 0),
            log_capacity=windows.log_events,
            span_s=span / SECOND,
            declared_s=declared / SECOND,
            log_full=sum(plane.forced for plane, _ in windows.planes),
            cold=tuple(window.name for window in host.cold_windows()),
            warming_seq=warming[0],
            warming_until=warming[1],
        )

    def _memory(self, windows: object | None) -> tuple[m.PartView, ...]:
        tocsin = self._tocsin
        parts: dict[str, int] = {}
        if windows is not None:
            parts = {f"windows.{part}": size for part, size in steady(tocsin.fold.windows.bytes).items()}
            parts["series"] = steady(tocsin.fold.tracks.bytes)
            parts["deadlines"] = tocsin.fold.deadlines.bytes()
            parts["ids"] = tocsin.host.row_stamper.memory.bytes()
        if _STATM.exists():
            parts["process"] = int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return tuple(m.PartView(part=part, bytes=size) for part, size in parts.items())

    def _rules(self, most: int) -> m.RulesView:
        stats = steady(self._tocsin.fold.rules.stats)
        seconds = sum(one.seconds for one in stats)
        dearest = sorted(stats, key=lambda one: (-one.seconds, one.id))[:most]
        folding = self._tocsin.plane["fold"].seconds
        return m.RulesView(
            count=len(stats),
            seconds=seconds,
            fold_share=seconds / folding if folding else 0.0,
            items=tuple(
                m.RuleCost(
                    id=one.id,
                    desk=one.desk,
                    mode=one.mode,
                    hits=one.hits,
                    errors=dict(one.errors),
                    seconds=one.seconds,
                    share=one.seconds / seconds if seconds else 0.0,
                )
                for one in dearest
            ),
        )

    def _journal(self) -> m.JournalView:
        tocsin = self._tocsin
        journal, host, retention = tocsin.journal, tocsin.host, tocsin.retention
        on_disk = isinstance(journal, SegmentJournal)
        return m.JournalView(
            last_seq=journal.last()[0],
            first_seq=journal.first() if isinstance(journal, SegmentJournal) else 1,
            bytes=journal.bytes() if isinstance(journal, SegmentJournal) else 0,
            most_bytes=tocsin.settings.journal_bytes,
            segments=len(journal.closed()) + 1 if isinstance(journal, SegmentJournal) else None,
            overdue_bytes=retention.overdue if retention is not None else 0,
            refusals=host.counters["journal_refusals"],
            refusing=host.refusing,
            free_bytes=shutil.disk_usage(tocsin.settings.folder).free if on_disk else None,
        )

    def _snapshots(self) -> m.SnapshotsView | None:
        taker, store = self._tocsin.host.snapshots, self._tocsin.snapshots
        if taker is None or store is None:
            return None
        found = store.latest()
        seq, written = found if found is not None else (0, 0.0)
        return m.SnapshotsView(
            seq=seq,
            age_s=max(0.0, time.time() - written) if found is not None else None,
            every_s=60.0 * self._tocsin.settings.snapshot_minutes,
            bytes=taker.bytes,
            pause_ms=1e3 * taker.pause_s,
            taken=taker.taken,
            failed=taker.failed,
            behind=max(0, self._tocsin.host.stamper.seq - seq),
        )

    def _book_fault(self) -> dict[str, str]:
        failing = self._tocsin.vault.book.failing
        return {"identities": failing} if failing else {}

    def _history(self) -> m.HistoryView | None:
        journal, retention = self._tocsin.journal, self._tocsin.retention
        if retention is None or not isinstance(journal, SegmentJournal):
            return None
        entries = self._tocsin.history.entries()
        through = entries[-1].last if entries else 0
        return m.HistoryView(
            through=through,
            segments=len(entries),
            files=sum(len(entry.files) for entry in entries),
            rows=sum(file.rows for entry in entries for file in entry.files),
            behind=sum(one.last > through for one in journal.closed()),
            fault=retention.fault,
        )


def steady(read: Callable[[], T]) -> T:
    """Return what a reader of another thread's dictionaries finds, read again where they grew meanwhile."""
    for _ in range(STEADY):
        try:
            return read()
        except (RuntimeError, KeyError):
            continue
    return read()

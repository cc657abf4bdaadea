"""Series on columns: the buckets, order and counters of ``tocsin.flow.series``, entered a run of rows at a time.

Between two wake-ups rows enter as columns; ``first_due_row`` says where the next wake-up is. What a quiet stretch
closes is closed by one kernel call a series (``close_through``), and becomes objects as somebody looks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tocsin.core.events import SECOND
from tocsin.flow.hashing import Hasher
from tocsin.flow.wide.places import salted
from tocsin.flow.wide.series_closed import Closed
from tocsin.flow.wide.series_entries import entries_of
from tocsin.flow.wide.series_state import restored, saved
from tocsin.flow.wide.series_track import WideTrack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.core.desk import Bucket, Series
    from tocsin.flow.wide.rows import Rows
    from tocsin.flow.wide.series_closed import Planned, Segment
    from tocsin.flow.wide.series_entries import Entries

QUIET = 30 * SECOND
"""A stretch so long closes in one go: half the time of instant by instant, of which few need less."""
STRETCH = 16_384
"""Buckets that one kernel call closes at most, so that a stretch of months needs no more memory than one of days."""


class WideTracks:
    """All series of a fold; equal declarations of several desks are one. The twin of ``series.Tracks``."""

    def __init__(self, currency: str, hasher: Hasher | None = None) -> None:
        self.currency = currency
        self.hasher = hasher or Hasher()
        self.tracks: dict[Series, WideTrack] = {}
        self.by_type: dict[str, list[WideTrack]] = {}
        self.counters: Counter[str] = Counter()
        self._rows: Rows | None = None
        self._entries: list[tuple[WideTrack, Entries]] = []
        self._due: int | None = None
        self._stale = False

    def declare(self, series: tuple[Series, ...]) -> None:
        """Add the series of a desk."""
        for one in series:
            if one in self.tracks:
                continue
            track = self.tracks[one] = WideTrack(one, self.currency, self.hasher)
            for kind in dict.fromkeys(one.of):
                self.by_type.setdefault(kind, []).append(track)
        self._rows = None

    def due(self) -> int | None:
        """Return when the next bucket closes, None while there is no line."""
        if self._stale:
            self._due = min((track.due for track in self.tracks.values() if track.count), default=None)
            self._stale = False
        return self._due

    def first_due_row(self, rows: Rows, start: int) -> int:
        """Return the first row from ``start`` on that a wake-up may precede, ``rows.n`` where there is none.

        It may name a row too early, never one too late: entering a row can begin a series and so an earlier wake-up.
        The rows before it may be entered at once; ``start`` itself comes back only if ``due()`` is not after it.
        """
        if not self.tracks:
            return rows.n
        earliest = self.due()
        for track, entries in self._prepared(rows):
            if track.count:
                continue
            at = int(np.searchsorted(entries.rows, start))
            if at < len(entries.rows):
                first = track.first_due(int(entries.taus[at]))
                earliest = first if earliest is None else min(earliest, first)
        if earliest is None or rows.taus.item(-1) < earliest:
            return rows.n
        return max(start, int(np.searchsorted(rows.taus, earliest)))

    def enter(self, rows: Rows, row: int) -> None:
        """Count one row of a batch in the series of its type."""
        self.enter_rows(rows, row, row + 1)

    def enter_rows(self, rows: Rows, start: int, stop: int) -> None:
        """Count the rows [start, stop), none of which a wake-up precedes except perhaps the first."""
        if not self.tracks:
            return
        for track, entries in self._prepared(rows):
            before = track.count
            track.enter(rows, entries, start, stop, self.counters)
            self._stale = self._stale or not before

    def _prepared(self, rows: Rows) -> list[tuple[WideTrack, Entries]]:
        """Return the series that something of the batch enters, and what; worked out once a batch."""
        if self._rows is not rows:
            touched = {id(track) for code in rows.codes for track in self.by_type.get(rows.names.types[code], ())}
            self._entries = [
                (track, entries)
                for track in (self.tracks.values() if touched else ())
                if id(track) in touched and (entries := entries_of(track, rows, self.counters)) is not None
            ]
            self._rows = rows
        return self._entries

    def close(self, due: int, planned: Planned) -> list[Bucket]:
        """Close what is due at this instant, series in the order of their declaration."""
        self._stale = True
        return [
            bucket
            for track in self.tracks.values()
            if track.count and track.due == due
            for bucket in track.close(due, 1).buckets(planned)
        ]

    def close_through(self, until: int, planned: Planned) -> Closed:
        """Close everything due at or before ``until``, as ``close`` would instant by instant.

        For stretches without events: about 60 ns a bucket. The result is lazy; look at it before the next row enters
        and before a campaign changes.
        """
        self._stale = True
        segments: list[tuple[int, Segment]] = []
        for place, track in enumerate(self.tracks.values()):
            while track.count and track.due <= until:
                segments.append((place, track.close(until, STRETCH)))
        return Closed(segments, planned)

    def closing(self, until: int, planned: Planned) -> Iterator[tuple[int, list[Bucket]]]:
        """Close everything due at or before ``until``; yield (due, what closed then), instant by instant.

        To be gone through to its end before the next row enters.
        """
        due = self.due()
        if due is not None and due <= until - QUIET:
            yield from self.close_through(until, planned).by_due()
        while (due := self.due()) is not None and due <= until:
            yield due, self.close(due, planned)

    def canonical(self) -> list[Any]:
        """Return all state in one form, the same as that of the plain series."""
        return [track.canonical() for track in self.tracks.values()]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return everything as (what JSON can hold, arrays)."""
        meta: dict[str, Any] = {"counters": dict(self.counters), "series": []}
        arrays: dict[str, np.ndarray] = {}
        for place, track in enumerate(self.tracks.values()):
            one, own = saved(track)
            meta["series"].append(one)
            arrays |= {f"{place}.{name}": array for name, array in own.items()}
        return meta, arrays

    def restore(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Become what ``state`` returned; a series that it does not know stays empty, one not declared is left out."""
        self.counters = Counter(meta["counters"])
        known = {repr(series): track for series, track in self.tracks.items()}
        for place, one in enumerate(meta["series"]):
            track, prefix = known.get(one["series"]), f"{place}."
            if track is not None:
                own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
                restored(track, one, own)
        self._rows, self._stale = None, True

    def bytes(self) -> int:
        """Return the memory of all arrays."""
        return sum(track.bytes() for track in self.tracks.values())


def warm() -> None:
    """Call every kernel once with the dtypes of real use."""
    from tocsin.core.desk import Measure, Series
    from tocsin.core.events import Event
    from tocsin.flow.names import Names
    from tocsin.flow.wide.rows import Rows

    tracks = WideTracks("CNY")
    tracks.declare((Series(name="warm", measure=Measure.COUNT, of=("warm",), bucket_s=1, keep=1),))
    event = Event(id="1", source="warm", type="warm", time=10**15, tau=10**15, seq=1)
    tracks.enter_rows(Rows([event], Names(), tracks.hasher), 0, 1)
    tracks.restore(*tracks.state())
    tracks.close_through(10**15 + 10**7, lambda shop, time: (1.0, None))
    salted(np.ones(1, np.uint64), np.ones(1, np.uint64))

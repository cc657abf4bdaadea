"""Series: KPIs in buckets of event time, closed by tau, revised by late events. Meaning: ``core.desk.Series``.

All lines of one series (shop, currency, key) close the same bucket at the same instant, its end plus the grace.
A line begins with the bucket of its first event; an event whose bucket is closed already revises it as long as the
history holds it, and is counted as ``revised``, else as ``late``.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from tocsin.core.desk import Bucket, Measure, Series
from tocsin.core.events import LATE_LIMIT, Kind
from tocsin.errors import Misconfigured
from tocsin.flow.distinct import BOTTOM, CROWD, HASH_SPAN, value_of
from tocsin.flow.fields import field_of, fixed_point, scale_of
from tocsin.flow.filters import filter_of, passes
from tocsin.flow.hashing import Hasher
from tocsin.flow.lines import Line, Tally
from tocsin.flow.quantiles import Quantiles
from tocsin.flow.view import HOUR_S, MICROS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin.core.campaign import Campaign
    from tocsin.core.events import Event
    from tocsin.flow.batch import PlainBatch

Scope = tuple[str, str, str]
"""Shop, currency (money only) and key of a line."""


def distinct_value(marks: set[int], bucket_s: int) -> float:
    """Return how many values a bucket holds: exact up to 1 h or 256 values, else the estimate of the 256 smallest."""
    if bucket_s <= HOUR_S or len(marks) <= BOTTOM:
        return float(len(marks))
    return (BOTTOM - 1) * HASH_SPAN / sorted(marks)[BOTTOM - 1]


def kept_of(values: Quantiles | set[int] | None, bucket_s: int) -> list[Any]:
    """Return what of a bucket's values can still matter, in one form."""
    if isinstance(values, Quantiles):
        return list(values.canonical())
    marks = sorted(values or ())
    return marks if bucket_s <= HOUR_S else marks[: BOTTOM + 1]


class Track:
    """All lines of one series."""

    def __init__(self, series: Series, currency: str, hasher: Hasher) -> None:
        self.series = series
        self.hasher = hasher
        self.default = currency
        self.width = series.bucket_s * MICROS
        self.grace = series.grace_s * MICROS
        if series.bucket_s <= 0 or series.grace_s < 0 or series.keep < 1 or not series.of:
            raise Misconfigured(f"series {series.name}: bucket_s and keep must be positive, 'of' not empty")
        needs = series.measure in (Measure.SUM, Measure.MEAN, Measure.QUANTILE, Measure.DISTINCT)
        if needs != bool(series.field):
            raise Misconfigured(f"series {series.name}: {series.measure} {'needs a' if needs else 'takes no'} field")
        if (series.measure is Measure.RATIO) != bool(series.hit):
            raise Misconfigured(f"series {series.name}: 'hit' belongs to a ratio, and a ratio needs it")
        for text in (series.where, series.hit):
            if text:
                filter_of(text, series.of)
        numeric = needs and series.measure is not Measure.DISTINCT
        field = field_of(series.of, series.field) if numeric else None
        self.money = field is not None and field.kind is Kind.MONEY
        self.scale = scale_of(field)
        self.unit = float(10**self.scale)
        self.lines: dict[Scope, Line] = {}
        self.next = 0
        """Index of the next bucket to close, the same for all lines."""

    @property
    def due(self) -> int:
        """When the next bucket closes."""
        return (self.next + 1) * self.width + self.grace

    def enter(self, event: Event, hit: bool, counters: Counter[str]) -> None:
        """Count an event that passed the filter."""
        series = self.series
        key = ""
        if series.by:
            raw = event.data.get(series.by)
            if raw is None or isinstance(raw, (list, dict)):
                return
            key = str(raw)
        amount = self._amount(event, hit)
        if amount is None:
            return
        bucket = event.time // self.width
        if not self.lines:
            self.next = (event.tau - self.grace) // self.width
        scope = (event.shop, str(event.data.get("currency") or self.default) if self.money else "", key)
        line = self.lines.get(scope)
        if bucket < self.next and self._stale(bucket, line, event.tau):
            counters["late"] += 1
            return
        if line is None:
            line = self.lines[scope] = Line(bucket)
            for _ in range(bucket, self.next):
                line.append(self._value(Tally()), 0, series.keep)
        elif bucket >= self.next:
            line.first = min(line.first, bucket)
        tally = line.tallies.get(bucket)
        if tally is None:
            tally = line.tallies[bucket] = Tally()
        self._add(tally, amount)
        line.silent = 0
        if bucket < self.next:
            counters["revised"] += 1
            line.revise(bucket, self._value(tally), tally.n)

    def _stale(self, bucket: int, line: Line | None, tau: int) -> bool:
        """Return whether a closed bucket is out of reach: ended over 5 minutes ago, or not in the history."""
        if tau - (bucket + 1) * self.width > LATE_LIMIT + self.grace:
            return True
        return bucket < (self.next - self.series.keep if line is None else line.first)

    def _amount(self, event: Event, hit: bool) -> int | None:
        measure = self.series.measure
        if measure is Measure.COUNT:
            return 0
        if measure is Measure.RATIO:
            return int(hit)
        raw = event.data.get(self.series.field)
        if measure is Measure.DISTINCT:
            value = value_of(raw)
            return None if value is None else self.hasher.text(value)
        return fixed_point(raw, self.scale)

    def _add(self, tally: Tally, amount: int) -> None:
        tally.n += 1
        if self.series.measure is Measure.DISTINCT:
            marks = tally.values if isinstance(tally.values, set) else set()
            marks.add(amount)
            if self.series.bucket_s > HOUR_S and len(marks) > CROWD:
                marks = set(sorted(marks)[: BOTTOM + 1])
            tally.values = marks
        elif self.series.measure is Measure.QUANTILE:
            if not isinstance(tally.values, Quantiles):
                tally.values = Quantiles()
            tally.values.add(amount)
        else:
            tally.total += amount

    def _value(self, tally: Tally) -> float:
        """Return the measure of a bucket, NaN where it has none."""
        series, measure, n = self.series, self.series.measure, tally.n
        if measure is Measure.COUNT:
            return float(n)
        if measure is Measure.SUM:
            return tally.total / self.unit
        if measure is Measure.DISTINCT:
            return self._distinct(tally)
        if not n:
            return math.nan
        if measure is Measure.RATIO:
            return tally.total / n
        if measure is Measure.MEAN:
            return tally.total / n / self.unit
        found = tally.values if isinstance(tally.values, Quantiles) else Quantiles()
        return found.quantile(series.quantile) / self.unit

    def _distinct(self, tally: Tally) -> float:
        marks = tally.values if isinstance(tally.values, set) else set()
        return distinct_value(marks, self.series.bucket_s)

    def close(self, planned: Callable[[str, int], tuple[float, Campaign | None]]) -> list[Bucket]:
        """Close the next bucket of every line, in the order of shop, currency and key."""
        bucket, due, series = self.next, self.due, self.series
        self.next += 1
        closed = []
        for scope in sorted(self.lines):
            line = self.lines[scope]
            if bucket < line.first:
                continue
            tally = line.tallies.get(bucket) or Tally()
            value = self._value(tally)
            history, history_n = line.history()
            start = bucket * self.width
            factor, campaign = planned(scope[0], start)
            closed.append(
                Bucket(
                    series=series,
                    key=scope[2],
                    shop=scope[0],
                    start=start,
                    tau=due,
                    value=value,
                    n=tally.n,
                    history=history,
                    history_n=history_n,
                    factor=factor,
                    currency=scope[1],
                    campaign=campaign,
                )
            )
            line.append(value, tally.n, series.keep)
            self._settle(scope, line, tally, due)
        return closed

    def _settle(self, scope: Scope, line: Line, tally: Tally, due: int) -> None:
        """Let go of buckets too old to be revised, and of a line that has been silent for ``keep`` buckets."""
        horizon = (due - self.grace - LATE_LIMIT) // self.width - 1
        for bucket in [bucket for bucket in line.tallies if bucket < horizon]:
            del line.tallies[bucket]
        line.silent = 0 if tally.n else line.silent + 1
        if line.silent >= self.series.keep and not any(bucket >= self.next for bucket in line.tallies):
            del self.lines[scope]

    def canonical(self) -> list[Any]:
        """Return all state in one form."""
        found = []
        for scope in sorted(self.lines):
            line = self.lines[scope]
            values, n = line.history()
            open_ = [
                (bucket, tally.n, tally.total, kept_of(tally.values, self.series.bucket_s))
                for bucket, tally in sorted(line.tallies.items())
            ]
            found.append((scope, line.first, line.silent, values.tobytes(), n.tobytes(), open_))
        return [self.series.name, repr(self.series), self.next if self.lines else 0, found]


class Tracks:
    """All series of a fold; equal declarations of several desks are one."""

    def __init__(self, currency: str, hasher: Hasher | None = None) -> None:
        self.currency = currency
        self.hasher = hasher or Hasher()
        self.tracks: dict[Series, Track] = {}
        self.by_type: dict[str, list[Track]] = {}
        self.counters: Counter[str] = Counter()
        self._due: int | None = None
        self._stale = False
        """Whether ``_due`` must be computed again: a first line began, or buckets closed."""

    def declare(self, series: tuple[Series, ...]) -> None:
        """Add the series of a desk."""
        for one in series:
            if one in self.tracks:
                continue
            track = self.tracks[one] = Track(one, self.currency, self.hasher)
            for kind in dict.fromkeys(one.of):
                self.by_type.setdefault(kind, []).append(track)

    def due(self) -> int | None:
        """Return when the next bucket closes, None while there is no line."""
        if self._stale:
            self._due = min((track.due for track in self.tracks.values() if track.lines), default=None)
            self._stale = False
        return self._due

    def enter(self, batch: PlainBatch, row: int) -> None:
        """Count one row of a batch in the series of its type."""
        event = batch.events[row]
        for track in self.by_type.get(event.type, ()):
            series = track.series
            if series.where and not passes(batch, series.where, series.of, self.counters)[row]:
                continue
            hit = bool(series.hit) and passes(batch, series.hit, series.of, self.counters)[row]
            self._stale = self._stale or not track.lines
            track.enter(event, hit, self.counters)

    def close(self, due: int, planned: Callable[[str, int], tuple[float, Campaign | None]]) -> list[Bucket]:
        """Close what is due at this instant, series in the order of their declaration."""
        self._stale = True
        return [
            bucket
            for track in self.tracks.values()
            if track.lines and track.due == due
            for bucket in track.close(planned)
        ]

    def closing(
        self, until: int, planned: Callable[[str, int], tuple[float, Campaign | None]]
    ) -> Iterator[tuple[int, list[Bucket]]]:
        """Close everything due at or before ``until``; yield (due, what closed then), instant by instant."""
        while (due := self.due()) is not None and due <= until:
            yield due, self.close(due, planned)

"""Closed buckets as columns: what a kernel has closed, made into ``Bucket`` objects only for those who look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.core.campaign import Campaign
    from tocsin.core.desk import Series
    from tocsin.flow.series import Scope
    from tocsin.flow.wide.series_history import Histories

    Planned = Callable[[str, int], tuple[float, Campaign | None]]


class Segment:
    """Buckets of one series in the order of their closing.

    ``rows`` int32 [n, 6] as ``series_kernels.close`` says; buckets count from ``base`` on.
    """

    __slots__ = ("_parts", "base", "grace", "n", "rows", "scopes", "series", "width")

    def __init__(
        self, series: Series, width: int, grace: int, scopes: Sequence[Scope | None], base: int, rows: np.ndarray
    ) -> None:
        self.series, self.width, self.grace, self.scopes = series, width, grace, scopes
        self.base, self.rows = base, rows
        self.n = 0
        self._parts: list[tuple[int, int, np.ndarray, np.ndarray]] = []

    def note(self, start: int, stop: int, histories: Histories) -> None:
        """Say where the values of the rows [start, stop) are: in the arrays of now."""
        if stop > start:
            self._parts.append((start, stop, histories.seen_values, histories.seen_counts))
            self.n = stop

    def dues(self) -> np.ndarray:
        """Return when each closed, int64 [n]."""
        dues: np.ndarray = (self.rows[: self.n, 1] + np.int64(self.base + 1)) * self.width + self.grace
        return dues

    def buckets(self, planned: Planned) -> Iterator[Bucket]:
        """Yield them as objects."""
        series, width, scopes, tail = self.series, self.width, self.scopes, self.width + self.grace
        for start, stop, values, counts in self._parts:
            for line, after, _, row, begin, end in self.rows[start:stop].tolist():
                scope = scopes[line]
                if scope is None:
                    raise LookupError("closed buckets are read before the next row enters")
                began = (self.base + after) * width
                factor, campaign = planned(scope[0], began)
                yield Bucket(
                    series=series,
                    key=scope[2],
                    shop=scope[0],
                    start=began,
                    tau=began + tail,
                    value=values.item(row, end),
                    n=int(counts.item(row, end)),
                    history=values[row, begin:end],
                    history_n=counts[row, begin:end],
                    factor=factor,
                    currency=scope[1],
                    campaign=campaign,
                )


class Closed:
    """What closed in a stretch of time: ``n`` buckets of all series, to be looked at before the next row enters."""

    __slots__ = ("_planned", "_segments", "n")

    def __init__(self, segments: Sequence[tuple[int, Segment]], planned: Planned) -> None:
        self._segments = [(place, segment) for place, segment in segments if segment.n]
        self._planned = planned
        self.n = sum(segment.n for _, segment in self._segments)

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Bucket]:
        """Yield all in the order in which they close: due time, series as declared, line."""
        if len(self._segments) == 1:
            yield from self._segments[0][1].buckets(self._planned)
            return
        streams = [segment.buckets(self._planned) for _, segment in self._segments]
        owners = [np.full(segment.n, at) for at, (_, segment) in enumerate(self._segments)]
        if not owners:
            return
        places = [np.full(segment.n, place) for place, segment in self._segments]
        dues = [segment.dues() for _, segment in self._segments]
        order = np.lexsort((np.concatenate(places), np.concatenate(dues)))
        for owner in np.concatenate(owners)[order].tolist():
            yield next(streams[owner])

    def by_due(self) -> Iterator[tuple[int, list[Bucket]]]:
        """Yield (due, the buckets that closed then)."""
        group: list[Bucket] = []
        for bucket in self:
            if group and bucket.tau != group[0].tau:
                yield group[0].tau, group
                group = []
            group.append(bucket)
        if group:
            yield group[0].tau, group

"""What of a batch enters a series: filtered, keyed and in fixed point, worked out once a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.desk import Measure
from tocsin.flow.filters import mask as passing
from tocsin.flow.wide.places import salted

if TYPE_CHECKING:
    from collections import Counter

    from tocsin.flow.wide.rows import Rows
    from tocsin.flow.wide.series_track import WideTrack

ZERO, ONE = np.zeros(1, np.int64), np.ones(1, np.int64)


class Entries:
    """What of a batch enters a series: ``keys`` uint64 [m]; ``rows``, ``buckets``, ``amounts``, ``taus`` int64 [m]."""

    __slots__ = ("amounts", "buckets", "keys", "rows", "taus")

    def __init__(
        self, rows: np.ndarray, keys: np.ndarray, buckets: np.ndarray, amounts: np.ndarray, taus: np.ndarray
    ) -> None:
        self.rows, self.keys, self.buckets, self.amounts, self.taus = rows, keys, buckets, amounts, taus


def entries_of(track: WideTrack, rows: Rows, counters: Counter[str]) -> Entries | None:
    """Return what of a batch enters, filtered; None where nothing does."""
    if rows.n == 1:
        return _entry(track, rows, counters)
    series = track.series
    mask = rows.of_type(*series.of)
    if series.where and mask.any():
        mask &= passing(rows, series.where, series.of, counters)
    keys = rows.shop_hashes
    amounts: np.ndarray | None = None
    if series.hit and mask.any():
        amounts = passing(rows, series.hit, series.of, counters)
    if mask.any():
        if series.by:
            keys, present = rows.keys(series.by)
            mask &= present
        if series.measure is Measure.DISTINCT:
            amounts, present = rows.identities(series.field)
            mask &= present
        elif series.field:
            amounts, present = rows.fixed(series.field, track.scale)
            mask &= present
    at = np.flatnonzero(mask)
    if not len(at):
        return None
    keys = keys[at]
    if track.money:
        keys = salted(keys, rows.currencies(track.default)[at])
    amounts = np.zeros(len(at), np.int64) if amounts is None else amounts[at].astype(np.int64)
    return Entries(at, keys, rows.times[at] // track.width, amounts, rows.taus[at])


def _entry(track: WideTrack, rows: Rows, counters: Counter[str]) -> Entries | None:
    """Return the same of a single row that is of the series' types: without masks, for a caller who waits."""
    series = track.series
    if series.where and not passing(rows, series.where, series.of, counters)[0]:
        return None
    keys, amounts = rows.shop_hashes, ZERO
    if series.hit and passing(rows, series.hit, series.of, counters)[0]:
        amounts = ONE
    if series.by:
        keys, present = rows.keys(series.by)
        if not present[0]:
            return None
    if series.field:
        distinct = series.measure is Measure.DISTINCT
        amounts, present = rows.identities(series.field) if distinct else rows.fixed(series.field, track.scale)
        if not present[0]:
            return None
        if distinct:
            amounts = amounts.view(np.int64)
    if track.money:
        keys = salted(keys, rows.currencies(track.default))
    return Entries(ZERO, keys, rows.times // track.width, amounts, rows.taus)

"""Quantiles of integers with a relative error of at most 1 %, in a sketch that merges exactly and forgets the order.

Up to 64 values are kept as they are, and the quantile is exact. Beyond, values are counted in buckets [low, high] with
high <= low * 101 / 99; a bucket is answered by its harmonic mean, which is within 1 % of everything in it. The bounds
are integers, so what is counted where does not depend on a logarithm's last bit: values below 50 stay exact, and the
sketch is a function of the values alone, however they came or were merged.

Reference: Masson, Rim and Lee, DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees,
VLDB 2019 (its guarantee, with buckets of integers in place of powers of gamma).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

EXACT = 64
"""Up to so many values are kept as they are."""
FEW = 8
"""Fewer new values than this are counted one by one."""
LARGEST = (1 << 63) - 1
"""Values beyond count as this, on either side of 0."""


def _bounds() -> list[int]:
    """Return where the buckets begin."""
    lows = [1]
    while (high := lows[-1] * 101 // 99) < LARGEST:
        lows.append(high + 1)
    return lows


LOWS = _bounds()
LOW_ARRAY = np.array(LOWS, np.int64)
MIDDLES = [
    2.0 * low * high / (low + high) for low, high in zip(LOWS, [*(low - 1 for low in LOWS[1:]), LARGEST], strict=True)
]


def key_of_value(value: int) -> int:
    """Return a value's bucket: 0 for 0, negative for negative ones.

    >>> [key_of_value(value) for value in (0, 49, -49, 50, 51, 52)]
    [0, 49, -49, 50, 50, 51]
    """
    place = bisect_right(LOWS, min(abs(value), LARGEST))
    return place if value >= 0 else -place


def middle_of(key: int) -> float:
    """Return the value that answers for a bucket."""
    if not key:
        return 0.0
    return MIDDLES[key - 1] if key > 0 else -MIDDLES[-key - 1]


class Quantiles:
    """One sketch over integers: ``values`` while there are few, else ``counts`` by bucket."""

    __slots__ = ("counts", "n", "values")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.n = 0
        self.values: list[int] = []
        self.counts: dict[int, int] = {}
        for value in values:
            self.add(value)

    def add(self, value: int) -> None:
        """Count a value."""
        self.n += 1
        if self.n <= EXACT:
            self.values.append(value)
            return
        self._spread()
        key = key_of_value(value)
        self.counts[key] = self.counts.get(key, 0) + 1

    def add_all(self, values: np.ndarray) -> None:
        """Count values, int64 [n]."""
        if self.n + len(values) <= EXACT:
            self.n += len(values)
            self.values.extend(values.tolist())
            return
        if len(values) < FEW:
            for value in values.tolist():
                self.add(value)
            return
        self._spread()
        self.n += len(values)
        places = np.searchsorted(LOW_ARRAY, np.abs(np.maximum(values, -LARGEST)), "right")
        keys, counts = np.unique(np.where(values < 0, -places, places), return_counts=True)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            self.counts[key] = self.counts.get(key, 0) + count

    def merge(self, other: Quantiles) -> None:
        """Count what another has counted."""
        if self.n + other.n <= EXACT:
            self.values.extend(other.values)
        else:
            self._spread()
            twin = Quantiles()
            twin.values, twin.counts = other.values, dict(other.counts)
            twin._spread()
            for key, count in twin.counts.items():
                self.counts[key] = self.counts.get(key, 0) + count
        self.n += other.n

    def _spread(self) -> None:
        """Go over from values to buckets."""
        for value in self.values:
            key = key_of_value(value)
            self.counts[key] = self.counts.get(key, 0) + 1
        self.values = []

    def quantile(self, share: float) -> float:
        """Return the value of rank ceil(share * n), NaN where there is none; within 1 % beyond 64 values."""
        if not self.n:
            return math.nan
        rank = max(0, math.ceil(share * self.n) - 1)
        if not self.counts:
            return float(sorted(self.values)[rank])
        seen = 0
        for key in sorted(self.counts):
            seen += self.counts[key]
            if seen > rank:
                break
        return middle_of(key)

    def canonical(self) -> list[int] | list[tuple[int, int]]:
        """Return the values, or (bucket, count), ascending."""
        return sorted(self.counts.items()) if self.counts else sorted(self.values)

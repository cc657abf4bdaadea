"""Series and rates in bounded memory: the numbers behind charts."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Ring:
    """Integer sums by time bucket; only the newest ``keep`` buckets are kept."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._sums: dict[int, int] = {}
        self._newest = 0

    def add(self, bucket: int, amount: int) -> None:
        """Add to a bucket; one that is older than what is kept is left out."""
        if bucket > self._newest:
            self._newest = bucket
            if len(self._sums) > 2 * self._keep:
                self._sums = {old: n for old, n in self._sums.items() if old > bucket - self._keep}
        elif bucket <= self._newest - self._keep:
            return
        self._sums[bucket] = self._sums.get(bucket, 0) + amount

    def state(self) -> dict[int, int]:
        """Return the sums by bucket, as plain values."""
        return dict(self._sums)

    def restore(self, sums: Mapping[int, int]) -> None:
        """Take up what ``state`` returned."""
        self._sums = dict(sums)
        self._newest = max(self._sums, default=0)

    def total(self, start: int, end: int) -> int:
        """Return the sum over the buckets start .. end - 1."""
        if end - start > len(self._sums):
            return sum(amount for bucket, amount in self._sums.items() if start <= bucket < end)
        return sum(self._sums.get(bucket, 0) for bucket in range(start, end))

    def points(self) -> Iterator[tuple[int, int]]:
        """Yield (bucket, sum) from the oldest kept bucket to the newest, empty ones as 0."""
        if self._sums:
            for bucket in range(max(min(self._sums), self._newest - self._keep + 1), self._newest + 1):
                yield bucket, self._sums.get(bucket, 0)


class Line:
    """One line of a series: starts ascending, values (NaN missing) and counts, 24 bytes a point."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.starts = array("q")
        self.values = array("d")
        self.counts = array("q")

    def put(self, start: int, value: float, n: int) -> int:
        """Append a bucket or revise the one that was there; return by how many points the line grew."""
        place = len(self.starts)
        if place and start <= self.starts[-1]:
            place = bisect_left(self.starts, start)
            if self.starts[place] == start:
                self.values[place], self.counts[place] = value, n
                return 0
        self.starts.insert(place, start)
        self.values.insert(place, value)
        self.counts.insert(place, n)
        surplus = len(self.starts) - self.keep
        # Cut in steps of an eighth, so that a full line does not move all its points for each new one.
        if surplus <= self.keep // 8:
            return 1
        del self.starts[:surplus], self.values[:surplus], self.counts[:surplus]
        return 1 - surplus

    def between(self, start: int, end: int | None, limit: int) -> list[dict[str, Any]]:
        """Return the last ``limit`` points with start <= their start < end."""
        first = bisect_left(self.starts, start)
        stop = len(self.starts) if end is None else bisect_left(self.starts, end)
        first = max(first, stop - limit)
        return [
            {
                "start": self.starts[place],
                "value": None if math.isnan(self.values[place]) else self.values[place],
                "n": self.counts[place],
            }
            for place in range(first, stop)
        ]


class LineStore:
    """Lines by (name, key, shop); past ``most`` points in all, the line that has been silent longest goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._lines: dict[tuple[str, str, str], Line] = {}

    def put(self, name: str, key: str, shop: str, keep: int, start: int, value: float, n: int) -> None:
        """Append or revise one bucket."""
        line = self._lines.get((name, key, shop))
        if line is None:
            line = self._lines[(name, key, shop)] = Line(keep)
        self._size += line.put(start, value, n)
        while self._size > self._most and len(self._lines) > 1:
            silent = min(self._lines, key=lambda one: self._lines[one].starts[-1])
            self._size -= len(self._lines.pop(silent).starts)

    def state(self) -> tuple[list[Any], dict[str, np.ndarray]]:
        """Return (name, key, shop, keep, points) of every line, and the points of all, one line after the other."""
        lines = self._lines.values()
        heads = [[*scope, line.keep, len(line.starts)] for scope, line in self._lines.items()]
        return heads, {
            "starts": _joined([line.starts for line in lines], np.int64),
            "values": _joined([line.values for line in lines], np.float64),
            "counts": _joined([line.counts for line in lines], np.int64),
        }

    def restore(self, heads: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take up what ``state`` returned."""
        self._lines, self._size, at = {}, 0, 0
        for name, key, shop, keep, points in heads:
            line = self._lines[(name, key, shop)] = Line(keep)
            line.starts.frombytes(arrays["starts"][at : at + points].tobytes())
            line.values.frombytes(arrays["values"][at : at + points].tobytes())
            line.counts.frombytes(arrays["counts"][at : at + points].tobytes())
            at += points
            self._size += points

    def find(self, name: str, key: str, shop: str) -> Line | None:
        """Return the line; without a shop, that of the first shop that has it."""
        if shop:
            return self._lines.get((name, key, shop))
        for (its_name, its_key, _), line in self._lines.items():
            if (its_name, its_key) == (name, key):
                return line
        return None

    def names(self) -> list[tuple[str, str, str]]:
        """Return (name, key, shop) of every line, sorted."""
        return sorted(self._lines)


def _joined(parts: Sequence[array[Any]], dtype: type) -> np.ndarray:
    """Return arrays one after the other, as a copy."""
    return np.frombuffer(b"".join(part.tobytes() for part in parts), dtype)

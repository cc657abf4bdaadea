"""A plane's state apart from its log: the log only grows at its end, and so is written a piece at a time.

The rows of keys are left where they are and said with their slots, for entries of the log name slots. When it is read
again the entries are renumbered, and what comes out is what ``stored.capture`` would have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.wide import layout as at
from tocsin.flow.wide.passes import touch_all
from tocsin.flow.wide.stored import live_rows, live_slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tocsin.flow.wide.plane import Plane

BLOCK = 1 << 20
"""Entries that are renumbered at once."""


@dataclass(frozen=True)
class PlaneLog:
    """The log of a plane as rows int64 [n, words] that are numbered for ever and stay as they are."""

    plane: Plane

    def bounds(self) -> tuple[int, int]:
        """Return the first row that matters and the row behind the last; between two steps."""
        head = self.plane.head
        return int(head[at.H_LOG_BEGIN]), int(head[at.H_LOG_HEAD])

    def rows(self, first: int, last: int) -> list[np.ndarray] | None:
        """Return the rows [first, last) as views, None where some have gone; in any thread."""
        found = []
        while first < last:
            segment = self.plane.segments.get(first >> at.SEGMENT_BITS)
            if segment is None:
                return None
            begin = first & ((1 << at.SEGMENT_BITS) - 1)
            found.append(segment[begin : begin + last - first])
            first += len(found[-1])
        return found or [np.empty((0, int(self.plane.head[at.H_LOG_WORDS])), np.int64)]

    def holds(self, first: int) -> bool:
        """Return whether rows from ``first`` on are still what they were: nothing is written where they lay."""
        return True


class Beside:
    """What a plane holds beside its log, as ``stored.Stored`` says it; the arrays are read as they are asked for."""

    def __init__(self, plane: Plane) -> None:
        touch_all(plane.address)
        self._plane = plane
        self.tau, self.forced = int(plane.head[at.H_TAU]), int(plane.head[at.H_FORCED])
        self.begin = int(plane.head[at.H_LOG_BEGIN])
        self.maps = [plane.pairs(place) for place in range(len(plane.entries))]

    def arrays(self) -> dict[str, np.ndarray | Iterator[np.ndarray]]:
        """Return by name: ``rows`` of live keys in blocks, their ``slots``, ``begin`` of the log, ``map`` of pairs."""
        found: dict[str, np.ndarray | Iterator[np.ndarray]] = {"begin": np.array([self.begin])}
        for place in range(len(self._plane.plan.tables)):
            found[f"rows{place}"] = live_rows(self._plane, place)
            found[f"slots{place}"] = live_slots(self._plane, place).astype(np.int32)
        return {**found, **{f"map{place}": pairs for place, pairs in enumerate(self.maps)}}


def joined(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of all planes as ``stored.Stored`` says them; logs are renumbered in place.

    ``planeN.log.first`` int64 [1] is the number of the first row of ``planeN.log``.
    """
    found = dict(arrays)
    for name in [name for name in arrays if name.endswith(".begin")]:
        plane = name.removesuffix("begin")
        log = arrays[f"{plane}log"][int(arrays[name][0] - arrays[f"{plane}log.first"][0]) :]
        place = 0
        while f"{plane}slots{place}" in arrays:
            _renumber(log, arrays[f"{plane}slots{place}"], at.ENTRY_SLOTS // 4 + place)
            place += 1
        found[f"{plane}log"] = log
    return found


def _renumber(log: np.ndarray, slots: np.ndarray, word: int) -> None:
    """Let entries name rows by their place in ``slots``; an entry of a row that has gone names none."""
    column = log.view(np.int32)[:, word] if len(log) else np.empty(0, np.int32)
    most = max(int(column.max(initial=-1)), int(slots.max(initial=-1)))
    to = np.full(most + 2, -1, np.int32)
    to[slots] = np.arange(len(slots), dtype=np.int32)
    for first in range(0, len(column), BLOCK):
        part = column[first : first + BLOCK]
        part[:] = to[part]

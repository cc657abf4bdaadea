"""Histories: the closed buckets of all lines of a series, one row each, that only ever grow behind what was given out.

A line is the row of ``series_kernels.lines``. Whoever holds a history looks at a part of a row that is never written
again: closed buckets are put behind it, and a revision first moves the line to another row.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.wide.series_kernels import ALIVE, END, FIRST, ROW, START

FIRST_ROOM = 64


class Histories:
    """``values`` and ``counts`` float64 [rows, room]: of every line the buckets [START, END) of its ROW."""

    __slots__ = ("_given", "_keep", "counts", "seen_counts", "seen_values", "values")

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._given = 0
        """Rows given to lines so far, those included that their lines have left."""
        self._build(4, FIRST_ROOM)

    def _build(self, rows: int, room: int) -> None:
        self.values, self.counts = np.empty((rows, room)), np.empty((rows, room))
        self.seen_values, self.seen_counts = self.values.view(), self.counts.view()
        self.seen_values.flags.writeable = self.seen_counts.flags.writeable = False

    def row(self, lines: np.ndarray) -> int:
        """Return an empty row; ``lines`` int64 [lines, columns] are all that there are."""
        if self._given == len(self.values):
            self._rebuild(lines, self.values.shape[1])
        self._given += 1
        return self._given - 1

    def prepare(self, rows: int, longest: int) -> None:
        """Make room for so many lines with histories so long; there are none yet."""
        most = max(FIRST_ROOM, self._keep + self._keep // 2 + 16)
        self._build(2 * rows + 4, min(max(FIRST_ROOM, longest + longest // 4), most))

    def full(self, line: np.ndarray) -> bool:
        """Return whether a line has no room for one more bucket."""
        return bool(line[END] == self.values.shape[1])

    def append(self, line: np.ndarray, value: float, n: int) -> None:
        """Put a closed bucket behind the others of a line that has room."""
        self.values[line[ROW], line[END]], self.counts[line[ROW], line[END]] = value, n
        line[END] += 1

    def put(self, line: np.ndarray, bucket: int, value: float, n: int) -> None:
        """Replace a closed bucket of a line that nobody else looks at."""
        place = line[START] + bucket - line[FIRST]
        self.values[line[ROW], place], self.counts[line[ROW], place] = value, n

    def of(self, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (values, n) of the closed buckets, oldest first."""
        row, part = line[ROW], slice(line[START], line[END])
        return self.seen_values[row, part], self.seen_counts[row, part]

    def move(self, lines: np.ndarray, line: int) -> None:
        """Copy a line to a row of its own, its oldest bucket first; rebuild where rows are too short or used up."""
        size = int(lines[line, END] - lines[line, START])
        room = self.values.shape[1]
        most = max(FIRST_ROOM, self._keep + self._keep // 2 + 16)
        if size * 5 > room * 4 and room < most:
            self._rebuild(lines, min(max(2 * room, size + 1), most))
        elif self._given == len(self.values):
            self._rebuild(lines, room)
        else:
            row, part = int(lines[line, ROW]), slice(lines[line, START], lines[line, END])
            self.values[self._given, :size] = self.values[row, part]
            self.counts[self._given, :size] = self.counts[row, part]
            lines[line, ROW], lines[line, START], lines[line, END] = self._given, 0, size
            self._given += 1

    def _rebuild(self, lines: np.ndarray, room: int) -> None:
        """Move all living lines to new arrays; those who hold the old ones keep them."""
        values, counts = self.values, self.counts
        alive = np.flatnonzero(lines[:, ALIVE])
        self._build(2 * len(alive) + 4, room)
        for row, line in enumerate(alive.tolist()):
            size = int(lines[line, END] - lines[line, START])
            old, part = int(lines[line, ROW]), slice(lines[line, START], lines[line, END])
            self.values[row, :size], self.counts[row, :size] = values[old, part], counts[old, part]
            lines[line, ROW], lines[line, START], lines[line, END] = row, 0, size
        self._given = len(alive)

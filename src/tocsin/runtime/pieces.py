"""Pieces: a log that only grows at its end is written once, and not with every snapshot.

Rows that will not change any more are written as they come, a piece at a time, in a thread beside the fold. A snapshot
names the pieces that reach up to its place and holds the few rows behind them itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    import numpy as np

    class Log(Protocol):
        """Rows that are numbered for ever and stay as they are; only the oldest go."""

        def bounds(self) -> tuple[int, int]:
            """Return the first row that matters and the row behind the last; in the host's thread."""
            ...

        def rows(self, first: int, last: int) -> list[np.ndarray] | None:
            """Return the rows [first, last), None where some have gone; in any thread."""
            ...

        def holds(self, first: int) -> bool:
            """Return whether rows from ``first`` on are still what they were; in any thread."""
            ...

    class Shelf(Protocol):
        """Where pieces lie (``ledger.snapshots``)."""

        def save_piece(self, name: str, blocks: Sequence[np.ndarray]) -> Any:
            """Write rows, durable."""
            ...


class Kept(NamedTuple):
    """The rows [first, last) as they were written."""

    first: int
    last: int
    name: str
    piece: Any


class Cut(NamedTuple):
    """Where a snapshot cuts a log: rows [first, upto) are in pieces, or will be; [upto, end) it holds itself."""

    pieces: Pieces
    first: int
    upto: int
    end: int


class Pieces:
    """The pieces of one log.

    Parameters
    ----------
    name
        How its files begin.
    rows
        How many rows a piece has.
    """

    def __init__(self, name: str, log: Log, rows: int) -> None:
        self.log = log
        self._name, self._rows = name, rows
        self._kept: list[Kept] = []
        self._passing = ""
        """The file that is just being written."""
        self._needed: int | None = None
        """The first row that a snapshot under way needs."""
        self._begin = self._end = 0
        self._guard, self._one = threading.Lock(), threading.Lock()

    def adopt(self, first: int, pieces: Sequence[Any]) -> None:
        """Take over the pieces of a snapshot that was loaded, from the row ``first`` on."""
        for piece in pieces:
            self._kept.append(Kept(first, first + piece.rows, piece.name, piece))
            first += piece.rows

    def due(self) -> bool:
        """Take note of how far the log goes, and return whether there is a piece to write; in the host's thread."""
        begin, self._end = self.log.bounds()
        return self._end - self._through(begin, self._end) >= self._rows

    def cut(self) -> Cut:
        """Return where a snapshot of this moment cuts the log; in the host's thread, ``release`` follows."""
        begin, end = self.log.bounds()
        through = self._through(begin, end)
        with self._guard:
            first = self._kept[0].first if self._kept else begin
        self._needed, self._end = first, end
        # A few rows more in the snapshot itself: then it need not wait for the one that is just being written.
        upto = through if end - through <= 2 * self._rows else end - (end - through) % self._rows
        return Cut(self, first, upto, end)

    def release(self) -> None:
        """The snapshot under way has ended."""
        self._needed = None

    def write(self, shelf: Shelf, upto: int | None = None) -> None:
        """Write whole pieces up to the row ``upto``, or as far as ``due`` saw the log; OSError where that fails."""
        end = self._end if upto is None else upto
        with self._one:
            while True:
                with self._guard:
                    first = self._kept[-1].last if self._kept else self._begin
                    last = first + self._rows
                    if last > end:
                        return
                    name = self._passing = f"{self._name}.{first:020d}"
                blocks = self.log.rows(first, last)
                piece = shelf.save_piece(name, blocks) if blocks is not None else None
                if piece is None or not self.log.holds(first):
                    raise OSError(f"rows of {self._name} had left the memory before the disk took them")
                with self._guard:
                    self._kept.append(Kept(first, last, name, piece))

    def rest(self, cut: Cut) -> list[np.ndarray]:
        """Return the rows that no piece will hold, as views; in the host's thread, before the next step."""
        rows = self.log.rows(cut.upto, cut.end)
        if rows is None:
            raise RuntimeError(f"rows of {self._name} have left the memory between two steps")
        return rows

    def through(self, shelf: Shelf, cut: Cut) -> list[Any]:
        """Return the pieces up to a cut, after writing what is missing; OSError where that fails."""
        if cut.upto > cut.first:
            self.write(shelf, cut.upto)
        with self._guard:
            found = [one for one in self._kept if cut.first <= one.first and one.last <= cut.upto]
        if sum(one.last - one.first for one in found) != cut.upto - cut.first:
            raise OSError(f"rows of {self._name} had left the memory before the disk took them")
        return [one.piece for one in found]

    def names(self) -> set[str]:
        """Return the files that are in use, or are just being written."""
        with self._guard:
            return {self._passing, *(one.name for one in self._kept)}

    def _through(self, begin: int, end: int) -> int:
        """Let go of pieces that nobody needs any more; return up to which row there are some."""
        needed = self._needed
        bound = begin if needed is None else min(begin, needed)
        with self._guard:
            while self._kept and self._kept[0].last <= bound:
                del self._kept[0]
            # Rows that were taken back come anew.
            while self._kept and self._kept[-1].last > end:
                del self._kept[-1]
            if self._kept and (self._kept[-1].last >= begin or needed is not None):
                return self._kept[-1].last
            # The log has gone on without them.
            self._kept.clear()
            self._begin = begin
            return begin

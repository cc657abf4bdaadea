"""HostState: the state of a host as plain values and arrays at one place of the stream, and back.

What only grows at its end, the log of identities and the logs of windows, is written beside the fold in pieces
(``pieces``); a state is cut from them and holds the few rows behind the last piece.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tocsin.flow.state import logs_of, restore_into, shared_of, spread_of, state_of
from tocsin.runtime.pieces import Cut, Pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tocsin.runtime.embedded import EmbeddedHost
    from tocsin.runtime.pieces import Shelf

State: TypeAlias = "tuple[dict[str, Any], dict[str, Any]]"
"""Plain values and arrays, some of them as blocks of their rows."""
PIECE_ROWS = 1 << 18
"""Rows of a piece: 4 MB of identities, half a second of the greatest stream."""
PARTS = ("fold", "ids", "views")
IDS = "ids/log"
AGAIN_S = 1.0
"""A disk that refuses pieces is not asked with every cycle."""
log = logging.getLogger(__name__)


class HostState:
    """The state of one host; all but ``through`` in the host's thread, between two cycles."""

    def __init__(self, host: EmbeddedHost, shelf: Shelf) -> None:
        self._host = host
        self._shelf = shelf
        self._writer: threading.Thread | None = None
        """Who writes pieces just now."""
        self._refused_at = -math.inf
        self._made = 0
        self._mark = f"{time.time_ns():x}"
        """In the names of pieces: those of an earlier start may begin with the same row and hold others."""
        self._pieces = {IDS: Pieces(f"ids-{self._mark}", host.row_stamper.memory, PIECE_ROWS)}

    def size(self) -> int:
        """Return the memory of the state, without reading it."""
        fold, ids = self._host.fold, self._host.row_stamper.memory
        sizes = (*fold.windows.bytes().values(), fold.tracks.bytes(), fold.deadlines.bytes(), 16 * len(ids))
        return sum(int(size) for size in sizes)

    def write_ahead(self) -> None:
        """Have the pieces written that are due, in a thread of their own."""
        # All are asked: each takes note of how far its log goes.
        due = any([one.due() for one in self._logs().values()])
        if due and not self._is_writing() and time.monotonic() - self._refused_at > AGAIN_S:
            pieces = list(self._pieces.values())
            self._writer = threading.Thread(target=self._write, args=(pieces,), name="pieces", daemon=True)
            self._writer.start()

    def cut(self) -> dict[str, Cut]:
        """Cut all logs at the place of the snapshot that is begun; ``release`` ends it."""
        return {name: one.cut() for name, one in self._logs().items()}

    def here(self, cuts: Mapping[str, Cut]) -> State:
        """Return what only this process can say, as copies: a child has no memory of the identities."""
        host, ids = self._host, cuts[IDS]
        firsts = {f"{name}.first": np.array([cut.first]) for name, cut in cuts.items()}
        modes = {"verdict_mode": host.verdict_mode, "verdict_fallback": host.fallback.value}
        arrays = {"ids/marks": host.row_stamper.memory.marks(), IDS: copied(ids.pieces.rest(ids))}
        return {"modes": modes}, firsts | arrays

    def folded(self, here: State, cuts: Mapping[str, Cut]) -> State:
        """Return what was made of the events up to the last one stamped; the arrays may be the host's own.

        A child may ask as well. The rows that ``through`` gives as pieces are left out.
        """
        fold, arrays = state_of(self._host.fold)
        logs = {name: cut.pieces.rest(cut) for name, cut in cuts.items() if name != IDS}
        return {"fold": fold, **here[0]}, named("fold", arrays) | logs | here[1]

    def spread(self) -> list[np.ndarray]:
        """Return the arrays that events read and write at random places, those of identities left out."""
        return spread_of(self._host.fold)

    def shared(self) -> list[np.ndarray]:
        """Return those of them that a child shares with this process."""
        return shared_of(self._host.fold)

    def through(self, cuts: Mapping[str, Cut]) -> dict[str, list[Any]]:
        """Return the pieces of each log up to its cut, in any thread; OSError where the disk takes them not."""
        return {name: cut.pieces.through(self._shelf, cut) for name, cut in cuts.items()}

    def pieces(self) -> set[str]:
        """Return the names of the pieces that are in use, in any thread."""
        return {name for one in self._pieces.values() for name in one.names()}

    def finish(self) -> None:
        """Wait for the piece that is just being written."""
        if self._writer is not None:
            self._writer.join()

    def restore(self, found: Any) -> None:
        """Put a snapshot (``ledger.snapshots.Snapshot``) into a host that has folded nothing."""
        parts = {part: _part(part, found.arrays) for part in PARTS}
        restore_into(self._host.fold, found.meta["fold"], parts["fold"])
        self._host.row_stamper.memory.restore(parts["ids"])
        if pieces := found.pieces.get(IDS):
            self._pieces[IDS].adopt(int(parts["ids"]["log.first"][0]), pieces)
        self._host.row_stamper.resume()
        self._host.views.restore(found.meta["views"], parts["views"])
        self._host.apply_mode(found.meta["modes"])

    def _logs(self) -> dict[str, Pieces]:
        """Return the pieces of every log that there is just now."""
        known: dict[Any, Pieces] = {one.log: one for one in self._pieces.values()}
        found = {IDS: self._pieces[IDS]}
        for name, one in logs_of(self._host.fold).items():
            # A plane may have moved up to the place of one that was let go.
            if one not in known:
                self._made += 1
                known[one] = Pieces(f"log-{self._mark}-{self._made}", one, PIECE_ROWS)
            found[f"fold/{name}"] = known[one]
        self._pieces = found
        return found

    def _is_writing(self) -> bool:
        return self._writer is not None and self._writer.is_alive()

    def _write(self, pieces: Sequence[Pieces]) -> None:
        try:
            for one in pieces:
                one.write(self._shelf)
        except OSError as error:
            self._refused_at = time.monotonic()
            log.warning("a piece of the next snapshot was not written: %s", error)


def release(cuts: Mapping[str, Cut]) -> None:
    """The snapshot has ended: pieces before what is needed may go."""
    for cut in cuts.values():
        cut.pieces.release()


def copied(array: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
    """Return an array, or its blocks as one, in memory of its own."""
    return array.copy() if isinstance(array, np.ndarray) else np.concatenate(list(array))


def named(part: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays by ``part/name``."""
    return {f"{part}/{name}": array for name, array in arrays.items()}


def _part(part: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{part}/"): array for name, array in arrays.items() if name.startswith(f"{part}/")}

"""IdMemory: the identities of the last 24 hours of tau, with the seq that each was accepted with, and the stamps.

It keeps keyed 64-bit hashes, not texts. Two different identities in memory at once are taken for one another with a
probability of about n^2 / 2^65 for n ids over a whole memory, and each new id is wrongly called a duplicate with
n / 2^64: with 50 million ids one event in 3.7 * 10^11. Who does not know the seed cannot bring such pairs about.

Sixteen bytes an id in the log and 8 bytes a slot of the index (11 to 27 bytes an id). The arrays are reserved for the
whole capacity at the start, but the system gives memory only as ids come: a new memory takes a few MB. A forked child
has none of it: who writes the memory down reads the log (``bounds``, ``rows``), which only grows at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tocsin.core.events import ID_MEMORY
from tocsin.flow.wide import ids_table as table
from tocsin.flow.wide.reserved import reserved

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPACITY = 3 << 24
"""Ids, 50 million: 1.3 GB when full. They reach 86 s back at 583,000 events a second, 8 minutes at 100,000."""
BATCH = 8192
"""Rows a kernel call takes at most: the index is then doubled in time."""
FEW = 64
"""So few rows are stamped without giving up the interpreter's lock."""
FIRST_BITS = 16


class IdMemory:
    """Stamps rows and recognises duplicates; at most ``capacity`` ids, then the oldest are let go before their time.

    Raises
    ------
    ValueError
        The capacity is not between 1 and 2^30.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        if not 1 <= capacity <= 1 << 30:
            raise ValueError("an id memory holds 1 to 2^30 ids")
        bits = FIRST_BITS
        while 3 * (1 << bits) < 4 * capacity:
            bits += 1
        chunks = capacity // table.CHUNK + 3
        self._index = reserved([(1 << bits) + table.SLACK + table.SCRATCH], np.uint64)
        self._log = reserved([chunks * table.CHUNK, 2], np.uint64)
        self._chunks = np.full(1 << chunks.bit_length(), -1, np.int64)
        self._free = np.zeros(chunks, np.int64)
        self._state = np.zeros(table.STATE, np.int64)
        self._state[table.HEAD] = 1
        self._state[table.BITS] = min(FIRST_BITS, bits)
        self._state[table.MOST_BITS] = bits
        self._state[table.BOUND] = -1
        self._state[table.CAPACITY] = capacity
        self._state[table.LOST_TAU] = -(2**62)
        self._arrays = (self._index, self._log, self._chunks, self._free, self._state)
        self._one = (np.zeros(1, np.uint64), np.zeros(1, np.int64), np.zeros(1, np.int64))

    def __len__(self) -> int:
        """Return how many ids are known."""
        return int(self._state[table.COUNT])

    @property
    def seq(self) -> int:
        """The seq of the newest id."""
        return self._state.item(table.SEQ)

    @property
    def tau(self) -> int:
        """The tau of the newest id."""
        return self._state.item(table.TAU)

    @property
    def forgotten_early(self) -> int:
        """How many ids the capacity made it let go of before 24 hours of tau had passed."""
        return int(self._state[table.FORGOTTEN])

    @property
    def capacity(self) -> int:
        """How many ids it holds at most."""
        return int(self._state[table.CAPACITY])

    def bytes(self) -> int:
        """Return the memory that is in use: 16 bytes an id of the log, in chunks, and 8 a slot of the index."""
        bits = int(self._state[table.BITS]) + int(self._state[table.BOUND] >= 0)
        return 16 * table.CHUNK * int(self._state[table.USED]) + 8 * (1 << bits)

    def span(self) -> int:
        """Return how far back, in microseconds of tau, every accepted id is known for certain: 24 hours at most."""
        return int(min(ID_MEMORY, self._state[table.TAU] - self._state[table.LOST_TAU]))

    def admit(self, ids: np.ndarray, times: np.ndarray, clock: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stamp rows in their order: (fresh bool [n], seqs int64 [n], taus int64 [n]).

        ``ids`` uint64 [n] hashes of identities, ``times`` int64 [n] of the events, both contiguous and writable (for
        others the kernel would be compiled anew); ``clock`` the receiving clock. A duplicate, also of a row before in
        the same call, has the stamps that its id was accepted with.
        """
        fresh = np.empty(len(ids), np.bool_)
        seqs, taus = np.empty((2, len(ids)), np.int64)
        arrays = self._arrays
        if len(ids) <= FEW:
            table.admit_few(*arrays, ids, times, clock, fresh, seqs, taus)
            return fresh, seqs, taus
        for at in range(0, len(ids), BATCH):
            rows = slice(at, at + BATCH)
            table.admit(*arrays, ids[rows], times[rows], clock, fresh[rows], seqs[rows], taus[rows])
        return fresh, seqs, taus

    def seen(self, id: int) -> int:
        """Return the seq that this hash was accepted with, or 0."""
        return int(table.look_up(self._index, self._log, self._chunks, self._state, np.uint64(id)))

    def accept(self, id: int, seq: int, tau: int) -> None:
        """Remember one id with the stamps that it has; as ``accept_rows``."""
        if seq != self._state[table.SEQ] + 1:
            self._go_to(seq)
        for column, value in zip(self._one, (id, seq, tau), strict=True):
            column[0] = value
        table.take_up(*self._arrays, *self._one, True)

    def accept_rows(self, ids: np.ndarray, seqs: np.ndarray, taus: np.ndarray) -> None:
        """Remember rows with the stamps that they have, as a journal keeps them; ValueError where seq runs back.

        Seqs that are left out count against the capacity as if they had come.
        """
        for part in np.split(np.arange(len(ids)), np.flatnonzero(np.diff(seqs) != 1) + 1):
            if not len(part):
                continue
            if seqs[part[0]] != self._state[table.SEQ] + 1:
                self._go_to(int(seqs[part[0]]))
            self._take_up(ids[part], int(seqs[part[0]]), taus[part], expire=True)

    def retract(self, count: int, tau: int) -> None:
        """Take back the newest ids, as if they had never come; ``tau`` is the one before them."""
        table.take_back(self._index, self._log, self._chunks, self._state, count)
        self._state[table.TAU] = tau

    def bounds(self) -> tuple[int, int]:
        """Return the seq of the oldest id in the log, and the one behind the newest."""
        return int(self._state[table.HEAD]), int(self._state[table.SEQ]) + 1

    def rows(self, first: int, last: int) -> list[np.ndarray] | None:
        """Return the log's rows of the seqs [first, last) as views uint64 [n, 2], None where some have gone.

        A row is the hash and the bits of tau. It stays as it is while ``holds`` says so of the first; in any thread.
        """
        found = []
        while first < last:
            at = int(self._chunks[(first >> table.CHUNK_BITS) & (len(self._chunks) - 1)]) * table.CHUNK
            if at < 0:
                return None
            begin = first & (table.CHUNK - 1)
            found.append(self._log[at + begin : at + min(table.CHUNK, begin + last - first)])
            first += len(found[-1])
        return found or [self._log[:0]]

    def holds(self, first: int) -> bool:
        """Return whether the rows from ``first`` on have not been written over; in any thread."""
        return int(self._state[table.HEAD]) >> table.CHUNK_BITS <= first >> table.CHUNK_BITS

    def marks(self) -> np.ndarray:
        """Return int64 [5]: seq, tau, ids let go early and the tau of the newest of those, seq of the oldest id."""
        places = [table.SEQ, table.TAU, table.FORGOTTEN, table.LOST_TAU, table.HEAD]
        marks: np.ndarray = self._state[places]
        return marks

    def state(self) -> dict[str, np.ndarray]:
        """Return a copy of what it knows: ``log`` (the rows, oldest first), ``log.first`` (its seq) and ``marks``."""
        first, last = self.bounds()
        return {
            "log": np.concatenate(self.rows(first, last) or []),
            "log.first": np.array([first]),
            "marks": self.marks(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take up the arrays of ``state``, also of a memory of another capacity; what it knew before is gone.

        The log may begin before the oldest id. Snapshots of version 1 hold ``ids``, ``seqs`` and ``taus`` in its place.
        """
        self._clear()
        marks = state["marks"]
        if "log" in state:
            log = state["log"][max(0, int(marks[4] - state["log.first"][0])) :]
            ids, taus = log[:, table.HASH], log[:, table.ACCEPTED].view(np.int64)
        else:
            ids, taus = state["ids"], state["taus"]
        capacity = int(self._state[table.CAPACITY])
        self._state[table.FORGOTTEN], self._state[table.LOST_TAU] = marks[2], marks[3]
        if len(ids) > capacity:
            lost = int((taus[:-capacity] > marks[1] - ID_MEMORY).sum())
            self._state[table.FORGOTTEN] += lost
            if lost:
                self._state[table.LOST_TAU] = taus[-capacity - 1]
            ids, taus = ids[-capacity:], taus[-capacity:]
        first = int(marks[0]) + 1 - len(ids)
        self._state[table.HEAD] = first
        self._take_up(ids, first, taus, expire=False)
        self._state[table.SEQ], self._state[table.TAU] = marks[0], marks[1]

    def _take_up(self, ids: np.ndarray, first: int, taus: np.ndarray, *, expire: bool) -> None:
        """Remember rows whose seqs rise by one from ``first`` on."""
        arrays = self._arrays
        for at in range(0, len(ids), BATCH):
            rows = slice(at, at + BATCH)
            seqs = np.arange(first + at, first + at + len(ids[rows]))
            # Copies: arrays of a file are read-only, for which the kernel is not compiled.
            table.take_up(*arrays, ids[rows].copy(), seqs, taus[rows].copy(), expire)

    def _go_to(self, seq: int) -> None:
        """Make ``seq`` the next one: what is left out is logged as the id 0, so that the log stays without holes."""
        state = self._state
        last = int(state[table.SEQ])
        if seq <= last:
            raise ValueError(f"seq {seq} comes after {last}")
        if seq - last > state[table.CAPACITY]:
            tau = int(state[table.TAU])
            self._clear()
            state[table.TAU] = tau
        if state[table.HEAD] > state[table.SEQ]:
            state[table.SEQ], state[table.HEAD] = seq - 1, seq
            return
        missing = seq - last - 1
        taus = np.full(missing, state[table.TAU], np.int64)
        self._take_up(np.zeros(missing, np.uint64), last + 1, taus, expire=True)

    def _clear(self) -> None:
        """Forget everything, and give the chunks back."""
        state = self._state
        bits = int(state[table.BITS]) + (state[table.BOUND] >= 0)
        self._index[: (1 << bits) + table.SLACK] = 0
        self._chunks[:] = -1
        state[[table.SEQ, table.TAU, table.COUNT, table.FORGOTTEN, table.FREE, table.USED]] = 0
        state[table.HEAD] = 1
        state[table.BOUND] = -1
        state[table.LOST_TAU] = -(2**62)


def warm() -> None:
    """Compile every kernel of the id memory."""
    memory = IdMemory(1)
    for rows in (1, FEW + 1):
        memory.admit(np.ones(rows, np.uint64), np.ones(rows, np.int64), 1)
    memory.accept(2, 2, 2)
    memory.seen(2)
    memory.restore(memory.state())
    memory.retract(1, 1)

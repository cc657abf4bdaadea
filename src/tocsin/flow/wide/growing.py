"""An array of open addressing that grows a little at a time: nobody waits for millions of entries to be moved.

The larger array is the one that is used from the moment it is needed; what the old one holds is moved with the batches
that follow (``move_index``, ``move_map``). The system's part, to give the memory, is done shortly before in
a thread beside: millions of zeros take as long as the entries.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from tocsin.flow.wide.jit import kernel
from tocsin.flow.wide.keyed import LOW, home
from tocsin.flow.wide.layout import (
    M_ENTRIES,
    M_LIVE,
    M_MASK,
    M_OLD,
    M_OLD_AT,
    M_OLD_LEFT,
    M_OLD_MASK,
    T_INDEX,
    T_LIVE,
    T_MASK,
    T_OLD,
    T_OLD_AT,
    T_OLD_LEFT,
    T_OLD_MASK,
    TABLE,
)
from tocsin.flow.wide.memory import address_of, get, load, put, store
from tocsin.flow.wide.reserved import populated, zeros

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE = 1 << 14
"""So many places are moved at once: that takes 0.1 ms."""
LARGE = 1 << 17
"""From so many places on the memory of twice as many is made ready, 23/32 of them taken: at 24/32 it is needed."""
ALL = 1 << 62
BASE, MASK, LIVE = T_INDEX, T_MASK, T_LIVE
"""The same places in the line of a table and in that of a map."""
if (BASE, MASK, LIVE) != (M_ENTRIES, M_MASK, M_LIVE):
    raise RuntimeError("tables and maps begin with the same fields")


@kernel
def move_index(table: int, places: int) -> None:
    """Move what is in so many places of the index that a table leaves, and in what follows up to a free one."""
    old, last = get(table, T_OLD), get(table, T_OLD_MASK)
    index, mask = get(table, T_INDEX), get(table, T_MASK)
    at, left = get(table, T_OLD_AT), get(table, T_OLD_LEFT)
    if at < 0:
        # A cluster may run over the end: the first to be moved begins behind a free place.
        at = np.int64(0)
        while load(old + 8 * at) != 0:
            at += 1
    while left > 0:
        entry = load(old + 8 * (at & last))
        if entry != 0:
            store(old + 8 * (at & last), 0)
            to = (entry >> 32) & LOW & mask
            while load(index + 8 * to) != 0:
                to = (to + 1) & mask
            store(index + 8 * to, entry)
        elif places <= 0:
            break
        at += 1
        left -= 1
        places -= 1
    put(table, T_OLD_AT, at)
    put(table, T_OLD_LEFT, left)
    if left == 0:
        put(table, T_OLD, 0)


@kernel
def move_map(line: int, places: int) -> None:
    """Move what is in so many places of the entries that a map leaves, and in what follows up to a free one."""
    old, last = get(line, M_OLD), get(line, M_OLD_MASK)
    entries, mask = get(line, M_ENTRIES), get(line, M_MASK)
    at, left = get(line, M_OLD_AT), get(line, M_OLD_LEFT)
    if at < 0:
        at = np.int64(0)
        while load(old + 16 * at) != 0:
            at += 1
    while left > 0:
        address = old + 16 * (at & last)
        key = load(address)
        if key != 0:
            to = home(mask, key)
            while load(entries + 16 * to) != 0:
                to = (to + 1) & mask
            store(entries + 16 * to, key)
            store(entries + 16 * to + 8, load(address + 8))
            store(address, 0)
            store(address + 8, 0)
        elif places <= 0:
            break
        at += 1
        left -= 1
        places -= 1
    put(line, M_OLD_AT, at)
    put(line, M_OLD_LEFT, left)
    if left == 0:
        put(line, M_OLD, 0)


class Growing:
    """One such array behind its line of parameters.

    Parameters
    ----------
    line
        A table's, whose index it is, or a map's.
    size
        Places to begin with, a power of two.
    index
        Whether the line is a table's.
    at_once
        An array of at most so many places is moved when it grows.
    """

    def __init__(self, line: np.ndarray, size: int, *, index: bool, at_once: int = AT_ONCE) -> None:
        self._line, self._index, self._at_once = line, index, at_once
        self._old = T_OLD if index else M_OLD
        self._leaving: np.ndarray | None = None
        self._ready: tuple[np.ndarray, threading.Thread] | None = None
        self.array = self._zeros(size)

    def __len__(self) -> int:
        """Return how many places there are."""
        return len(self.array)

    @property
    def moving(self) -> bool:
        """Whether entries lie in the old array still."""
        return self._leaving is not None

    def place(self) -> None:
        """Write where the array lies into its line."""
        self._line[[BASE, MASK]] = address_of(self.array), len(self.array) - 1

    def restart(self, size: int) -> np.ndarray:
        """Become an empty array of so many places; return it."""
        self._leaving = self._ready = None
        self._line[self._old] = 0
        self.array = self._zeros(size)
        self.place()
        return self.array

    def grow(self, size: int) -> None:
        """Use an array of so many places from now on; ``move`` moves what there is."""
        self.move(ALL)
        self._leaving = old = self.array
        self.array = self._taken(size)
        self._line[self._old : self._old + 4] = address_of(old), len(old) - 1, -1, len(old)
        self.place()
        if len(old) <= self._at_once:
            self.move(ALL)

    def move(self, places: int) -> None:
        """Move what lies in so many places of the old array, if there is one, and in a few more."""
        if self._leaving is not None:
            if self._line[self._old]:
                (move_index if self._index else move_map)(address_of(self._line), places)
            if not self._line[self._old]:
                self._leaving = None

    def look_ahead(self) -> None:
        """Have the memory made ready that is needed soon; let go of it where it is needed no more."""
        size, live = len(self.array), int(self._line[LIVE])
        if self._ready is None:
            if size >= LARGE and 32 * live > 23 * size and not self.moving:
                array = self._zeros(2 * size)
                thread = threading.Thread(target=populated, args=(array,), name="pages", daemon=True)
                self._ready = array, thread
                thread.start()
        elif 32 * live < 20 * size:
            self._ready = None

    def arrays(self) -> Sequence[np.ndarray]:
        """Return the arrays that hold entries: one, or two while they are moved."""
        held = self._leaving is not None and self._line[self._old]
        return [self.array, self._leaving] if held and self._leaving is not None else [self.array]

    def bytes(self) -> int:
        """Return the bytes of all arrays, one that was made ready included."""
        ready = self._ready[0].nbytes if self._ready is not None else 0
        return ready + sum(array.nbytes for array in self.arrays())

    def _zeros(self, size: int) -> np.ndarray:
        """Return places without entries; a forked child looks for no key, and counts pairs."""
        return zeros([size], forked=False) if self._index else zeros([size, 2], forked=True)

    def _taken(self, size: int) -> np.ndarray:
        ready, self._ready = self._ready, None
        if ready is None or len(ready[0]) != size:
            return self._zeros(size)
        ready[1].join()
        return ready[0]


def warm() -> None:
    """Call the kernels once with the dtypes of real use."""
    for index in (True, False):
        Growing(np.zeros(TABLE, np.int64), 2, index=index).grow(4)

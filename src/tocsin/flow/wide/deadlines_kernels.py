"""Kernels of the deadlines: what is armed, in the order of arming, with an index by key.

Arrays of one deadline: ``index`` int32 and ``hashes`` uint64 [room] (``places``), ``taus`` and ``seqs`` int64 [room] of
the arming events; a place whose ``seqs`` is GONE was disarmed. Positions HEAD .. TAIL - 1 of ``head`` int64 [4] count
arrivals; a position's place is its remainder by ``room``. The one at HEAD is armed, or there is none.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.wide.jit import kernel
from tocsin.flow.wide.places import find, put, remove

HEAD, TAIL, ARMED = range(3)
GONE = -1
DISARMS, ARMS = 1, 2


@kernel
def enter(
    index: np.ndarray,
    hashes: np.ndarray,
    taus: np.ndarray,
    seqs: np.ndarray,
    head: np.ndarray,
    keys: np.ndarray,
    flags: np.ndarray,
    row_taus: np.ndarray,
    row_seqs: np.ndarray,
    changes: np.ndarray,
) -> None:
    """Disarm and arm row by row; there is room for every row that may arm.

    ``keys`` uint64, ``flags`` uint8 (DISARMS, ARMS), ``row_taus``, ``row_seqs`` int64 [m]. ``changes`` int64 [m, 2]
    receives the place that a row disarmed and the place that it armed, -1 for none.
    """
    room = len(hashes)
    for at in range(len(keys)):
        changes[at, 0] = changes[at, 1] = -1
        place = find(index, hashes, keys[at])
        if flags[at] & DISARMS and place >= 0:
            remove(index, hashes, keys[at])
            seqs[place] = GONE
            head[ARMED] -= 1
            changes[at, 0] = place
            place = np.int64(-1)
        if flags[at] & ARMS and place < 0:
            place = head[TAIL] % room
            head[TAIL] += 1
            head[ARMED] += 1
            hashes[place], taus[place], seqs[place] = keys[at], row_taus[at], row_seqs[at]
            put(index, keys[at], place)
            changes[at, 1] = place
    while head[HEAD] < head[TAIL] and seqs[head[HEAD] % room] == GONE:
        head[HEAD] += 1


@kernel
def miss(index: np.ndarray, hashes: np.ndarray, seqs: np.ndarray, head: np.ndarray) -> int:
    """Take out the oldest, and return its place."""
    room = len(hashes)
    place = head[HEAD] % room
    remove(index, hashes, hashes[place])
    seqs[place] = GONE
    head[ARMED] -= 1
    while head[HEAD] < head[TAIL] and seqs[head[HEAD] % room] == GONE:
        head[HEAD] += 1
    return place


@kernel
def armed(seqs: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return the places of what is armed, in the order of arming."""
    found = np.empty(head[ARMED], np.int64)
    n = 0
    for position in range(head[HEAD], head[TAIL]):
        place = position % len(seqs)
        if seqs[place] != GONE:
            found[n] = place
            n += 1
    return found
